//! Who may do what: organizations, their tokens, and the check that every use case begins with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hayloft_model::{Caller, OrganizationId, Scope, Secret, TokenId};
use hayloft_store::tokens::{Token, TokenHash};
use tokio::sync::{Mutex, watch};

pub mod change_role;
pub mod create_organization;
pub mod create_token;
pub mod list_organizations;
pub mod list_tokens;
pub mod remove_organization;
pub mod revoke_token;

use crate::Host;

/// Why a caller may not do what it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such organization, or it is not the caller's: both look the same.
    #[error("the organization does not exist")]
    UnknownOrganization,
    /// The caller's role does not include the act.
    #[error("the token's role does not allow this ({scope:?})")]
    Forbidden {
        /// What the act needs.
        scope: Scope,
    },
    /// Only the administrator of this Hayloft may.
    #[error("only the administrator may do this")]
    AdministratorOnly,
}

/// The tokens and organizations that exist, in memory, so that no request waits for SQL to know its caller.
pub(crate) struct AccessTable {
    administrator: TokenHash,
    organizations: ArcSwap<HashMap<OrganizationId, Arc<str>>>,
    tokens: ArcSwap<HashMap<TokenHash, Caller>>,
    /// Held by whoever changes who may do what, over the store and this table, so that they never differ on who was last.
    pub(crate) changing: Mutex<()>,
    /// Told whenever somebody may do less than before, or something else.
    changed: watch::Sender<()>,
}

impl AccessTable {
    pub(crate) fn new(administrator: &Secret<String>) -> Self {
        Self {
            administrator: TokenHash::of(administrator.expose()),
            organizations: ArcSwap::default(),
            tokens: ArcSwap::default(),
            changing: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// The caller that a bearer token stands for. Hashes are compared, so the time that it takes says nothing about
    /// how much of a guess was right.
    pub(crate) fn authenticate(&self, bearer: &str) -> Option<Caller> {
        let hash = TokenHash::of(bearer);
        if hash == self.administrator {
            return Some(Caller::Administrator);
        }
        self.tokens.load().get(&hash).cloned()
    }

    pub(crate) fn organization_name(&self, organization: OrganizationId) -> Option<Arc<str>> {
        self.organizations.load().get(&organization).cloned()
    }

    pub(crate) fn add_organization(&self, organization: OrganizationId, name: &str) {
        self.organizations.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(organization, Arc::from(name));
            known
        });
    }

    /// Takes a token in, or what became of one that is known.
    pub(crate) fn put_token(&self, token: &Token) {
        self.tokens.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(token.hash, token.caller());
            known
        });
        self.changed.send_replace(());
    }

    pub(crate) fn remove_token(&self, id: TokenId) {
        self.tokens.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.retain(|_, caller| !matches!(caller, Caller::Organization { token, .. } if *token == id));
            known
        });
        self.changed.send_replace(());
    }

    /// Nobody is let into an organization any more. Gives the tokens that opened it.
    pub(crate) fn remove_organization(&self, organization: OrganizationId) -> Vec<TokenId> {
        let is_theirs = |caller: &Caller| matches!(caller, Caller::Organization { organization: own, .. } if *own == organization);
        self.organizations.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(&organization);
            known
        });
        let before = self.tokens.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.retain(|_, caller| !is_theirs(caller));
            known
        });
        self.changed.send_replace(());
        let tokens = before.values().filter_map(|caller| match caller {
            Caller::Organization { token, .. } if is_theirs(caller) => Some(*token),
            Caller::Organization { .. } | Caller::Administrator => None,
        });
        tokens.collect()
    }

    /// What a caller of some moment ago is now, if anybody.
    fn current(&self, caller: &Caller) -> Option<Caller> {
        let Caller::Organization { token, .. } = caller else { return Some(caller.clone()) };
        let tokens = self.tokens.load();
        let mut own = tokens
            .values()
            .filter(|known| matches!(known, Caller::Organization { token: other, .. } if other == token));
        own.next().cloned()
    }

    /// Everything at once, at start.
    pub(crate) fn replace(
        &self,
        organizations: HashMap<OrganizationId, Arc<str>>,
        tokens: HashMap<TokenHash, Caller>,
    ) {
        self.organizations.store(Arc::new(organizations));
        self.tokens.store(Arc::new(tokens));
    }
}

impl Host {
    /// The caller that a bearer token stands for, if it is one of ours. Memory only.
    #[must_use]
    pub fn authenticate(&self, bearer: &str) -> Option<Caller> {
        self.access.authenticate(bearer)
    }

    /// Whether the organization exists. For callers that may know: the web face asks after authentication.
    #[must_use]
    pub fn organization_exists(&self, organization: &OrganizationId) -> bool {
        self.access.organization_name(*organization).is_some()
    }

    /// The check at the head of every use case: the organization exists, it is the caller's, the role allows.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        scope: Scope,
    ) -> Result<(), Denied> {
        if !caller.sees(organization) || !self.organization_exists(&organization) {
            return Err(Denied::UnknownOrganization);
        }
        if caller.may(organization, scope) { Ok(()) } else { Err(Denied::Forbidden { scope }) }
    }
}

impl Host {
    /// Comes to its end when a caller may not do any more what it could do: its token was taken back or got another role.
    /// What is told over a long time ends with it.
    pub(crate) fn until_denied(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        scope: Scope,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut changed = self.access.changed.subscribe();
        let (host, caller) = (self.weak(), caller.clone());
        async move {
            loop {
                let may = host.upgrade().is_some_and(|host| {
                    let current = host.access.current(&caller);
                    current.is_some_and(|caller| host.authorize(&caller, organization, scope).is_ok())
                });
                if !may || changed.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The check for acts on the whole Hayloft.
pub(crate) fn administrator_only(caller: &Caller) -> Result<(), Denied> {
    match caller {
        Caller::Administrator => Ok(()),
        Caller::Organization { .. } => Err(Denied::AdministratorOnly),
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::Role;

    use super::*;

    #[test]
    fn only_known_tokens_are_somebody() {
        let table = AccessTable::new(&Secret::new("root".to_owned()));
        let token = Token {
            id: TokenId::from_uuid(uuid::Uuid::from_u128(2)),
            organization: OrganizationId::from_uuid(uuid::Uuid::from_u128(1)),
            role: Role::Agent,
            name: None,
            hash: TokenHash::of("hlt_a"),
            created_at: chrono::DateTime::UNIX_EPOCH,
            revoked_at: None,
        };
        table.put_token(&token);

        assert_eq!(table.authenticate("root"), Some(Caller::Administrator));
        assert_eq!(table.authenticate("hlt_a"), Some(token.caller()));
        for stranger in ["", "hlt_b", "root ", "ROOT"] {
            assert_eq!(table.authenticate(stranger), None, "{stranger}");
        }
        table.remove_token(token.id);
        assert_eq!(table.authenticate("hlt_a"), None);
    }
}
