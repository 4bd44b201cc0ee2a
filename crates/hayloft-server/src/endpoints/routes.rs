//! HTTP routes and webhooks of plugins.

pub(crate) mod proxy;
