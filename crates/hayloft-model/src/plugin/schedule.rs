//! Jobs that a plugin wants run by the clock.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A scheduled job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CronDeclaration {
    /// Unique within the plugin.
    pub name: String,
    /// Five fields: minute, hour, day of month, month, day of week.
    pub schedule: String,
    /// What to do when a run fails; nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
}

/// How a failed run is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// How many times at most.
    pub max_retries: u32,
    /// How the pause grows.
    pub backoff: Backoff,
}

/// How the pause between two tries grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Always the same.
    Fixed,
    /// Twice as long each time.
    Exponential,
}
