//! What was wished for plugins that are still being made ready.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("wishes")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("author"))
                    .col(time("wished_at"))
                    .col(bytes("sealed"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("wishes"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
