//! Organizations: the tenants of this Hayloft.

use chrono::{DateTime, Utc};
use hayloft_host::Organization;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod stop;

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Organization)]
pub(crate) struct OrganizationBody {
    /// `org_` and 32 hexadecimal digits; never used again for another one.
    #[schema(example = "org_0198c0ffee007a3b8c4d5e6f70819203")]
    id: String,
    /// The name that people read. Not unique.
    name: String,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<Organization> for OrganizationBody {
    fn from(organization: Organization) -> Self {
        Self { id: organization.id.to_string(), name: organization.name, created_at: organization.created_at }
    }
}
