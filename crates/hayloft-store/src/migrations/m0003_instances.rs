//! Instances and the revisions of their configuration.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("instances")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(ColumnDef::new("enabled").boolean().not_null())
                    .col(text("state"))
                    .col(number("last_revision"))
                    .col(optional_number("desired_revision"))
                    .col(optional_number("active_revision"))
                    .col(optional_text("hold_reason"))
                    .col(optional_text("last_error"))
                    .col(ColumnDef::new("auth_valid").boolean())
                    .col(optional_text("auth_message"))
                    .col(optional_number("auth_at"))
                    .col(optional_text("content_hash"))
                    .col(time("created_at"))
                    .col(time("updated_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("instances"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("configurations")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(number("revision"))
                    .col(bytes("config_values"))
                    .col(bytes("credentials"))
                    .col(text("author"))
                    .col(time("created_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "revision"]))
                    .foreign_key(&mut of_organization("configurations"))
                    .to_owned(),
            )
            .await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
