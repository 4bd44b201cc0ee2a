//! For the plugins themselves: what a worker may ask the host. Their router is [`crate::plugin_api`].

pub(crate) mod health;
pub(crate) mod register_mcp;
