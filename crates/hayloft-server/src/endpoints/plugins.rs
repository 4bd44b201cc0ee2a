//! An organization's plugins.

pub(crate) mod body;
pub(crate) mod disable;
mod file_answer;
pub(crate) mod get;
pub(crate) mod grant;
pub(crate) mod health;
pub(crate) mod install_events;
pub(crate) mod install_log;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod metadata;
pub(crate) mod priority;
pub(crate) mod public_file;
pub(crate) mod purge;
pub(crate) mod restart;
pub(crate) mod save;
pub(crate) mod statistics;
pub(crate) mod stop;
pub(crate) mod ui_file;
pub(crate) mod uninstall;
pub(crate) mod upload;
