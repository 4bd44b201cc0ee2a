//! The registry of plugins, the same for every organization.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("packages")
                    .col(text("plugin_id"))
                    .col(text("content_hash"))
                    .col(text("version"))
                    .col(text("root"))
                    .col(text("descriptor"))
                    .col(text("problems"))
                    .col(time("first_seen_at"))
                    .col(time("seen_at"))
                    .primary_key(&mut keys(["plugin_id", "content_hash"]))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("current_packages").col(key("plugin_id")).col(text("content_hash")).to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("registrations")
                    .col(key("content_hash"))
                    .col(text("registration"))
                    .col(text("problems"))
                    .col(time("registered_at"))
                    .to_owned(),
            )
            .await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
