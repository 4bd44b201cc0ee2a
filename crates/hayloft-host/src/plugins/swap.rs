//! Let a candidate worker show whether a revision of the settings, or a newer version of the code, works: it takes over,
//! or it is thrown away and what served goes on.

use std::ops::ControlFlow;

use hayloft_model::{InstanceKey, InstanceState, Revision};
use hayloft_store::instances::{AuthVerdict, Rejected};
use hayloft_workers::{CandidateError, LaunchRefused, Worker};

use super::trial::Version;
use crate::Host;
use crate::instances::Instance;
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
        let before = self.instances.get(key);
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
                self.reject(key, revision, before.as_deref(), refused.to_string());
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
            Err(error) => {
                self.not_taken_over(key, revision, before.as_deref(), served, error).await;
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
        let promoted = match before.as_deref().is_some_and(is_well) {
            true => candidate.promote_if_started().await,
            false => candidate.promote().await,
        };
        match promoted {
            Ok(worker) => self.took_over(key, &worker, verdict).await,
            Err(error) => {
                // Where something works, the verdict that is known is about that.
                let is_first = before.as_deref().is_none_or(|before| before.active_revision.is_none());
                if is_first && error != CandidateError::ShuttingDown {
                    self.instances.change(key, |instance| instance.auth_verdict = Some(verdict));
                }
                self.not_taken_over(key, revision, before.as_deref(), served, error).await;
            }
        }
        DECIDED
    }

    /// The candidate did not come to serve.
    async fn not_taken_over(
        &self,
        key: &InstanceKey,
        revision: Revision,
        before: Option<&Instance>,
        served: bool,
        error: CandidateError,
    ) {
        match error {
            // It was not tried to the end, so nothing is known of it: the next host tries it.
            CandidateError::ShuttingDown => {}
            // Nothing was tried, so nothing is known of a newer version either.
            CandidateError::NoPlace { .. } => self.turn_down(key, before, error.to_string()),
            _ => {
                self.bring_back(key, served, &error.to_string()).await;
                self.reject(key, revision, before, error.to_string());
            }
        }
    }

    /// A candidate serves now: what is known of the instance follows it.
    async fn took_over(&self, key: &InstanceKey, worker: &Worker, verdict: AuthVerdict) {
        let (id, revision) = (worker.id(), worker.revision());
        self.trials.end(key);
        self.instances.change(key, |instance| {
            instance.active_revision = Some(revision);
            instance.auth_verdict = Some(verdict);
            instance.hold_reason = None;
            if instance.rejected.as_ref().is_some_and(|rejected| rejected.revision <= revision) {
                instance.rejected = None;
            }
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
            Err(refused) => {
                let before = self.instances.get(key);
                self.reject(key, revision, before.as_deref(), refused.to_string());
            }
        }
        begun
    }

    /// The candidate did not come up. What served goes on serving.
    fn reject(&self, key: &InstanceKey, revision: Revision, before: Option<&Instance>, reason: String) {
        tracing::warn!(instance = %key, reason, "a configuration was rejected");
        self.fail_trial(key, &reason);
        self.instances.change(key, |instance| {
            // Newer code on the settings that serve says nothing of these.
            if Some(revision) > instance.active_revision {
                instance.rejected = Some(Rejected { revision, reason: reason.clone() });
            }
        });
        self.turn_down(key, before, reason);
    }

    /// What was wished does not come true for now. What served goes on serving.
    fn turn_down(&self, key: &InstanceKey, before: Option<&Instance>, reason: String) {
        let Some(instance) = self.instances.get(key) else { return };
        // A pause after a crash is one of what is at hand, and goes on.
        if self.workers.serving(key).is_some() || instance.state == InstanceState::Backoff {
            return self.instances.change(key, |instance| instance.last_error = Some(reason));
        }
        let state = match before {
            // What is held back stays so: these settings did not help.
            _ if instance.hold_reason.is_some() => InstanceState::Quarantined,
            // The next call starts what works.
            Some(before) if is_well(before) => InstanceState::Stopped,
            _ => InstanceState::Failed,
        };
        self.instances.step(key, state, |instance| instance.last_error = Some(reason));
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

/// Whether what is at hand served all that it has to, or would with the next call.
fn is_well(instance: &Instance) -> bool {
    use InstanceState as S;
    instance.enabled
        && instance.active_revision.is_some()
        && matches!(instance.state, S::Ready | S::Stopped | S::Draining)
}
