//! What either side says when it could not do what it was asked for.

use hayloft_model::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// An error as both sides send it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WireError {
    /// The error's class.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Where it was thrown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// What kind of failure it is.
    pub reason: FailureReason,
    /// What the plugin's author has to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<WireProblem>,
}

impl WireError {
    /// An error of the host for a request of the worker.
    pub(crate) fn of_host(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            name: String::from("HostError"),
            message: message.into(),
            stack: None,
            reason,
            problems: Vec::new(),
        }
    }

    /// Why the host does not do what a worker asked for.
    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        let problems = refusal.problems.into_iter().map(|Problem { at, message, hint, .. }| WireProblem {
            at,
            message,
            hint,
        });
        Self { problems: problems.collect(), ..Self::of_host(refusal.reason, refusal.message) }
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureReason {
    /// The plugin's code threw.
    Thrown,
    /// It took too long.
    Timeout,
    /// The other side does not allow it.
    Refused,
    /// The other side does not know it.
    Unsupported,
    /// Something that was configured or declared is wrong.
    Configuration,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireProblem {
    /// Where.
    pub at: String,
    /// What.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
