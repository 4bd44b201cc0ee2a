//! What MCP servers listed, and the public names of their tools.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("tools")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("server_id"))
                    .col(number("revision"))
                    .col(text("definitions"))
                    .col(time("listed_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "server_id"]))
                    .foreign_key(&mut of_organization("tools"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("tool_names")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("server_id"))
                    .col(text("tool"))
                    .col(text("name"))
                    .col(time("allotted_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "server_id", "tool"]))
                    .foreign_key(&mut of_organization("tool_names"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("tool_names", ["organization_id", "name"]).unique().to_owned()).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
