//! Procedures of plugins' own routers.

pub mod call;
