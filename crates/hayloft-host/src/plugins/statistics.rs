//! How much an organization used a plugin's tools, and how well that went (document 3, "Implementing Metrics").

use std::time::Duration;

use hayloft_model::{Caller, OrganizationId, PluginId, Scope};
use hayloft_store::calls::{CallKind, Usage};

use crate::access::Denied;
use crate::{Host, StoreError};

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Calls of one tool, or of all tools together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    /// How many, ever.
    pub total: u64,
    /// How many of them broke. That a tool says no is not among these.
    pub failures: u64,
    /// How long all of them took together.
    pub duration: Duration,
}

impl Calls {
    /// How long one took on average; nothing without calls.
    #[must_use]
    pub fn average(&self) -> Duration {
        let count = u32::try_from(self.total.max(1)).unwrap_or(u32::MAX);
        self.duration / count
    }

    /// The part that broke, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits than this has")]
    pub fn error_rate(&self) -> f64 {
        self.failures as f64 / self.total.max(1) as f64
    }

    fn add(&mut self, usage: &Usage) {
        self.total += usage.calls;
        self.failures += usage.failures;
        self.duration += usage.duration;
    }
}

/// What is counted of a plugin in an organization.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginStatistics {
    /// All tools together.
    pub calls: Calls,
    /// Each tool that was called, by the name that its server gave it.
    pub tools: Vec<(String, Calls)>,
    /// How many workers serve at the moment.
    pub active_instances: usize,
}

impl Host {
    /// What was counted, as far as the journal was replayed: a call shows a moment after it ended.
    ///
    /// # Errors
    /// See [`StatisticsError`].
    pub async fn plugin_statistics(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginStatistics, StatisticsError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (_, key) = self.plugins.named_or(organization, id, StatisticsError::UnknownPlugin)?;
        let usage = self.store.calls().usage_of(&key).await.map_err(StoreError::from)?;
        let active_instances = usize::from(self.workers.vital_signs(&key).is_some());
        Ok(PluginStatistics { active_instances, ..summed(&usage) })
    }
}

/// The sums over all days. The rows come by name.
fn summed(usage: &[Usage]) -> PluginStatistics {
    let mut statistics = PluginStatistics::default();
    for row in usage.iter().filter(|row| row.kind == CallKind::Tool) {
        statistics.calls.add(row);
        match statistics.tools.last_mut().filter(|(name, _)| *name == row.name) {
            Some((_, calls)) => calls.add(row),
            None => {
                let mut calls = Calls::default();
                calls.add(row);
                statistics.tools.push((row.name.clone(), calls));
            }
        }
    }
    statistics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_add_up_by_tool_and_routes_do_not_count() {
        let row = |kind, name: &str, day: &str, calls, failures, ms| Usage {
            plugin: "p".parse().unwrap(),
            kind,
            name: name.to_owned(),
            day: day.to_owned(),
            calls,
            failures,
            duration: Duration::from_millis(ms),
        };
        let statistics = summed(&[
            row(CallKind::Route, "GET /a", "2026-11-19", 100, 100, 100),
            row(CallKind::Tool, "a", "2026-11-19", 3, 1, 30),
            row(CallKind::Tool, "a", "2026-11-20", 1, 0, 10),
            row(CallKind::Tool, "b", "2026-11-20", 4, 1, 160),
        ]);
        assert_eq!((statistics.calls.total, statistics.calls.average().as_millis()), (8, 25));
        assert!((statistics.calls.error_rate() - 0.25).abs() < 1e-9);
        let tools: Vec<_> = statistics
            .tools
            .iter()
            .map(|(name, calls)| (name.as_str(), calls.total, calls.failures))
            .collect();
        assert_eq!(tools, [("a", 4, 1), ("b", 4, 1)]);
        let nothing = summed(&[]).calls;
        assert_eq!((nothing.average(), nothing.error_rate()), (Duration::ZERO, 0.0));
    }
}
