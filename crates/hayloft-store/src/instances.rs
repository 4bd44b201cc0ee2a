//! Plugins in organizations: what should be, and what is known of what is.
//!
//! A state is only ever changed by a legal step from the stored one, checked in the transaction that writes it.

use chrono::{DateTime, Utc};
use hayloft_model::instance::IllegalStep;
use hayloft_model::{Caller, ContentHash, InstanceKey, InstanceState, OrganizationId, Revision};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::{configurations, instances};
use crate::write::{Act, Write};
use crate::{DatabaseError, Store, UnknownOrganization, WriteError};

mod change;

pub use change::InstanceChange;

/// One plugin in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub key: InstanceKey,
    /// Whether the organization wants it.
    pub enabled: bool,
    /// Where it is in its life.
    pub state: InstanceState,
    /// The configuration that was saved last.
    pub desired_revision: Option<Revision>,
    /// The configuration that proved itself last; a restart uses this one.
    pub active_revision: Option<Revision>,
    /// The configuration that was tried last and did not come to serve.
    pub rejected: Option<Rejected>,
    /// Why it is held back although it is wanted, in words for a person.
    pub hold_reason: Option<String>,
    /// What went wrong last, in words for a person.
    pub last_error: Option<String>,
    /// What the plugin said about the credentials last.
    pub auth_verdict: Option<AuthVerdict>,
    /// Which code it runs.
    pub content_hash: Option<ContentHash>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When anything of it changed last.
    pub updated_at: DateTime<Utc>,
}

/// A configuration that was tried and did not come to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub revision: Revision,
    /// Why, in words for a person.
    pub reason: String,
}

/// What a plugin says about the credentials that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthVerdict {
    /// Whether they work.
    pub valid: bool,
    /// Why they do not, in words for a person.
    pub message: Option<String>,
    /// When it was said.
    pub at: DateTime<Utc>,
}

/// Why an instance was not changed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The organization has no such instance.
    #[error("there is no instance of `{}` in this organization", .0.plugin)]
    NotFound(InstanceKey),
    /// The state that it is in has no such step.
    #[error(transparent)]
    IllegalStep(#[from] IllegalStep),
    /// The change was about a revision that is no longer the one that is wanted.
    #[error("revision {asked} is no longer the one that is wanted")]
    Superseded {
        /// The revision that the change was about.
        asked: Revision,
        /// The one that is wanted now.
        desired: Option<Revision>,
    },
    /// A revision that was never saved, or an older one than the active one, cannot become active.
    #[error("revision {asked} cannot become the active one")]
    NotActivatable {
        /// The revision that was to become active.
        asked: Revision,
        /// The one that is.
        active: Option<Revision>,
    },
    /// There is no such organization.
    #[error(transparent)]
    UnknownOrganization(#[from] UnknownOrganization),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Instance {
    /// The configuration that is wanted and of which nobody knows yet whether it works: it was saved after the one that
    /// serves, and was not tried, or not to the end.
    #[must_use]
    pub fn undecided(&self) -> Option<Revision> {
        let rejected = self.rejected.as_ref().map(|rejected| rejected.revision);
        self.desired_revision.filter(|desired| Some(*desired) > self.active_revision.max(rejected))
    }

    /// Why the configuration that is wanted does not serve, if it was tried.
    #[must_use]
    pub fn rejection(&self) -> Option<&str> {
        let rejected = self.rejected.as_ref()?;
        (Some(rejected.revision) == self.desired_revision && self.active_revision < self.desired_revision)
            .then_some(rejected.reason.as_str())
    }
}

impl From<WriteError> for InstanceError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Operations on instances.
#[derive(Clone, Copy)]
pub struct Instances<'a> {
    pub(crate) store: &'a Store,
}

