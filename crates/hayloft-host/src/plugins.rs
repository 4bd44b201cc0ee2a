//! An organization's plugins: find, show, configure, switch on and off.

pub(crate) mod defaults;
pub mod disable;
pub mod discover;
pub(crate) mod fast_start;
pub mod get;
pub mod health;
pub mod install_log;
pub mod instances;
pub(crate) mod known;
pub(crate) mod limits;
pub mod list;
pub mod logs;
pub mod metadata;
pub mod oauth;
pub(crate) mod own;
pub(crate) mod prepare;
pub mod public_file;
pub mod purge;
pub(crate) mod registry;
pub mod restart;
pub mod save;
pub mod statistics;
pub(crate) mod tidy;
pub mod validate_auth;
pub mod view;
pub(crate) mod wishes;
