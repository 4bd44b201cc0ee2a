//! Settings of a plugin: their schema, an organization's values, and the check of one against the other.

pub mod check;
pub mod schema;
pub mod shape;
pub mod values;

pub use check::{Requirement, check, missing, missing_variables};
pub use schema::{ConfigField, ConfigSchema, FieldType};
pub use shape::{Inside, ValueShape};
pub use values::{ConfigValues, Credentials, masked};
