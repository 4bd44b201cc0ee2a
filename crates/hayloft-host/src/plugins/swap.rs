//! Let a candidate worker show whether a revision of the settings, or a newer version of the code, works: it takes over,
//! or it is thrown away and what served goes on.

use std::ops::ControlFlow;

use hayloft_model::{InstanceKey, InstanceState, Revision};
use hayloft_store::instances::AuthVerdict;
use hayloft_workers::{CandidateError, LaunchRefused, Worker};

use super::trial::Version;
use crate::Host;
use crate::tools::publish::Others;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Settings that the plugin has not seen.
    Settings,
    /// Another version of the plugin, or what it may do, on the settings that it has.
    Version,
}

/// Whether the trial of a revision is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    /// When a newer one was saved meanwhile, as long as the plugin was told nothing that it would have to be told again.
    ForNewer,
    /// Once begun it is finished.
    Never,
}

impl Host {
    /// Lets a candidate show whether the revision works: it takes over, or what served goes on. It breaks when that is
    /// decided, and goes on when a newer revision is to be tried in its place.
    pub(crate) async fn swap_in(
        &self,
        key: &InstanceKey,
        revision: Revision,
        was_enabled: bool,
        reason: Reason,
        given_up: Swap,
    ) -> ControlFlow<()> {
        const DECIDED: ControlFlow<()> = ControlFlow::Break(());
        let is_old = || {
            let instance = self.instances.get(key);
            let desired = instance.and_then(|instance| instance.desired_revision);
            given_up == Swap::ForNewer && desired > Some(revision)
        };
        if self.is_all_elsewhere(key) {
            // The instance tells why, if it was refused.
            let _ = self.begin_elsewhere(key, revision).await;
            return DECIDED;
        }
        let launch = match self.launch_revision(key, Some(revision), Version::Newest).await {
            Ok(launch) => launch,
            Err(LaunchRefused::Unconfigured { missing }) => {
                self.unconfigure(key, revision, missing).await;
                return DECIDED;
            }
            Err(refused) => {
                self.reject(key, refused.to_string());
                return DECIDED;
            }
        };
        let served = self.workers.serving(key).is_some();
        if !served {
            self.instances.step(key, InstanceState::Starting, |_| {});
        }
        let candidate = tokio::select! {
            candidate = async {
                match reason {
                    Reason::Settings => self.workers.candidate(key, launch).await,
                    // The plugin is told of no new settings when there are none.
                    Reason::Version => self.workers.replacement(key, launch).await,
                }
            } => candidate,
            // It may wait for a place, and whoever switches it off waits for this turn. With its end the candidate is called
            // off.
            () = self.instances.switched_off(key) => return DECIDED,
        };
        let candidate = match candidate {
            Ok(candidate) => candidate,
            Err(_) if is_old() => return ControlFlow::Continue(()),
            Err(error @ CandidateError::NoPlace { .. }) => {
                // Nothing was tried, so nothing is known of a newer version either.
                self.turn_down(key, error.to_string());
                return DECIDED;
            }
            Err(error) => {
                self.bring_back(key, served, &error.to_string()).await;
                self.reject(key, error.to_string());
                return DECIDED;
            }
        };
        if is_old() {
            candidate.discard();
            return ControlFlow::Continue(());
        }
        if !was_enabled && let Err(error) = candidate.enable().await {
            tracing::warn!(instance = %key, %error, "the plugin's `onEnable` failed");
        }
        let verdict = match candidate.validate_auth().await {
            Ok(verdict) => AuthVerdict { valid: verdict.valid, message: verdict.error, at: self.clock.now() },
            // A check that broke is a failed check: the settings stay, and the person reads why.
            Err(error) => {
                AuthVerdict { valid: false, message: Some(error.to_string()), at: self.clock.now() }
            }
        };
        self.instances.change(key, |instance| instance.auth_verdict = Some(verdict));
        match candidate.promote().await {
            Ok(worker) => self.took_over(key, &worker).await,
            Err(error) => {
                self.bring_back(key, served, &error.to_string()).await;
                self.reject(key, error.to_string());
            }
        }
        DECIDED
    }

    /// A candidate serves now: what is known of the instance follows it.
    async fn took_over(&self, key: &InstanceKey, worker: &Worker) {
        let (id, revision) = (worker.id(), worker.revision());
        self.trials.end(key);
        self.instances.change(key, |instance| {
            instance.active_revision = Some(revision);
            instance.hold_reason = None;
        });
        self.results.forget(key);
        let degraded =
            self.instances.get(key).is_some_and(|instance| instance.state == InstanceState::Degraded);
        let others = if degraded { Others::Keep } else { Others::Forget };
        if let Err(error) = self.adopt_remotes(key, id, others).await {
            tracing::error!(instance = %key, %error, "failed to take over the plugin's servers elsewhere");
        }
        // What it sends to servers that its folder lists may be another thing by now.
        self.reach_listed(key);
        if let Err(error) = self.publish_tools(key, id, revision, others).await {
            tracing::error!(instance = %key, %error, "failed to publish the plugin's tools");
        }
    }

    /// Where the older worker ended before the newer one began, and that did not come up, one on the older values serves
    /// again.
    async fn bring_back(&self, key: &InstanceKey, served: bool, reason: &str) {
        if !served || self.workers.serving(key).is_some() {
            return;
        }
        self.fail_trial(key, reason);
        if let Err(error) = self.workers.ensure(key).await {
            tracing::warn!(instance = %key, %error, "the worker on the older values did not start again");
        }
        // What is said of it now is about the newer one.
        self.workers.told(key).await;
    }

    /// Serves a plugin that is nothing but servers elsewhere, which needs no candidate.
    pub(super) async fn begin_elsewhere(
        &self,
        key: &InstanceKey,
        revision: Revision,
    ) -> Result<(), LaunchRefused> {
        let begun = self.launch_elsewhere(key, revision).await;
        match &begun {
            Ok(()) => {}
            Err(LaunchRefused::Unconfigured { missing }) => {
                self.unconfigure(key, revision, missing.clone()).await;
            }
            Err(refused) => self.reject(key, refused.to_string()),
        }
        begun
    }

    /// The candidate did not come up. What served goes on serving.
    fn reject(&self, key: &InstanceKey, reason: String) {
        tracing::warn!(instance = %key, reason, "a configuration was rejected");
        self.fail_trial(key, &reason);
        self.turn_down(key, reason);
    }

    /// What was wished does not come true for now. What served goes on serving.
    fn turn_down(&self, key: &InstanceKey, reason: String) {
        if self.workers.serving(key).is_some() {
            self.instances.change(key, |instance| instance.last_error = Some(reason));
        } else {
            // What is held back stays so: these settings did not help.
            let held = self.instances.get(key).is_some_and(|instance| instance.hold_reason.is_some());
            let state = if held { InstanceState::Quarantined } else { InstanceState::Failed };
            self.instances.step(key, state, |instance| instance.last_error = Some(reason));
        }
    }

    /// Something that is required has no value: nothing may run on it.
    async fn unconfigure(&self, key: &InstanceKey, revision: Revision, missing: Vec<String>) {
        self.instances.change(key, |instance| {
            instance.active_revision = Some(revision);
            instance.auth_verdict = None;
        });
        self.instances.step_to_unconfigured(key, &missing);
        self.workers.stop(key, "a required setting has no value").await;
        self.instances.flush().await;
    }
}
