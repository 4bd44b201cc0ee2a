//! See and choose whether an organization's results of reading tools are kept for a while.

use hayloft_model::{Caller, OrganizationId, Scope};

use super::results::ResultCaching;
use crate::access::Denied;
use crate::{Host, StoreError};

/// Why it was not chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChooseCachingError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What counts for an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachingChoice {
    /// What it chose; nothing when the operator's default counts.
    pub chosen: Option<ResultCaching>,
    /// What follows.
    pub caching: ResultCaching,
}

impl Host {
    /// Whether results are kept.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn result_caching(
        &self,
        caller: &Caller,
        organization: OrganizationId,
    ) -> Result<CachingChoice, Denied> {
        self.authorize(caller, organization, Scope::ToolsRead)?;
        Ok(self.caching_choice(organization))
    }

    /// Chooses for the organization, or leaves it to the operator again. Results that are kept are forgotten in any case.
    ///
    /// # Errors
    /// See [`ChooseCachingError`].
    pub async fn choose_result_caching(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        choice: Option<ResultCaching>,
    ) -> Result<CachingChoice, ChooseCachingError> {
        self.authorize(caller, organization, Scope::PluginsWrite)?;
        let enabled = choice.map(|caching| caching == ResultCaching::On);
        let stored = self.store.result_caching().choose(organization, enabled, caller).await;
        stored.map_err(StoreError::from)?;
        self.results.choose(organization, choice);
        Ok(self.caching_choice(organization))
    }

    fn caching_choice(&self, organization: OrganizationId) -> CachingChoice {
        CachingChoice {
            chosen: self.results.chosen(organization),
            caching: self.results.caching(organization),
        }
    }
}
