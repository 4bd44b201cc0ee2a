//! Which versions of their own plugins organizations uploaded, and what their administrators let plugins do.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("uploaded_versions")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("version"))
                    .col(text("content_hash"))
                    .col(text("author"))
                    .col(time("uploaded_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "version"]))
                    .foreign_key(&mut of_organization("uploaded_versions"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("permissions")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("granted"))
                    .col(text("author"))
                    .col(time("granted_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("permissions"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
