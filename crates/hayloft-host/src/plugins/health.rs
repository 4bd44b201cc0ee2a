//! Tell whether a plugin is well in an organization, from what the host knows already.
//!
//! The worker is not asked and nothing is started: the answer comes at once, also while a hook blocks the worker.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hayloft_model::{Caller, InstanceKey, InstanceState, OrganizationId, PluginId, Scope, ServerId};
use hayloft_workers::{ServerHealth, VitalSigns};

use crate::Host;
use crate::access::Denied;
use crate::instances::Instance;

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub enum CheckHealthError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
}

/// How a plugin is (document 2, "Health Check").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// It serves, or would with the next call.
    Healthy,
    /// It does not serve as it should.
    Unhealthy,
    /// Somebody has to switch it on, or to give it what it lacks.
    Unconfigured,
}

impl HealthStatus {
    /// The name that the API shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unconfigured => "unconfigured",
        }
    }
}

/// How a plugin was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginHealth {
    /// In a word.
    pub status: HealthStatus,
    /// What a person should know.
    pub message: String,
    /// When that was.
    pub tested_at: DateTime<Utc>,
}

impl Host {
    /// How a plugin is in an organization, at this moment.
    ///
    /// # Errors
    /// See [`CheckHealthError`].
    pub fn check_health(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<PluginHealth, CheckHealthError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (_, key) = self.plugins.named_or(organization, id, CheckHealthError::UnknownPlugin)?;
        Ok(self.health_of(&key))
    }

    pub(super) fn health_of(&self, key: &InstanceKey) -> PluginHealth {
        let instance = self.instances.get(key);
        let links = self.remotes.of(key).into_iter();
        let elsewhere = links.filter_map(|(server, link)| Some((server, link.last_error()?))).collect();
        let (status, message) =
            judge(instance.as_deref(), self.workers.vital_signs(key).as_ref(), &elsewhere);
        PluginHealth { status, message, tested_at: self.clock.now() }
    }
}

/// Servers elsewhere that could not be reached when they were tried last, and why.
type Unreached = BTreeMap<ServerId, String>;

fn judge(
    instance: Option<&Instance>,
    signs: Option<&VitalSigns>,
    elsewhere: &Unreached,
) -> (HealthStatus, String) {
    use HealthStatus::{Healthy, Unconfigured, Unhealthy};
    use InstanceState as S;
    let Some(instance) = instance.filter(|instance| instance.enabled) else {
        return (Unconfigured, String::from("the plugin is switched off"));
    };
    let error = || instance.last_error.as_deref();
    let with_error = |text: &str| match error() {
        Some(error) => format!("{text}: {error}"),
        None => text.to_owned(),
    };
    match instance.state {
        S::Disabled => (Unconfigured, String::from("the plugin is switched off")),
        S::Unconfigured => (Unconfigured, with_error("the plugin lacks something that it requires")),
        S::Installing => (Unhealthy, String::from("the plugin is being installed")),
        S::Starting => (Unhealthy, with_error("the plugin is being started")),
        S::Degraded => (Unhealthy, with_error("the plugin serves only partly")),
        S::Backoff => (Unhealthy, with_error("the plugin crashed and is started again with a later call")),
        S::Quarantined => {
            let reason = instance.hold_reason.as_deref().or(error()).unwrap_or("it crashed too often");
            (Unhealthy, format!("the plugin is held back: {reason}"))
        }
        S::Failed => (Unhealthy, with_error("the plugin cannot be used")),
        S::Stopped | S::Ready | S::Draining => match ailment(instance, signs, elsewhere) {
            Some(ailment) => (Unhealthy, ailment),
            None if instance.state == S::Ready => (Healthy, String::from("the plugin serves")),
            None => (Healthy, String::from("the plugin does not run at the moment; the next call starts it")),
        },
    }
}

