//! Holding back what crashes too often. That it is held back is kept before anybody learns of it: else an end of the host in
//! that moment would let it start again after it was said that it does not.

use hayloft_model::{InstanceKey, InstanceState, WorkerId};

use super::{Dispatcher, LaunchRefused, Outcome, StateChange};

impl Dispatcher {
    /// Holds an instance back. Who waits for it, and who comes meanwhile, is answered when that will last.
    pub(super) fn hold_back(
        &mut self,
        key: &InstanceKey,
        worker: WorkerId,
        change: StateChange,
        reason: String,
    ) {
        let Some(status) = self.step(key, worker, InstanceState::Quarantined) else {
            return self.not_started(key, &LaunchRefused::Quarantined { reason }.into());
        };
        let instance = self.instance(key);
        instance.holding = true;
        let held = instance.notices.held(status, change, reason);
        let (outcomes, key) = (self.outcome_sender.clone(), key.clone());
        tokio::spawn(async move {
            // An error means that the observer broke; nobody waits longer for that.
            let _ = held.await;
            let _ = outcomes.send(Outcome::Held { key });
        });
    }

    pub(super) fn on_held(&mut self, key: &InstanceKey) {
        let Some(instance) = self.instances.get_mut(key) else { return };
        instance.holding = false;
        let is_idle = instance.serving.is_none() && instance.starting.is_none();
        let wanted = !instance.waiting.is_empty() || matches!(instance.disabling, Some(Some(_)));
        match instance.quarantine.clone() {
            Some(reason) if is_idle => self.not_started(key, &LaunchRefused::Quarantined { reason }.into()),
            // Somebody released it meanwhile.
            None if is_idle && wanted && self.closing.is_none() => self.begin_again(key),
            _ => {}
        }
        self.settle(key);
        self.drop_if_unused(key);
        self.finish_closing();
    }
}
