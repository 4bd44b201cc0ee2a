//! The states of a worker process and the steps between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a worker process is in its life. Kept in memory by the worker's own task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// The process runs; the plugin is being loaded.
    Starting,
    /// The plugin is loaded and its global hook is done; no organization yet.
    Warm,
    /// It is being told its organization, configuration and credentials.
    Binding,
    /// It serves one organization, for the rest of its life.
    Bound,
    /// It takes nothing new and ends what it has.
    Draining,
    /// The process and all that it started are no more.
    Gone,
}

/// A step that a state does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker cannot go from `{from}` to `{to}`")]
pub struct IllegalStep {
    /// The state it is in.
    pub from: WorkerState,
    /// The state that was asked for.
    pub to: WorkerState,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Warm, Self::Binding, Self::Bound, Self::Draining, Self::Gone];

    /// The next state, if the step is legal. A process can end at any moment, so every state leads to `Gone`;
    /// nothing leads back, since a bound worker is never given to another organization.
    ///
    /// # Errors
    /// When the step is not one of a worker's life.
    pub const fn step(self, to: Self) -> Result<Self, IllegalStep> {
        match (self, to) {
            (Self::Starting, Self::Warm | Self::Draining | Self::Gone)
            | (Self::Warm, Self::Binding | Self::Draining | Self::Gone)
            | (Self::Binding, Self::Bound | Self::Draining | Self::Gone)
            | (Self::Bound, Self::Draining | Self::Gone)
            | (Self::Draining, Self::Gone) => Ok(to),
            _ => Err(IllegalStep { from: self, to }),
        }
    }

    /// The name that the API shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Warm => "warm",
            Self::Binding => "binding",
            Self::Bound => "bound",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::WorkerState as S;

    #[test]
    fn only_the_steps_of_a_life_are_legal() {
        let legal = [
            (S::Starting, S::Warm),
            (S::Starting, S::Draining),
            (S::Starting, S::Gone),
            (S::Warm, S::Binding),
            (S::Warm, S::Draining),
            (S::Warm, S::Gone),
            (S::Binding, S::Bound),
            (S::Binding, S::Draining),
            (S::Binding, S::Gone),
            (S::Bound, S::Draining),
            (S::Bound, S::Gone),
            (S::Draining, S::Gone),
        ];
        for from in S::ALL {
            for to in S::ALL {
                assert_eq!(from.step(to).is_ok(), legal.contains(&(from, to)), "{from} → {to}");
            }
        }
    }
}
