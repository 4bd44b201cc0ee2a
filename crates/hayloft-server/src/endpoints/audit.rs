//! The audit trail of an organization, and of the host.

pub(crate) mod list;
