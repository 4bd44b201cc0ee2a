//! What was done, by whom.

pub mod list;
mod note;
