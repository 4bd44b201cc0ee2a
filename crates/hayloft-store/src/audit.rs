//! Who did what, for people who have to answer for it. Lines are only ever added; none holds a secret.

use chrono::{DateTime, Utc};
use hayloft_model::OrganizationId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use crate::column::Place;
use crate::entity::{audit, host_audit};
use crate::{DatabaseError, Store, WriteError};

/// One line of the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its place in the trail; newer lines have larger numbers.
    pub id: i64,
    /// Where it happened.
    pub organization: OrganizationId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a token's id, `administrator`, or `host` for what happened on its own.
    pub actor: String,
    /// What: `token.created`, `configuration.saved`, ….
    pub action: String,
    /// To what: a plugin's or a token's id, ….
    pub subject: Option<String>,
    /// More about it, by action.
    pub detail: Value,
}

/// One line of the host's own trail: what concerns no single organization.
#[derive(Clone, Debug, PartialEq)]
pub struct HostAuditEntry {
    /// Its place in the trail; newer lines have larger numbers.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `administrator`, or `host` for what happened on its own.
    pub actor: String,
    /// What: `isolation.refused`, ….
    pub action: String,
    /// To what.
    pub subject: Option<String>,
    /// More about it, by action.
    pub detail: Value,
}

/// A line to add.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAuditEntry {
    /// Who: a `Caller` as it prints itself, or `host`.
    pub actor: String,
    /// What: noun and past participle, `tool.refused`.
    pub action: String,
    /// To what.
    pub subject: Option<String>,
    /// More about it. The caller keeps secrets out.
    pub detail: Value,
}

/// A part of a long list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only what is older than the line with this number; from the newest one if absent.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u64,
}

/// Operations on the audit trail.
#[derive(Clone, Copy)]
pub struct AuditTrail<'a> {
    pub(crate) store: &'a Store,
}

impl AuditTrail<'_> {
    /// Adds a line about something that is no write of this store. Writes add their own, in their transaction.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn append(self, organization: OrganizationId, entry: NewAuditEntry) -> Result<(), WriteError> {
        let write = self.store.begin("append to the audit trail").await?;
        write.record_line(organization, entry.actor, entry.action, entry.subject, &entry.detail).await?;
        Ok(write.commit().await?)
    }

    /// Adds a line to the host's own trail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append_for_host(self, entry: NewAuditEntry) -> Result<(), DatabaseError> {
        let write = self.store.begin("append to the host's audit trail").await?;
        write.record_for_host(entry).await?;
        write.commit().await
    }

    /// The host's own lines, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_for_host(self, page: Page) -> Result<Vec<HostAuditEntry>, DatabaseError> {
        let mut query = host_audit::Entity::find();
        if let Some(before) = page.before {
            query = query.filter(host_audit::Column::Id.lt(before));
        }
        query
            .order_by_desc(host_audit::Column::Id)
            .limit(page.limit)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the host's audit trail"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// The host's newest line about an action.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_for_host(self, action: &str) -> Result<Option<HostAuditEntry>, DatabaseError> {
        host_audit::Entity::find()
            .filter(host_audit::Column::Action.eq(action))
            .order_by_desc(host_audit::Column::Id)
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the host's audit trail"))?
            .map(TryInto::try_into)
            .transpose()
    }

    /// An organization's lines, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        self,
        organization: OrganizationId,
        page: Page,
    ) -> Result<Vec<AuditEntry>, DatabaseError> {
        let mut query =
            audit::Entity::find().filter(audit::Column::OrganizationId.eq(organization.to_string()));
        if let Some(before) = page.before {
            query = query.filter(audit::Column::Id.lt(before));
        }
        query
            .order_by_desc(audit::Column::Id)
            .limit(page.limit)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the audit trail"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }
}

impl TryFrom<audit::Model> for AuditEntry {
    type Error = DatabaseError;

    fn try_from(row: audit::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.id,
            organization: Place("audit", "organization_id").parse(&row.organization_id)?,
            at: Place("audit", "at").time(row.at)?,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: Place("audit", "detail").json(&row.detail)?,
        })
    }
}

impl TryFrom<host_audit::Model> for HostAuditEntry {
    type Error = DatabaseError;

    fn try_from(row: host_audit::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.id,
            at: Place("host_audit", "at").time(row.at)?,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: Place("host_audit", "detail").json(&row.detail)?,
        })
    }
}
