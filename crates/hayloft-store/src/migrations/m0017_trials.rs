//! Which version of a plugin was in service before one that has still to come up.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("trials")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("before"))
                    .col(optional_text("failed"))
                    .col(time("began_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("trials"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
