//! The tables as SeaORM sees them. Columns are text, whole numbers, booleans and bytes: what every backend has.
//!
//! Times are milliseconds since 1970 in UTC; ids are in their canonical spelling; JSON is text, kept as it came.

pub(crate) mod audit;
pub(crate) mod calls;
pub(crate) mod capability_uses;
pub(crate) mod configurations;
pub(crate) mod current_packages;
pub(crate) mod host_audit;
pub(crate) mod instance_registrations;
pub(crate) mod instances;
pub(crate) mod journal_segments;
pub(crate) mod organization_keys;
pub(crate) mod organizations;
pub(crate) mod outbox;
pub(crate) mod packages;
pub(crate) mod permissions;
pub(crate) mod plugin_values;
pub(crate) mod pool_limits;
pub(crate) mod priorities;
pub(crate) mod registrations;
pub(crate) mod remote_servers;
pub(crate) mod removed_organizations;
pub(crate) mod result_caching;
pub(crate) mod tokens;
pub(crate) mod tool_names;
pub(crate) mod tools;
pub(crate) mod trials;
pub(crate) mod uploaded_versions;
pub(crate) mod usage;
pub(crate) mod vault_checks;
pub(crate) mod wishes;
