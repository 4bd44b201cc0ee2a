//! Facts on their way out. A fact is written in the transaction that made it true, taken in order, and gone once it
//! was delivered; so it is delivered at least once, whatever happens in between.

use chrono::{DateTime, Utc};
use hayloft_model::OrganizationId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use tokio::sync::watch;

use crate::column::Place;
use crate::entity::outbox;
use crate::{DatabaseError, Store, WriteError};

/// A fact that nobody has been told yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEvent {
    /// Its place in the queue; only ever grows.
    pub id: i64,
    /// Whose fact it is.
    pub organization: OrganizationId,
    /// What kind of fact: `configuration.saved`, `instance.changed`, ….
    pub topic: String,
    /// What it says. Never a secret.
    pub payload: Value,
    /// When it became true.
    pub created_at: DateTime<Utc>,
}

/// Operations on the outbox.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    pub(crate) store: &'a Store,
}

impl Outbox<'_> {
    /// Puts a fact of its own into the queue.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn append(
        self,
        organization: OrganizationId,
        topic: &str,
        payload: &Value,
    ) -> Result<(), WriteError> {
        let mut write = self.store.begin("append to the outbox").await?;
        write.tell(organization, topic, payload).await?;
        Ok(write.commit().await?)
    }

    /// The oldest facts of all organizations that were not delivered, at most so many. Taking does not remove.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(self, limit: u64) -> Result<Vec<OutboxEvent>, DatabaseError> {
        outbox::Entity::find()
            .order_by_asc(outbox::Column::Id)
            .limit(limit)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("take from the outbox"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }

    /// Says that these facts were delivered. Saying so twice changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_sent(self, ids: &[i64]) -> Result<(), DatabaseError> {
        if ids.is_empty() {
            return Ok(());
        }
        let write = self.store.begin("mark the outbox").await?;
        outbox::Entity::delete_many()
            .filter(outbox::Column::Id.is_in(ids.iter().copied()))
            .exec(&write.transaction)
            .await
            .map_err(write.failed())?;
        write.commit().await
    }

    /// Changes whenever this process committed new facts, so that nobody has to poll.
    #[must_use]
    pub fn watch(self) -> watch::Receiver<u64> {
        self.store.inner.appended.subscribe()
    }
}

impl TryFrom<outbox::Model> for OutboxEvent {
    type Error = DatabaseError;

    fn try_from(row: outbox::Model) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.id,
            organization: Place("outbox", "organization_id").parse(&row.organization_id)?,
            topic: row.topic,
            payload: Place("outbox", "payload").json(&row.payload)?,
            created_at: Place("outbox", "created_at").time(row.created_at)?,
        })
    }
}
