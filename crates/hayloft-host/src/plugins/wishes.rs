//! Keep what is wished for a plugin while it is made ready, and let it come true after the host ended meanwhile.

use std::mem::take;
use std::sync::PoisonError;

use hayloft_model::{Caller, InstanceKey, OrganizationId};
use hayloft_store::wishes::{KeptWish, Wish};

use super::save::SavePlugin;
use crate::{Host, StoreError};

impl Host {
    pub(crate) async fn keep_wish(
        &self,
        key: &InstanceKey,
        author: &Caller,
        wish: &SavePlugin,
    ) -> Result<(), StoreError> {
        self.supersede(key);
        let SavePlugin { enabled, config, auth } = wish.clone();
        Ok(self.store.wishes().keep(key, author, &Wish { enabled, config, auth }).await?)
    }

    /// It came true, it could not, or something else is wished now.
    pub(crate) async fn forget_wish(&self, key: &InstanceKey) {
        self.supersede(key);
        if let Err(error) = self.store.wishes().forget(key).await {
            tracing::error!(instance = %key, %error, "failed to forget a wish that is over; it is tried again when the host starts");
        }
    }

    /// What an earlier run did not come to does not matter any more for this instance.
    fn supersede(&self, key: &InstanceKey) {
        let mut left_over = self.left_over.lock().unwrap_or_else(PoisonError::into_inner);
        left_over.retain(|kept| kept.key != *key);
    }

    /// Takes up what an earlier run of the host was asked for and did not come to.
    pub(crate) async fn take_up_wishes(&self) {
        let kept = take(&mut *self.left_over.lock().unwrap_or_else(PoisonError::into_inner));
        for KeptWish { key, author, wish } in kept {
            let Wish { enabled, config, auth } = wish;
            let plugin = self.plugins.get(key.organization, &key.plugin);
            let (Some(plugin), Some(caller)) = (plugin, self.author(key.organization, &author).await) else {
                tracing::warn!(instance = %key, author, "what was wished for a plugin is dropped: the plugin or the right to it is gone");
                self.forget_wish(&key).await;
                continue;
            };
            tracing::info!(instance = %key, "a plugin that was being made ready when the host ended is made ready now");
            let host = self.clone();
            let wait = self.deadlines.save_answer;
            // Each by itself: one may take minutes.
            tokio::spawn(async move {
                let wish = SavePlugin { enabled, config, auth };
                if let Err(error) = host.save_prepared(&caller, plugin, key.clone(), wish, wait).await {
                    tracing::warn!(instance = %key, %error, "what was wished for a plugin did not come true");
                }
            });
        }
    }

    /// Who wished it, if that one may still wish it.
    async fn author(&self, organization: OrganizationId, author: &str) -> Option<Caller> {
        if author == Caller::Administrator.to_string() {
            return Some(Caller::Administrator);
        }
        let tokens = self.store.tokens().all_active().await.ok()?;
        let caller = tokens.iter().map(|token| token.caller()).find(|caller| caller.to_string() == author)?;
        self.authorize(&caller, organization, hayloft_model::Scope::PluginsWrite).ok()?;
        Some(caller)
    }
}
