//! How many workers plugins may have, where an administrator said so, and which of an organization's plugins starts first.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("pool_limits")
                    .col(key("plugin_id"))
                    .col(number("workers"))
                    .col(time("chosen_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("priorities")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(number("priority"))
                    .col(time("chosen_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("priorities"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