impl Instances<'_> {
    /// One instance.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(self, key: &InstanceKey) -> Result<Option<Instance>, DatabaseError> {
        find(key)
            .one(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the instance"))?
            .map(TryInto::try_into)
            .transpose()
    }

    /// An organization's instances by plugin.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(self, organization: OrganizationId) -> Result<Vec<Instance>, DatabaseError> {
        self.read(
            instances::Entity::find().filter(instances::Column::OrganizationId.eq(organization.to_string())),
        )
        .await
    }

    /// Every instance of every organization, to fill a cache at the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<Instance>, DatabaseError> {
        self.read(instances::Entity::find()).await
    }

    /// Every instance that its organization wants, for the reconciler's first look.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_enabled(self) -> Result<Vec<Instance>, DatabaseError> {
        self.read(instances::Entity::find().filter(instances::Column::Enabled.eq(true))).await
    }

    /// Changes an instance, all at once or not at all. What changes leaves as `instance.changed`; switching it on or
    /// off goes into the audit trail under `author`, or under `host` where it happened on its own. Switching on makes
    /// the instance if it is missing. A change that changes nothing writes nothing.
    ///
    /// # Errors
    /// When there is no such instance, the step is illegal, a revision is not the right one, or the database fails.
    pub async fn change(
        self,
        key: &InstanceKey,
        change: InstanceChange,
        author: Option<&Caller>,
    ) -> Result<Instance, InstanceError> {
        let mut write = self.store.begin("change the instance").await?;
        if change.enables() {
            ensure(&write, self.store, key).await?;
        }
        let row = lock(&write, key).await?.ok_or_else(|| InstanceError::NotFound(key.clone()))?;
        let row = apply(&mut write, self.store, row, key, change, author).await?;
        write.commit().await?;
        Ok(row.try_into()?)
    }

    /// Takes the next step of an instance's life. Short for a [`Self::change`] of the state alone.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn set_state(self, key: &InstanceKey, to: InstanceState) -> Result<Instance, InstanceError> {
        self.change(key, InstanceChange::new().state(to), None).await
    }

    /// To be called when the host starts and no worker is left: what was running is stopped. Gives the instances that
    /// were not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover(self) -> Result<Vec<Instance>, InstanceError> {
        use InstanceState as S;
        let running = [S::Starting, S::Ready, S::Degraded, S::Draining, S::Backoff];
        let mut write = self.store.begin("recover the instances").await?;
        let rows = instances::Entity::find()
            .filter(instances::Column::State.is_in(running.map(S::as_str)))
            .order_by_asc(instances::Column::OrganizationId)
            .order_by_asc(instances::Column::PluginId)
            .lock_exclusive()
            .all(&write.transaction)
            .await
            .map_err(write.failed())?;
        let mut recovered = Vec::with_capacity(rows.len());
        for row in rows {
            let key = key_of(&row)?;
            let change = InstanceChange::new().state(S::Stopped);
            recovered.push(apply(&mut write, self.store, row, &key, change, None).await?.try_into()?);
        }
        write.commit().await?;
        Ok(recovered)
    }

    async fn read(self, query: Select<instances::Entity>) -> Result<Vec<Instance>, DatabaseError> {
        query
            .order_by_asc(instances::Column::OrganizationId)
            .order_by_asc(instances::Column::PluginId)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the instances"))?
            .into_iter()
            .map(TryInto::try_into)
            .collect()
    }
}

/// Makes the instance's row if it is missing: not wanted, without a configuration.
pub(crate) async fn ensure(write: &Write<'_>, store: &Store, key: &InstanceKey) -> Result<(), WriteError> {
    let now = milliseconds(store.now());
    let row = instances::ActiveModel {
        organization_id: Set(key.organization.to_string()),
        plugin_id: Set(key.plugin.to_string()),
        enabled: Set(false),
        state: Set(InstanceState::Disabled.to_string()),
        last_revision: Set(0),
        desired_revision: Set(None),
        active_revision: Set(None),
        hold_reason: Set(None),
        last_error: Set(None),
        auth_valid: Set(None),
        auth_message: Set(None),
        auth_at: Set(None),
        content_hash: Set(None),
        rejected_revision: Set(None),
        rejection: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    };
    let keep = OnConflict::columns([instances::Column::OrganizationId, instances::Column::PluginId])
        .do_nothing()
        .to_owned();
    instances::Entity::insert(row)
        .on_conflict(keep)
        .try_insert()
        .exec_without_returning(&write.transaction)
        .await
        .map_err(write.failed_for(key.organization))?;
    Ok(())
}

