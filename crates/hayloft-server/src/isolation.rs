//! What keeps plugins from the host and from each other, as the binary found it out. It is said, never assumed.

use serde::Serialize;
use utoipa::ToSchema;

/// What is in force and what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Isolation)]
pub struct IsolationBody {
    /// How strong all of it is together: `A`, `B`, `C` or `off`.
    #[schema(example = "off")]
    pub tier: String,
    /// What is not in force and what is open because of it.
    pub missing: Vec<MissingLayer>,
}

/// A measure that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MissingLayer {
    /// The measure.
    pub name: String,
    /// What is open without it.
    pub effect: String,
}
