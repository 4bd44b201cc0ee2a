//! One transaction that writes, together with the facts that leave with it.

use hayloft_model::{Caller, OrganizationId};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait};
use serde_json::Value;

use crate::audit::NewAuditEntry;
use crate::column::milliseconds;
use crate::database::refused_owner;
use crate::entity::{audit, host_audit, outbox};
use crate::{DatabaseError, Store, UnknownOrganization};

/// Why a row of an organization was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such organization.
    #[error(transparent)]
    UnknownOrganization(#[from] UnknownOrganization),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A transaction of the one writer. Dropped without [`Write::commit`], it never happened.
pub(crate) struct Write<'a> {
    store: &'a Store,
    pub(crate) transaction: DatabaseTransaction,
    doing: &'static str,
    has_facts: bool,
}

/// A line of the audit trail that leaves with a transaction.
pub(crate) struct Act<'a> {
    pub(crate) organization: OrganizationId,
    /// `None` is the host itself.
    pub(crate) author: Option<&'a Caller>,
    pub(crate) action: &'static str,
    pub(crate) subject: String,
    pub(crate) detail: Value,
}

impl Store {
    /// Begins a transaction. `doing` completes "failed to …".
    pub(crate) async fn begin(&self, doing: &'static str) -> Result<Write<'_>, DatabaseError> {
        let transaction = self.database().begin().await.map_err(DatabaseError::doing(doing))?;
        Ok(Write { store: self, transaction, doing, has_facts: false })
    }
}

impl Write<'_> {
    /// Gives the database's error its context.
    pub(crate) fn failed(&self) -> impl Fn(DbErr) -> DatabaseError + Copy + use<> {
        DatabaseError::doing(self.doing)
    }

    /// The same for a row that belongs to an organization, which may not exist.
    pub(crate) fn failed_for(
        &self,
        organization: OrganizationId,
    ) -> impl Fn(DbErr) -> WriteError + Copy + use<> {
        let failed = self.failed();
        move |error| {
            if refused_owner(&error) {
                WriteError::UnknownOrganization(UnknownOrganization(organization))
            } else {
                WriteError::Database(failed(error))
            }
        }
    }

    /// Puts a fact into the outbox.
    pub(crate) async fn tell(
        &mut self,
        organization: OrganizationId,
        topic: &str,
        payload: &Value,
    ) -> Result<(), WriteError> {
        let row = outbox::ActiveModel {
            id: NotSet,
            organization_id: Set(organization.to_string()),
            topic: Set(topic.to_owned()),
            payload: Set(payload.to_string()),
            created_at: Set(milliseconds(self.store.now())),
        };
        outbox::Entity::insert(row)
            .exec_without_returning(&self.transaction)
            .await
            .map_err(self.failed_for(organization))?;
        self.has_facts = true;
        Ok(())
    }

    /// Adds a line to the audit trail.
    pub(crate) async fn record(&self, act: Act<'_>) -> Result<(), WriteError> {
        let actor = act.author.map_or_else(|| String::from("host"), ToString::to_string);
        self.record_line(act.organization, actor, act.action.to_owned(), Some(act.subject), &act.detail).await
    }

    pub(crate) async fn record_line(
        &self,
        organization: OrganizationId,
        actor: String,
        action: String,
        subject: Option<String>,
        detail: &Value,
    ) -> Result<(), WriteError> {
        let row = audit::ActiveModel {
            id: NotSet,
            organization_id: Set(organization.to_string()),
            at: Set(milliseconds(self.store.now())),
            actor: Set(actor),
            action: Set(action),
            subject: Set(subject),
            detail: Set(detail.to_string()),
        };
        audit::Entity::insert(row)
            .exec_without_returning(&self.transaction)
            .await
            .map_err(self.failed_for(organization))?;
        Ok(())
    }

    /// Adds a line to the host's own audit trail.
    pub(crate) async fn record_for_host(&self, entry: NewAuditEntry) -> Result<(), DatabaseError> {
        let row = host_audit::ActiveModel {
            id: NotSet,
            at: Set(milliseconds(self.store.now())),
            actor: Set(entry.actor),
            action: Set(entry.action),
            subject: Set(entry.subject),
            detail: Set(entry.detail.to_string()),
        };
        let insert = host_audit::Entity::insert(row);
        insert.exec_without_returning(&self.transaction).await.map_err(self.failed())?;
        Ok(())
    }

    /// Makes it so, on the disk, and wakes whoever carries facts out.
    pub(crate) async fn commit(self) -> Result<(), DatabaseError> {
        let failed = self.failed();
        self.transaction.commit().await.map_err(failed)?;
        if self.has_facts {
            self.store.inner.appended.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(())
    }
}