/// Reads the instance's row and keeps others from changing it until the transaction ends.
pub(crate) async fn lock(
    write: &Write<'_>,
    key: &InstanceKey,
) -> Result<Option<instances::Model>, DatabaseError> {
    find(key).lock_exclusive().one(&write.transaction).await.map_err(write.failed())
}

/// Applies a change to a locked row and tells of it.
pub(crate) async fn apply(
    write: &mut Write<'_>,
    store: &Store,
    row: instances::Model,
    key: &InstanceKey,
    change: InstanceChange,
    author: Option<&Caller>,
) -> Result<instances::Model, InstanceError> {
    let mut changed = change.applied(&row)?;
    if changed == row {
        return Ok(row);
    }
    changed.updated_at = milliseconds(store.now());
    store_row(write, changed.clone()).await?;
    if changed.active_revision != row.active_revision {
        forget_replaced(write, key, changed.active_revision).await?;
    }
    let told = json!({
        "pluginId": key.plugin,
        "enabled": changed.enabled,
        "state": changed.state,
        "desiredRevision": changed.desired_revision,
        "activeRevision": changed.active_revision,
    });
    write.tell(key.organization, "instance.changed", &told).await?;
    if changed.enabled != row.enabled {
        write
            .record(Act {
                organization: key.organization,
                author,
                action: if changed.enabled { "instance.enabled" } else { "instance.disabled" },
                subject: key.plugin.to_string(),
                detail: json!({}),
            })
            .await?;
    }
    Ok(changed)
}

/// Writes every column of a locked row.
pub(crate) async fn store_row(write: &Write<'_>, row: instances::Model) -> Result<(), DatabaseError> {
    instances::Entity::update(row.into_active_model().reset_all())
        .exec_without_returning(&write.transaction)
        .await
        .map_err(write.failed())?;
    Ok(())
}

/// Secrets that an organization replaced must not lie around: revisions before the active one can never be started
/// again, so they go.
async fn forget_replaced(
    write: &Write<'_>,
    key: &InstanceKey,
    active: Option<i64>,
) -> Result<(), DatabaseError> {
    let Some(active) = active else { return Ok(()) };
    configurations::Entity::delete_many()
        .filter(configurations::Column::OrganizationId.eq(key.organization.to_string()))
        .filter(configurations::Column::PluginId.eq(key.plugin.to_string()))
        .filter(configurations::Column::Revision.lt(active))
        .exec(&write.transaction)
        .await
        .map_err(write.failed())?;
    Ok(())
}

fn find(key: &InstanceKey) -> Select<instances::Entity> {
    instances::Entity::find_by_id((key.organization.to_string(), key.plugin.to_string()))
}

fn key_of(row: &instances::Model) -> Result<InstanceKey, DatabaseError> {
    Ok(InstanceKey {
        organization: Place("instances", "organization_id").parse(&row.organization_id)?,
        plugin: Place("instances", "plugin_id").parse(&row.plugin_id)?,
    })
}

impl TryFrom<instances::Model> for Instance {
    type Error = DatabaseError;

    fn try_from(row: instances::Model) -> Result<Self, DatabaseError> {
        let revision = |column, number: Option<i64>| {
            number.map(|number| Place("instances", column).revision(number)).transpose()
        };
        let auth_verdict = match (row.auth_valid, row.auth_at) {
            (Some(valid), Some(at)) => Some(AuthVerdict {
                valid,
                message: row.auth_message.clone(),
                at: Place("instances", "auth_at").time(at)?,
            }),
            _ => None,
        };
        let rejected = revision("rejected_revision", row.rejected_revision)?;
        Ok(Self {
            key: key_of(&row)?,
            enabled: row.enabled,
            state: Place("instances", "state").parse(&row.state)?,
            desired_revision: revision("desired_revision", row.desired_revision)?,
            active_revision: revision("active_revision", row.active_revision)?,
            rejected: rejected.zip(row.rejection).map(|(revision, reason)| Rejected { revision, reason }),
            hold_reason: row.hold_reason,
            last_error: row.last_error,
            auth_verdict,
            content_hash: row
                .content_hash
                .map(|hash| Place("instances", "content_hash").parse(&hash))
                .transpose()?,
            created_at: Place("instances", "created_at").time(row.created_at)?,
            updated_at: Place("instances", "updated_at").time(row.updated_at)?,
        })
    }
}
