//! How a newer worker takes the place of an older one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens first when the settings or the code of a plugin that runs change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum UpdateStrategy {
    /// The newer worker starts beside the older one, which serves until it is ready. No call waits.
    #[default]
    Rolling,
    /// The older worker ends, then the newer one starts: there are never two of an organization. Calls in between wait.
    Recreate,
}

impl UpdateStrategy {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rolling, Self::Recreate];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Recreate => "recreate",
        }
    }

    /// Whether it is what a plugin gets that says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
