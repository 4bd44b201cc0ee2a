//! The versions of plugins that organizations uploaded. A version is one content, for ever: it stays noted when the
//! plugin is gone.

use chrono::{DateTime, Utc};
use hayloft_model::{Caller, ContentHash, InstanceKey};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::uploaded_versions;
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// A version that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedVersion {
    /// What the package calls itself.
    pub version: String,
    /// Which code it is.
    pub content_hash: ContentHash,
    /// When it came first.
    pub uploaded_at: DateTime<Utc>,
}

/// What changed in the folder of an organization's own plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload<'a> {
    /// A version that is newer than the one before, or the first.
    Forward {
        /// The version before.
        before: Option<&'a str>,
    },
    /// An older version, which somebody wanted.
    Back {
        /// The version before.
        before: &'a str,
    },
}

/// Operations on uploaded versions.
#[derive(Clone, Copy)]
pub struct UploadedVersions<'a> {
    pub(crate) store: &'a Store,
}

impl UploadedVersions<'_> {
    /// Notes that a version was uploaded, with a line in the audit trail. One that is known stays as it was noted.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn record(
        self,
        key: &InstanceKey,
        version: &str,
        content_hash: ContentHash,
        upload: Upload<'_>,
        author: &Caller,
    ) -> Result<(), WriteError> {
        let row = uploaded_versions::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            version: Set(version.to_owned()),
            content_hash: Set(content_hash.to_string()),
            author: Set(author.to_string()),
            uploaded_at: Set(milliseconds(self.store.now())),
        };
        let keep = OnConflict::columns([
            uploaded_versions::Column::OrganizationId,
            uploaded_versions::Column::PluginId,
            uploaded_versions::Column::Version,
        ])
        .do_nothing()
        .to_owned();
        let write = self.store.begin("note an uploaded version").await?;
        uploaded_versions::Entity::insert(row)
            .on_conflict(keep)
            .try_insert()
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        let (before, is_downgrade) = match upload {
            Upload::Forward { before } => (before, false),
            Upload::Back { before } => (Some(before), true),
        };
        let act = Act {
            organization: key.organization,
            author: Some(author),
            action: "plugin.uploaded",
            subject: key.plugin.to_string(),
            detail: json!({
                "version": version, "contentHash": content_hash, "before": before, "downgrade": is_downgrade,
            }),
        };
        write.record(act).await?;
        Ok(write.commit().await?)
    }

    /// Notes in the audit trail that an organization's own plugin was removed.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn removed(self, key: &InstanceKey, author: &Caller) -> Result<(), WriteError> {
        let write = self.store.begin("note that a plugin was removed").await?;
        let act = Act {
            organization: key.organization,
            author: Some(author),
            action: "plugin.uninstalled",
            subject: key.plugin.to_string(),
            detail: json!({}),
        };
        write.record(act).await?;
        Ok(write.commit().await?)
    }

    /// All versions of a plugin that an organization ever uploaded, the first one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(self, key: &InstanceKey) -> Result<Vec<UploadedVersion>, DatabaseError> {
        let place = |column| Place("uploaded_versions", column);
        uploaded_versions::Entity::find()
            .filter(uploaded_versions::Column::OrganizationId.eq(key.organization.to_string()))
            .filter(uploaded_versions::Column::PluginId.eq(key.plugin.to_string()))
            .order_by_asc(uploaded_versions::Column::UploadedAt)
            .order_by_asc(uploaded_versions::Column::Version)
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read the uploaded versions"))?
            .into_iter()
            .map(|row| {
                Ok(UploadedVersion {
                    content_hash: place("content_hash").parse(&row.content_hash)?,
                    uploaded_at: place("uploaded_at").time(row.uploaded_at)?,
                    version: row.version,
                })
            })
            .collect()
    }
}
