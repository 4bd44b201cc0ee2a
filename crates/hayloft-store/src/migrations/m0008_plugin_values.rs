//! What plugins registered for single organizations, and the values that they keep there.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("instance_registrations")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("content_hash"))
                    .col(text("registration"))
                    .col(text("problems"))
                    .col(time("registered_at"))
                    .primary_key(&mut keys(["organization_id", "plugin_id"]))
                    .foreign_key(&mut of_organization("instance_registrations"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("plugin_values")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("name"))
                    .col(number("length"))
                    .col(optional_number("expires_at"))
                    .col(time("updated_at"))
                    .col(bytes("sealed"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "name"]))
                    .foreign_key(&mut of_organization("plugin_values"))
                    .to_owned(),
            )
            .await?;
        // How much a plugin keeps is summed up from the index alone, before each value that it sets.
        manager
            .create_index(index("plugin_values", ["organization_id", "plugin_id", "expires_at", "length"]))
            .await?;
        manager.create_index(index("plugin_values", ["expires_at"])).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
