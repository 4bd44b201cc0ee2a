//! How many workers plugins have and may have.

pub(crate) mod body;
pub(crate) mod limit;
pub(crate) mod list;
