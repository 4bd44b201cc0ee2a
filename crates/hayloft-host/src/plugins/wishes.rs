//! Keep what is wished for a plugin while it is made ready, and let it come true after the host ended meanwhile.

use std::mem::take;
use std::sync::PoisonError;

use hayloft_model::{Caller, InstanceKey, OrganizationId};
use hayloft_store::wishes::{KeptWish, Wish};

use super::enabling::RunningAttempt;
use super::save::SavePlugin;
use crate::{Host, StoreError};

impl Host {
    /// Begins to make a plugin ready for what is wished, and keeps that until it is over. Gives all that is wished by now.
    pub(crate) async fn begin_wish(
        &self,
        key: &InstanceKey,
        author: &Caller,
        wish: SavePlugin,
    ) -> Result<(RunningAttempt, SavePlugin), StoreError> {
        let _turn = self.wishing.take(key).await;
        self.supersede(key);
        let (attempt, wish) = self.enabling.begin(key, wish);
        let SavePlugin { enabled, config, auth } = wish.clone();
        self.store.wishes().keep(key, author, &Wish { enabled, config, auth }).await?;
        Ok((attempt, wish))
    }

    /// It came true or it could not, unless something else is wished by now, which is kept.
    pub(crate) async fn end_wish(&self, attempt: RunningAttempt, failed: Option<String>) {
        let key = attempt.key().clone();
        let _turn = self.wishing.take(&key).await;
        if attempt.counts() {
            self.forget_kept(&key).await;
        }
        attempt.end(failed);
    }

    /// Something was saved that needed no making ready. What is wished meanwhile is kept.
    pub(crate) async fn forget_wish(&self, key: &InstanceKey) {
        let _turn = self.wishing.take(key).await;
        if !self.enabling.is_pending(key) {
            self.forget_kept(key).await;
        }
    }

    /// Nothing that was wished before comes true any more.
    pub(crate) async fn drop_wish(&self, key: &InstanceKey) {
        let _turn = self.wishing.take(key).await;
        self.enabling.forget(key);
        self.forget_kept(key).await;
        self.call_off_pointless();
    }

    async fn forget_kept(&self, key: &InstanceKey) {
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
            let caller = match self.author(key.organization, &author).await {
                Ok(caller) => caller,
                Err(error) => {
                    tracing::error!(instance = %key, author, %error, "failed to find out who wished something for a plugin; it is tried again when the host starts");
                    continue;
                }
            };
            let (Some(plugin), Some(caller)) = (plugin, caller) else {
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
    async fn author(&self, organization: OrganizationId, author: &str) -> Result<Option<Caller>, StoreError> {
        if author == Caller::Administrator.to_string() {
            return Ok(Some(Caller::Administrator));
        }
        let tokens = self.store.tokens().all_active().await?;
        let caller = tokens.iter().map(|token| token.caller()).find(|caller| caller.to_string() == author);
        Ok(caller.filter(|caller| {
            self.authorize(caller, organization, hayloft_model::Scope::PluginsWrite).is_ok()
        }))
    }
}
