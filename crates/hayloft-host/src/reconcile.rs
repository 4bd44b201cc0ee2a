//! Processes are made to agree with what an organization wants, and with the code and the permissions that its plugin has
//! for it: whoever changed one of them asks for it, and it is done once for all as they are by then, however many asked.
//!
//! A row is written in its own turn and the processes follow in another one, so that saves which come quickly are written
//! at once and only the last of them is tried.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use hayloft_model::{InstanceKey, Revision};

use crate::Host;
use crate::instances::Instance;
use crate::plugins::swap::{Reason, Swap};

/// So many trials are given up for a newer revision before one is finished all the same: whoever saves without end would
/// never see a change otherwise.
const GIVEN_UP: usize = 4;

/// What the processes of each instance were made to agree with last. What is absent agrees with its row.
#[derive(Default)]
pub(crate) struct Applied {
    instances: Mutex<HashMap<InstanceKey, Agreement>>,
}

#[derive(Clone, Copy)]
struct Agreement {
    enabled: bool,
    /// The revision that was tried last, well or not.
    tried: Option<Revision>,
    /// The plugin's code, or what it may do, has changed since.
    outdated: bool,
}

/// What is still to be done for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SwitchOff {
        was_enabled: bool,
    },
    /// Try settings that the plugin has not seen.
    Try {
        revision: Revision,
        was_enabled: bool,
    },
    /// Try another version of the plugin, or what it may do, on the settings that it has.
    Renew {
        revision: Revision,
    },
}

impl Applied {
    /// A row is about to be changed: its processes agree with it as it was, unless an earlier change waits already.
    pub(crate) fn before(&self, key: &InstanceKey, enabled: bool) {
        self.lock().entry(key.clone()).or_insert(Agreement { enabled, tried: None, outdated: false });
    }

    /// The plugin of an instance has other code, or may do other things. Its row is as it was.
    pub(crate) fn outdate(&self, instance: &Instance) {
        let agreed =
            Agreement { enabled: instance.enabled, tried: instance.desired_revision, outdated: false };
        self.lock().entry(instance.key.clone()).or_insert(agreed).outdated = true;
    }

    /// What is to be done next. Whatever it is, it is done with the newest code and permissions, so what changes from now on
    /// is another step.
    fn next(&self, instance: &Instance) -> Option<Step> {
        let mut all = self.lock();
        let agreed = all.get_mut(&instance.key);
        if !instance.enabled {
            return Some(Step::SwitchOff { was_enabled: agreed.is_some_and(|agreed| agreed.enabled) });
        }
        let (agreed, desired) = (agreed?, instance.desired_revision?);
        let outdated = mem::take(&mut agreed.outdated);
        if !agreed.enabled || agreed.tried < Some(desired) {
            return Some(Step::Try { revision: desired, was_enabled: agreed.enabled });
        }
        outdated.then(|| Step::Renew { revision: instance.active_revision.unwrap_or(desired) })
    }

    fn of(&self, key: &InstanceKey) -> Option<Agreement> {
        self.lock().get(key).copied()
    }

    fn note_tried(&self, key: &InstanceKey, tried: Revision) {
        let mut all = self.lock();
        let outdated = all.get(key).is_some_and(|agreed| agreed.outdated);
        all.insert(key.clone(), Agreement { enabled: true, tried: Some(tried), outdated });
    }

    /// Whether nothing of it runs any more, as far as anybody saw to it.
    pub(crate) fn is_off(&self, key: &InstanceKey) -> bool {
        self.of(key).is_some_and(|agreed| !agreed.enabled)
    }

    /// Nothing of it runs any more.
    fn note_off(&self, key: &InstanceKey) {
        self.lock().insert(key.clone(), Agreement { enabled: false, tried: None, outdated: false });
    }

    /// Whether what the row of an instance that is on says is still to be tried.
    pub(crate) fn is_behind(&self, instance: &Instance) -> bool {
        let agreed = self.of(&instance.key);
        instance.enabled
            && agreed.is_some_and(|agreed| !agreed.enabled || agreed.tried < instance.desired_revision)
    }

