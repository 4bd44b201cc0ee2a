//! MCP servers elsewhere that plugins' code handed over.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("remote_servers")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("server_id"))
                    .col(text("content_hash"))
                    .col(time("registered_at"))
                    .col(bytes("sealed"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "server_id"]))
                    .foreign_key(&mut of_organization("remote_servers"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
