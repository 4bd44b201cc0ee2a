//! An organization's plugins: find, show, configure, switch on and off.

pub(crate) mod defaults;
pub mod disable;
pub mod discover;
pub mod get;
pub mod install_events;
pub mod install_log;
pub(crate) mod known;
pub(crate) mod limits;
pub mod list;
pub mod logs;
pub mod metadata;
pub(crate) mod own;
pub(crate) mod prepare;
pub mod purge;
pub(crate) mod registry;
pub mod save;
pub mod uninstall;
pub mod upload;
pub mod view;
