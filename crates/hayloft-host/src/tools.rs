//! An organization's tools: one list over all of its plugins, and calls into the right server.

pub mod batch;
pub mod caching;
pub mod call;
pub(crate) mod canonical;
pub(crate) mod catalogue;
pub mod find;
pub(crate) mod hints;
pub mod list;
pub(crate) mod outcome;
pub(crate) mod publish;
pub(crate) mod rates;
pub mod refresh;
pub(crate) mod results;
pub(crate) mod schema;
pub(crate) mod shares;
