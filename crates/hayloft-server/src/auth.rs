//! Who asks, found out from the request alone: the bearer token, and the organization that it is used for.
//!
//! Must not decide what anybody may do; the use cases do.

pub(crate) mod bearer;
pub(crate) mod organization;

pub(crate) use bearer::Authenticated;
pub(crate) use organization::{ActingFor, InOrganization, OnPlugin};