/// What is wrong with an instance whose state says nothing bad.
fn ailment(instance: &Instance, signs: Option<&VitalSigns>, elsewhere: &Unreached) -> Option<String> {
    if let Some(verdict) = instance.auth_verdict.as_ref().filter(|verdict| !verdict.valid) {
        let why = verdict.message.as_deref().unwrap_or("the plugin does not accept the credentials");
        return Some(format!("auth failed: {why}"));
    }
    if let Some(since) = signs.and_then(|signs| signs.stalled_since) {
        let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        return Some(format!("the event loop of its worker has not answered since {since}"));
    }
    let kept = signs.into_iter().flat_map(|signs| &signs.kept).filter_map(|(server, health)| match health {
        ServerHealth::Down { error, .. } => Some((server, error)),
        ServerHealth::Ready | ServerHealth::Starting => None,
    });
    let (server, error) = kept.chain(elsewhere).next()?;
    Some(format!("its MCP server `{server}` is down: {error}"))
}

#[cfg(test)]
mod tests {
    use hayloft_store::instances::AuthVerdict;

    use super::*;

    fn instance(state: InstanceState, last_error: Option<&str>) -> Instance {
        Instance {
            key: InstanceKey {
                organization: OrganizationId::from_uuid(uuid::Uuid::from_u128(1)),
                plugin: "p".parse().unwrap(),
            },
            enabled: state != InstanceState::Disabled,
            state,
            desired_revision: None,
            active_revision: None,
            rejected: None,
            hold_reason: None,
            last_error: last_error.map(str::to_owned),
            auth_verdict: None,
            content_hash: None,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_state_has_its_health_and_says_what_went_wrong() {
        let told = |state| {
            let (status, message) = judge(Some(&instance(state, Some("E42"))), None, &Unreached::new());
            assert_eq!(message.contains("E42"), SHOWS_ERROR.contains(&state), "{state}: {message}");
            status
        };
        const SHOWS_ERROR: [InstanceState; 6] = [
            InstanceState::Unconfigured,
            InstanceState::Starting,
            InstanceState::Degraded,
            InstanceState::Backoff,
            InstanceState::Quarantined,
            InstanceState::Failed,
        ];
        for state in InstanceState::ALL {
            let expected = match state {
                InstanceState::Disabled | InstanceState::Unconfigured => HealthStatus::Unconfigured,
                InstanceState::Stopped | InstanceState::Ready | InstanceState::Draining => {
                    HealthStatus::Healthy
                }
                _ => HealthStatus::Unhealthy,
            };
            assert_eq!(told(state), expected, "{state}");
        }
        assert_eq!(judge(None, None, &Unreached::new()).0, HealthStatus::Unconfigured);
    }

    #[test]
    fn a_ready_plugin_is_unhealthy_when_something_of_it_is() {
        let ready = instance(InstanceState::Ready, None);
        let well = VitalSigns { stalled_since: None, kept: BTreeMap::new() };
        let none = Unreached::new();
        assert_eq!(judge(Some(&ready), Some(&well), &none).0, HealthStatus::Healthy);

        let stalled = VitalSigns { stalled_since: Some(DateTime::UNIX_EPOCH), ..well.clone() };
        let (status, message) = judge(Some(&ready), Some(&stalled), &none);
        assert_eq!(status, HealthStatus::Unhealthy);
        assert!(message.contains("since 1970-01-01T00:00:00Z"), "{message}");

        let down = ServerHealth::Down { error: "exit 3".into(), until: tokio::time::Instant::now() };
        let servers =
            BTreeMap::from([("a".parse().unwrap(), ServerHealth::Ready), ("b".parse().unwrap(), down)]);
        let (status, message) = judge(Some(&ready), Some(&VitalSigns { kept: servers, ..well }), &none);
        assert_eq!(
            (status, message.as_str()),
            (HealthStatus::Unhealthy, "its MCP server `b` is down: exit 3")
        );

        let verdict = AuthVerdict { valid: false, message: Some("401".into()), at: DateTime::UNIX_EPOCH };
        let refused = Instance { auth_verdict: Some(verdict), ..ready.clone() };
        let told = (HealthStatus::Unhealthy, "auth failed: 401".to_owned());
        assert_eq!(judge(Some(&refused), None, &none), told);

        let unreached = Unreached::from([("c".parse().unwrap(), "HTTP 401".to_owned())]);
        let told = (HealthStatus::Unhealthy, "its MCP server `c` is down: HTTP 401".to_owned());
        assert_eq!(judge(Some(&ready), None, &unreached), told);
    }
}
