//! Requests from outside to a plugin's own HTTP routes.

pub mod headers;
pub mod proxy;
