//! Follow how a plugin is installed, while it happens.

use std::fmt;
use std::str::FromStr;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use hayloft_model::{Caller, OrganizationId, PluginId, Problems, Scope};
use hayloft_packages::{InstallEvent, Position};

use crate::Host;
use crate::access::Denied;

/// What happens, each with the place that it can be taken up from again. It ends with the installation.
pub type InstallEvents = BoxStream<'static, (EventId, InstallEvent)>;

/// The place of an event among all events of all installations, by this run of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    began: i64,
    position: Position,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.began, self.position.run, self.position.event)
    }
}

/// A text that is the place of no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of an event")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let mut parts = text.splitn(3, '-');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(NotAnEventId);
        let began = number()?.try_into().map_err(|_| NotAnEventId)?;
        Ok(Self { began, position: Position { run: number()?, event: number()? } })
    }
}

/// Why there is nothing to follow.
#[derive(Debug, thiserror::Error)]
pub enum InstallEventsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// Its folder cannot be read, so it is never installed.
    #[error("the plugin cannot be read")]
    Unreadable(Problems),
}

impl Host {
    /// What happens while a plugin is installed, or its newer version, from an event on that the caller had already. An
    /// event of another run of the host is none that anybody had.
    ///
    /// # Errors
    /// See [`InstallEventsError`].
    pub fn install_events(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
        after: Option<EventId>,
    ) -> Result<InstallEvents, InstallEventsError> {
        self.authorize(caller, organization, Scope::PluginsRead)?;
        let (plugin, _) = self.plugins.named_or(organization, id, InstallEventsError::UnknownPlugin)?;
        let package = self.plugins.upgrade_of(&plugin).or_else(|| plugin.package.clone());
        let package = package.ok_or_else(|| InstallEventsError::Unreadable(plugin.problems.clone()))?;
        let began = self.began;
        let after = after.filter(|after| after.began == began).map(|after| after.position);
        let events = self.packages.follow(package, after);
        let denied = Box::pin(self.until_denied(caller, organization, Scope::PluginsRead));
        let events = events.take_until(denied);
        Ok(events.map(move |(position, event)| (EventId { began, position }, event)).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back() {
        let id = EventId { began: 1_700_000_000_000, position: Position { run: 3, event: 17 } };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "1", "1-2", "1-2-x", "1-2-3-4", "-1-2-3", "18446744073709551615-1-1"] {
            assert_eq!(bad.parse::<EventId>(), Err(NotAnEventId), "{bad}");
        }
    }
}
