//! A worker that holds more memory than it shall is replaced by a fresh one, beside it and between calls: callers feel
//! nothing of it.

use hayloft_model::plugin::UpdateStrategy;
use hayloft_model::{InstanceKey, WorkerId};
use hayloft_workers::{CandidateError, Level};

use crate::Host;
use crate::plugins::trial::Version;
use crate::tools::publish::Others;

impl Host {
    /// Replaces a worker, if it still serves when the instance's turn comes. What keeps the new one from serving is noted,
    /// and the old one goes on.
    pub(crate) fn recycle_in_background(&self, key: &InstanceKey, worker: WorkerId, reason: &str) {
        let (host, key, reason) = (self.clone(), key.clone(), reason.to_owned());
        tokio::spawn(async move {
            if let Err(error) = host.recycle(&key, worker, &reason).await {
                tracing::warn!(instance = %key, %worker, error, "failed to replace a worker");
                let goes_on = host.workers.serving(&key).is_some_and(|serving| serving.id() == worker);
                let what = if goes_on {
                    "the worker was not replaced and goes on"
                } else {
                    "no worker took its place"
                };
                host.workers.note(&key, worker, Level::Warn, &format!("{what}: {error}"));
            }
        });
    }

    async fn recycle(&self, key: &InstanceKey, worker: WorkerId, reason: &str) -> Result<(), String> {
        // Whoever changes the instance at this moment starts a fresh worker too.
        let turn = self.turns.take(key).await;
        let Some(serving) = self.workers.serving(key).filter(|serving| serving.id() == worker) else {
            return Ok(());
        };
        let launch = self.launch_revision(key, Some(serving.revision()), Version::Proven).await;
        let note = || {
            let message = format!("the worker is being replaced: {reason}");
            self.workers.note(key, worker, Level::Warn, &message);
        };
        let launch = launch.map_err(|refused| refused.to_string())?;
        if launch.package.descriptor.update_strategy == UpdateStrategy::Recreate {
            // It serves until nobody uses it, since whoever calls after that waits for the one that comes next. Nobody who
            // changes the instance waits for its callers.
            drop(turn);
            if !self.workers.retire_unused(&serving, reason).await {
                return Ok(());
            }
            note();
            let fresh = self.workers.ensure(key).await.map_err(|error| format!("failed to {error}"))?;
            tracing::info!(instance = %key, %worker, fresh = %fresh.id(), reason, "a worker was recycled");
            return Ok(());
        }
        note();
        let text = |error: CandidateError| error.to_string();
        let fresh = self.workers.replacement(key, launch).await.map_err(text)?;
        let fresh = fresh.relieve(reason.to_owned()).await.map_err(text)?;
        tracing::info!(instance = %key, %worker, fresh = %fresh.id(), reason, "a worker was recycled");
        if let Err(error) = self.publish_tools(key, fresh.id(), fresh.revision(), Others::Keep).await {
            tracing::error!(instance = %key, %error, "failed to publish the plugin's tools");
        }
        Ok(())
    }
}
