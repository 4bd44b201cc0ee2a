//! Remove an organization, for good: nobody is let in, nothing of it runs, and what it gave is erased.

use futures::future::join_all;
use hayloft_model::{Caller, InstanceKey, OrganizationId, TokenId};
use hayloft_store::WriteError;

use super::{Denied, administrator_only};
use crate::plugins::uninstall::{SavedData, UninstallPluginError};
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why it was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveOrganizationError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// We broke. Nobody is let in all the same, if it got so far; what is left is done at the next start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Removes an organization. Before anything else its tokens are worthless and its routes lead nowhere. Then its plugins
    /// are switched off like any others, so that their `onDisable` runs, and all that it gave is erased. Its id never
    /// comes back. What hangs on its tokens is let go of by `let_go`, before anything is waited for.
    ///
    /// # Errors
    /// See [`RemoveOrganizationError`].
    pub async fn remove_organization(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        let_go: impl FnOnce(&[TokenId]) + Send + 'static,
    ) -> Result<(), RemoveOrganizationError> {
        administrator_only(caller)?;
        if !self.organization_exists(&organization) {
            return Err(Denied::UnknownOrganization.into());
        }
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move {
            let changing = host.access.changing.lock().await;
            match host.store.removed_organizations().add(organization, &caller).await {
                Ok(()) => {}
                Err(WriteError::UnknownOrganization(_)) => return Err(Denied::UnknownOrganization.into()),
                Err(WriteError::Database(error)) => return Err(StoreError::from(error).into()),
            }
            let tokens = host.access.remove_organization(organization);
            drop(changing);
            let_go(&tokens);
            Ok(host.clear_out(organization, &caller).await?)
        })
        .await
    }

    /// Ends what the end of an earlier run of the host cut off.
    pub(crate) async fn finish_removals(&self) {
        let unerased = match self.store.removed_organizations().unerased().await {
            Ok(unerased) => unerased,
            Err(error) => {
                tracing::error!(%error, "failed to look for organizations that are to be erased");
                return;
            }
        };
        for organization in unerased {
            if let Err(error) = self.clear_out(organization, &Caller::Administrator).await {
                tracing::error!(%organization, %error, "failed to erase a removed organization; it is tried again at the next start");
            }
        }
    }

    /// Switches off what a removed organization has, and erases what it gave.
    async fn clear_out(&self, organization: OrganizationId, caller: &Caller) -> Result<(), StoreError> {
        let own: Vec<InstanceKey> = self
            .plugins
            .all()
            .values()
            .filter(|plugin| plugin.owner == Some(organization))
            .map(|plugin| InstanceKey { organization, plugin: plugin.id.clone() })
            .collect();
        let all =
            self.instances.all().into_iter().filter(|instance| instance.key.organization == organization);
        let keys: Vec<InstanceKey> = all.map(|instance| instance.key.clone()).collect();
        for ended in join_all(keys.iter().map(|key| self.switch_off_for(caller, key))).await {
            ended?;
        }
        for key in &own {
            match self.remove_own(caller, key, SavedData::Kept).await {
                Ok(()) => {}
                // What is not an upload was put there by the operator, whose it stays. Nobody is asked for rights here.
                Err(
                    UninstallPluginError::UnknownPlugin(_)
                    | UninstallPluginError::NotUploaded(_)
                    | UninstallPluginError::Denied(_),
                ) => {}
                Err(UninstallPluginError::Files(error)) => return Err(error.into()),
                Err(UninstallPluginError::Store(error)) => return Err(error),
            }
        }
        self.store.removed_organizations().erase(organization).await?;
        self.instances.forget(organization);
        self.priorities.forget_organization(organization);
        self.results.choose(organization, None);
        for key in keys.iter().chain(&own) {
            self.grants.remove(key);
            self.rates.forget(key);
            self.trials.end(key);
            self.own.forget(key);
            self.applied.forget(key);
            self.enabling.forget(key);
            self.workers.forget(key);
        }
        Ok(())
    }
}
