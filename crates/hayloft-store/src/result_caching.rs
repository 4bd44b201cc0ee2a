//! Which organizations chose whether results of tools are kept. Without a row the operator's default counts.

use hayloft_model::{Caller, OrganizationId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;

use crate::column::{Place, milliseconds};
use crate::entity::result_caching;
use crate::write::Act;
use crate::{DatabaseError, Store, WriteError};

/// Operations on the choices.
#[derive(Clone, Copy)]
pub struct ResultCaching<'a> {
    pub(crate) store: &'a Store,
}

impl ResultCaching<'_> {
    /// Notes what an organization chose, or that it chooses nothing any more.
    ///
    /// # Errors
    /// When the organization does not exist or the database fails.
    pub async fn choose(
        self,
        organization: OrganizationId,
        enabled: Option<bool>,
        author: &Caller,
    ) -> Result<(), WriteError> {
        let write = self.store.begin("choose whether results are kept").await?;
        match enabled {
            Some(enabled) => {
                let row = result_caching::ActiveModel {
                    organization_id: Set(organization.to_string()),
                    enabled: Set(i64::from(enabled)),
                    chosen_at: Set(milliseconds(self.store.now())),
                };
                let replace = OnConflict::column(result_caching::Column::OrganizationId)
                    .update_columns([result_caching::Column::Enabled, result_caching::Column::ChosenAt])
                    .to_owned();
                result_caching::Entity::insert(row)
                    .on_conflict(replace)
                    .exec_without_returning(&write.transaction)
                    .await
                    .map_err(write.failed_for(organization))?;
            }
            None => {
                result_caching::Entity::delete_by_id(organization.to_string())
                    .exec(&write.transaction)
                    .await
                    .map_err(write.failed())?;
            }
        }
        write
            .record(Act {
                organization,
                author: Some(author),
                action: "tools.caching_chosen",
                subject: organization.to_string(),
                detail: json!({ "enabled": enabled }),
            })
            .await?;
        Ok(write.commit().await?)
    }

    /// What every organization chose that did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(self) -> Result<Vec<(OrganizationId, bool)>, DatabaseError> {
        let rows = result_caching::Entity::find()
            .all(&self.store.database().reader)
            .await
            .map_err(DatabaseError::doing("read whether results are kept"))?;
        let place = Place("result_caching", "organization_id");
        rows.into_iter().map(|row| Ok((place.parse(&row.organization_id)?, row.enabled != 0))).collect()
    }
}
