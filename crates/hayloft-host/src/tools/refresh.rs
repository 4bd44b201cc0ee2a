//! Ask the servers of a plugin for their tools anew.

use std::collections::BTreeMap;

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope, ServerId};
use hayloft_workers::Unavailable;

use super::list::ToolSummary;
use super::publish::Others;
use crate::access::Denied;
use crate::workers::told_to_people;
use crate::{Host, StoreError};

/// Why the tools were not asked for.
#[derive(Debug, thiserror::Error)]
pub enum RefreshToolsError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// This host has no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginId),
    /// The organization has it switched off.
    #[error("the plugin `{0}` is not enabled")]
    NotEnabled(PluginId),
    /// Its worker cannot serve at the moment.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the servers of an instance were not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListAnewError {
    /// Its worker cannot serve at the moment.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ListAnewError> for RefreshToolsError {
    fn from(error: ListAnewError) -> Self {
        match error {
            ListAnewError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            ListAnewError::Store(error) => Self::Store(error),
        }
    }
}

impl Host {
    /// Lists the tools of all servers that the plugin has open or elsewhere, starting its worker if it has one, and gives
    /// what the organization has of it then. A server that does not answer keeps what it listed last.
    ///
    /// # Errors
    /// See [`RefreshToolsError`].
    pub async fn refresh_tools(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        id: &PluginId,
    ) -> Result<Vec<ToolSummary>, RefreshToolsError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let (plugin, key) = self.plugins.named_or(organization, id, RefreshToolsError::UnknownPlugin)?;
        if !self.instances.get(&key).is_some_and(|instance| instance.enabled) {
            return Err(RefreshToolsError::NotEnabled(plugin.id.clone()));
        }
        self.list_anew(&key).await?;
        let tools = self.list_tools(caller, organization)?;
        Ok(tools.into_iter().filter(|tool| tool.plugin_id == key.plugin).collect())
    }

    /// Lists the tools of all servers of an instance, wherever they are. Gives why one did not answer.
    pub(crate) async fn list_anew(
        &self,
        key: &InstanceKey,
    ) -> Result<BTreeMap<ServerId, String>, ListAnewError> {
        let mut failures = BTreeMap::new();
        if !self.is_all_elsewhere(key) {
            let worker = self.workers.ensure(key).await.map_err(ListAnewError::Unavailable)?;
            let _busy = worker.activity();
            for (server, session) in self.sessions.of(worker.id()) {
                match session.upstream.list_tools().await {
                    Ok(listing) => self.sessions.relist(worker.id(), &server, listing),
                    Err(error) => {
                        tracing::warn!(instance = %key, %server, %error, "failed to list the server's tools anew");
                        failures.insert(server, error.to_string());
                    }
                }
            }
            // What it has handed over by now is asked as well.
            self.adopt_remotes(key, worker.id(), Others::Keep).await?;
            self.publish_tools(key, worker.id(), worker.revision(), Others::Keep).await?;
        }
        let elsewhere = self.list_elsewhere(key).await.into_iter();
        failures.extend(elsewhere.map(|(server, failure)| (server, failure.why)));
        Ok(failures)
    }
}
