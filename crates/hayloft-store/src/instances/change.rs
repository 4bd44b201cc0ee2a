//! A change of an instance, described before it is tried.

use hayloft_model::{ContentHash, InstanceState, Revision};

use super::{AuthVerdict, InstanceError, Rejected};
use crate::column::{Place, milliseconds};
use crate::entity::instances;

/// What is to become different. What is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct InstanceChange {
    only_if_desired: Option<Revision>,
    enabled: Option<bool>,
    state: Option<InstanceState>,
    active_revision: Option<Revision>,
    hold_reason: Option<Option<String>>,
    last_error: Option<Option<String>>,
    auth_verdict: Option<Option<AuthVerdict>>,
    content_hash: Option<ContentHash>,
    rejected: Option<Option<Rejected>>,
}

impl InstanceChange {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if this is still the revision that is wanted, so that news about an old one never overwrites a newer.
    pub const fn only_if_desired(mut self, revision: Revision) -> Self {
        self.only_if_desired = Some(revision);
        self
    }

    /// The organization wants it, or does no longer.
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// The next step of its life.
    pub const fn state(mut self, state: InstanceState) -> Self {
        self.state = Some(state);
        self
    }

    /// This revision proved itself. What was saved before it is deleted.
    pub const fn active_revision(mut self, revision: Revision) -> Self {
        self.active_revision = Some(revision);
        self
    }

    /// This revision was tried and does not serve, or none is known that does not.
    pub fn rejected(mut self, rejected: Option<Rejected>) -> Self {
        self.rejected = Some(rejected);
        self
    }

    /// Why it is held back, or that it is not.
    pub fn hold_reason(mut self, reason: Option<String>) -> Self {
        self.hold_reason = Some(reason);
        self
    }

    /// What went wrong, or that nothing did. The caller keeps secrets out.
    pub fn last_error(mut self, error: Option<String>) -> Self {
        self.last_error = Some(error);
        self
    }

    /// What the plugin said about the credentials, or that it did not.
    pub fn auth_verdict(mut self, verdict: Option<AuthVerdict>) -> Self {
        self.auth_verdict = Some(verdict);
        self
    }

    /// Which code it runs.
    pub const fn content_hash(mut self, hash: ContentHash) -> Self {
        self.content_hash = Some(hash);
        self
    }

    pub(crate) fn enables(&self) -> bool {
        self.enabled == Some(true)
    }

    /// The row as it would be.
    pub(crate) fn applied(self, row: &instances::Model) -> Result<instances::Model, InstanceError> {
        let mut row = row.clone();
        let revision = |column, number: Option<i64>| {
            number.map(|number| Place("instances", column).revision(number)).transpose()
        };
        if let Some(asked) = self.only_if_desired {
            let desired = revision("desired_revision", row.desired_revision)?;
            if desired != Some(asked) {
                return Err(InstanceError::Superseded { asked, desired });
            }
        }
        if let Some(state) = self.state {
            let from: InstanceState = Place("instances", "state").parse(&row.state)?;
            row.state = from.step(state)?.to_string();
        }
        if let Some(asked) = self.active_revision {
            let active = revision("active_revision", row.active_revision)?;
            let saved = revision("desired_revision", row.desired_revision)?;
            if Some(asked) > saved || Some(asked) < active {
                return Err(InstanceError::NotActivatable { asked, active });
            }
            row.active_revision = Some(i64::from(asked.0));
        }
        if let Some(enabled) = self.enabled {
            row.enabled = enabled;
        }
        if let Some(reason) = self.hold_reason {
            row.hold_reason = reason;
        }
        if let Some(error) = self.last_error {
            row.last_error = error;
        }
        if let Some(verdict) = self.auth_verdict {
            row.auth_valid = verdict.as_ref().map(|verdict| verdict.valid);
            row.auth_at = verdict.as_ref().map(|verdict| milliseconds(verdict.at));
            row.auth_message = verdict.and_then(|verdict| verdict.message);
        }
        if let Some(rejected) = self.rejected {
            row.rejected_revision = rejected.as_ref().map(|rejected| i64::from(rejected.revision.0));
            row.rejection = rejected.map(|rejected| rejected.reason);
        }
        if let Some(hash) = self.content_hash {
            row.content_hash = Some(hash.to_string());
        }
        Ok(row)
    }
}
