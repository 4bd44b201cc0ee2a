//! Resources and prompts of an organization's plugins: one list over all of their servers, and single things of them.
//!
//! A prompt's public name is allotted as a tool's is. A resource's public address says where it is: after
//! `hayloft://<plugin>/<server>/` stands the address that its server gives it, as it is, so that a template that stands
//! there is filled in by clients like any other. What servers list is kept in memory: a plugin that has not run since the
//! host started is started once when somebody asks for a list, and servers elsewhere are reached.

pub mod get;
pub mod list;
pub(crate) mod table;
