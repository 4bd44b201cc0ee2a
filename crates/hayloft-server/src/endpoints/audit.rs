//! The audit trail of an organization.

pub(crate) mod list;