    /// Nobody will ask for it again before its row is made anew.
    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceKey, Agreement>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Makes an instance's processes agree with its row, when it is its turn. What somebody else has done meanwhile is not
    /// done again.
    pub(crate) async fn reconcile(&self, key: &InstanceKey) {
        let _turn = self.turns.take(key).await;
        for round in 0.. {
            let Some(instance) = self.instances.get(key) else { break };
            let patience = if round < GIVEN_UP { Swap::ForNewer } else { Swap::Never };
            match self.applied.next(&instance) {
                None => break,
                Some(Step::SwitchOff { was_enabled }) => {
                    if let Err(error) = self.switch_off(key, was_enabled).await {
                        tracing::error!(instance = %key, %error, "a plugin was not switched off in order");
                    }
                    self.applied.note_off(key);
                    break;
                }
                Some(Step::Try { revision, was_enabled }) => {
                    if self.swap_in(key, revision, was_enabled, Reason::Settings, patience).await.is_break() {
                        self.applied.note_tried(key, revision);
                    }
                }
                // Given up for newer settings, it is tried with those.
                Some(Step::Renew { revision }) => {
                    let _ = self.swap_in(key, revision, true, Reason::Version, patience).await;
                }
            }
        }
        self.instances.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};
    use hayloft_model::{InstanceState, OrganizationId};

    use super::*;

    fn instance(enabled: bool, desired: u32, active: u32) -> Instance {
        let at = Utc.with_ymd_and_hms(2026, 11, 20, 12, 0, 0).unwrap();
        Instance {
            key: InstanceKey {
                organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
                plugin: "plugin".parse().unwrap(),
            },
            enabled,
            state: InstanceState::Ready,
            desired_revision: Some(Revision(desired)),
            active_revision: Some(Revision(active)),
            rejected: None,
            hold_reason: None,
            last_error: None,
            auth_verdict: None,
            content_hash: None,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn what_nobody_changed_needs_nothing() {
        let applied = Applied::default();
        assert_eq!(applied.next(&instance(true, 1, 1)), None);
    }

    #[test]
    fn newer_code_is_tried_once_on_the_settings_that_serve() {
        let (applied, row) = (Applied::default(), instance(true, 5, 4));
        applied.outdate(&row);
        applied.outdate(&row);
        assert_eq!(applied.next(&row), Some(Step::Renew { revision: Revision(4) }));
        assert_eq!(applied.next(&row), None);
    }

    #[test]
    fn newer_code_and_newer_settings_are_one_step() {
        let (applied, row) = (Applied::default(), instance(true, 2, 1));
        applied.before(&row.key, true);
        applied.outdate(&row);
        assert_eq!(applied.next(&row), Some(Step::Try { revision: Revision(2), was_enabled: true }));
        applied.note_tried(&row.key, Revision(2));
        assert_eq!(applied.next(&row), None);
    }

    #[test]
    fn code_that_changes_during_a_trial_is_a_step_of_its_own() {
        let (applied, row) = (Applied::default(), instance(true, 2, 2));
        applied.before(&row.key, true);
        applied.next(&row);
        applied.outdate(&row);
        applied.note_tried(&row.key, Revision(2));
        assert_eq!(applied.next(&row), Some(Step::Renew { revision: Revision(2) }));
    }

    #[test]
    fn what_is_off_is_not_renewed_when_it_is_switched_on() {
        let (applied, on) = (Applied::default(), instance(true, 2, 2));
        applied.outdate(&on);
        let off = instance(false, 2, 2);
        assert_eq!(applied.next(&off), Some(Step::SwitchOff { was_enabled: true }));
        applied.note_off(&off.key);
        assert_eq!(applied.next(&on), Some(Step::Try { revision: Revision(2), was_enabled: false }));
        applied.note_tried(&on.key, Revision(2));
        assert_eq!(applied.next(&on), None);
    }
}
