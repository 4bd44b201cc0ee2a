//! The names of the states of an instance.

use hayloft_model::InstanceState;
use serde::Serialize;
use utoipa::ToSchema;

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InstanceState)]
pub(crate) enum StateName {
    /// Not wanted.
    Disabled,
    /// Wanted, but a required value or grant is missing.
    Unconfigured,
    /// Its package is being installed or built.
    Installing,
    /// Wanted and configured; nobody needs it at the moment.
    Stopped,
    /// A worker is being started for it.
    Starting,
    /// A worker serves.
    Ready,
    /// A worker serves, but `onStart` failed.
    Degraded,
    /// Its worker ends what it has and then stops.
    Draining,
    /// Its worker crashed; the next start waits.
    Backoff,
    /// It crashed too often.
    Quarantined,
    /// Its package cannot be used.
    Failed,
}

impl From<InstanceState> for StateName {
    fn from(state: InstanceState) -> Self {
        match state {
            InstanceState::Disabled => Self::Disabled,
            InstanceState::Unconfigured => Self::Unconfigured,
            InstanceState::Installing => Self::Installing,
            InstanceState::Stopped => Self::Stopped,
            InstanceState::Starting => Self::Starting,
            InstanceState::Ready => Self::Ready,
            InstanceState::Degraded => Self::Degraded,
            InstanceState::Draining => Self::Draining,
            InstanceState::Backoff => Self::Backoff,
            InstanceState::Quarantined => Self::Quarantined,
            InstanceState::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_have_the_names_of_the_model() {
        for state in InstanceState::ALL {
            assert_eq!(serde_json::to_value(StateName::from(state)).unwrap(), json!(state.as_str()));
        }
    }
}
