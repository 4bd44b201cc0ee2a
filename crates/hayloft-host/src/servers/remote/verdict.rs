//! What servers elsewhere say to an organization's credentials, for a plugin that has no code that could judge them.

use std::collections::BTreeMap;

use futures::future::join_all;
use hayloft_model::{InstanceKey, ServerId};
use hayloft_workers::Verdict;

use super::reach::Failure;
use crate::Host;
use crate::plugins::validate_auth::{AuthTrial, ValidateAuthError};

impl Host {
    /// Has every server that the plugin's folder lists judge the saved credentials, or others that are saved nowhere: one
    /// that lists its tools accepts them.
    ///
    /// # Errors
    /// No server refused them, and one did not answer.
    pub(crate) async fn judged_elsewhere(
        &self,
        key: &InstanceKey,
        trial: Option<&AuthTrial>,
    ) -> Result<Verdict, ValidateAuthError> {
        let failures = match trial {
            None => self.list_elsewhere(key).await,
            Some(trial) => self.try_elsewhere(key, trial).await,
        };
        let first = |is_refusal| failures.iter().find(|(_, failure)| failure.is_refusal == is_refusal);
        if let Some((server, failure)) = first(true) {
            let error = format!("its MCP server `{server}` does not accept them: {}", failure.why);
            return Ok(Verdict { valid: false, error: Some(error) });
        }
        match first(false) {
            Some((server, failure)) => {
                Err(ValidateAuthError::NobodyJudged { server: server.clone(), why: failure.why.clone() })
            }
            None => Ok(Verdict { valid: true, error: None }),
        }
    }

    /// Opens a session of its own with every listed server, under what is being tried. Calls go on under what is saved.
    async fn try_elsewhere(&self, key: &InstanceKey, trial: &AuthTrial) -> BTreeMap<ServerId, Failure> {
        let tried = self.listed_remotes(key).into_iter().map(async |(server, remote)| {
            match self.reach(key, &server, &remote, Some(trial)).await {
                Ok(reached) => {
                    reached.upstream.close();
                    None
                }
                Err(failure) => Some((server, failure)),
            }
        });
        join_all(tried).await.into_iter().flatten().collect()
    }
}
