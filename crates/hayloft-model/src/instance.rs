//! The states of an instance (one plugin in one organization) and the steps between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// What an instance is to the people who own it. Stored, and shown by the API under these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
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
    /// It crashed too often; a person, a new revision or a new version releases it.
    Quarantined,
    /// Its package cannot be used.
    Failed,
}

/// A step that a state does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance cannot go from `{from}` to `{to}`")]
pub struct IllegalStep {
    /// The state it is in.
    pub from: InstanceState,
    /// The state that was asked for.
    pub to: InstanceState,
}

impl InstanceState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Disabled,
        Self::Unconfigured,
        Self::Installing,
        Self::Stopped,
        Self::Starting,
        Self::Ready,
        Self::Degraded,
        Self::Draining,
        Self::Backoff,
        Self::Quarantined,
        Self::Failed,
    ];

    /// The next state, if the step is legal. Staying is always legal: a report may come twice.
    ///
    /// # Errors
    /// When the step is not one of an instance's life.
    pub const fn step(self, to: Self) -> Result<Self, IllegalStep> {
        use InstanceState as S;
        let legal = match (self, to) {
            // Disabling, a lost requirement and a broken package can come at any moment.
            (_, S::Disabled | S::Unconfigured | S::Failed) => true,
            (S::Disabled | S::Unconfigured | S::Failed, S::Installing | S::Stopped | S::Starting) => true,
            (S::Installing, S::Stopped | S::Starting) => true,
            (S::Stopped, S::Installing | S::Starting) => true,
            (
                S::Starting,
                S::Ready | S::Degraded | S::Stopped | S::Draining | S::Backoff | S::Quarantined,
            ) => true,
            (
                S::Ready | S::Degraded,
                S::Ready | S::Degraded | S::Draining | S::Stopped | S::Starting | S::Backoff | S::Quarantined,
            ) => true,
            (S::Draining, S::Stopped | S::Starting | S::Backoff | S::Ready | S::Degraded) => true,
            (S::Backoff, S::Starting | S::Stopped | S::Quarantined) => true,
            (S::Quarantined, S::Stopped | S::Starting) => true,
            _ => self as u8 == to as u8,
        };
        if legal { Ok(to) } else { Err(IllegalStep { from: self, to }) }
    }

    /// Whether a worker may be serving now.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }

    /// The name that the API shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Unconfigured => "unconfigured",
            Self::Installing => "installing",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstanceState {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| InvalidId { text: text.chars().take(80).collect(), expected: "an instance state" })
    }
}

#[cfg(test)]
mod tests {
    use super::InstanceState as S;

    #[test]
    fn every_state_can_be_left_and_reads_back() {
        for from in S::ALL {
            assert!(from.step(S::Disabled).is_ok());
            assert!(from.step(from).is_ok());
            assert_eq!(from.as_str().parse(), Ok(from));
        }
    }

    #[test]
    fn what_does_not_run_cannot_be_ready() {
        for from in
            [S::Disabled, S::Unconfigured, S::Installing, S::Stopped, S::Backoff, S::Quarantined, S::Failed]
        {
            assert!(from.step(S::Ready).is_err(), "{from}");
            assert!(from.step(S::Degraded).is_err(), "{from}");
        }
    }
}
