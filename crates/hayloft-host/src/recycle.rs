//! A worker that holds more memory than it shall is replaced by a fresh one, beside it and between calls: callers feel
//! nothing of it.

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
                let message = format!("the worker was not replaced and goes on: {error}");
                host.workers.note(&key, worker, Level::Warn, &message);
            }
        });
    }

    async fn recycle(&self, key: &InstanceKey, worker: WorkerId, reason: &str) -> Result<(), String> {
        // Whoever changes the instance at this moment starts a fresh worker too.
        let _turn = self.turns.take(key).await;
        let Some(serving) = self.workers.serving(key).filter(|serving| serving.id() == worker) else {
            return Ok(());
        };
        self.workers.note(key, worker, Level::Warn, &format!("the worker is being replaced: {reason}"));
        let launch = self.launch_revision(key, Some(serving.revision()), Version::Proven).await;
        let launch = launch.map_err(|refused| refused.to_string())?;
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
