//! Organizations, their keys, their tokens, and the check of the master key.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("organizations").col(key("id")).col(text("name")).col(time("created_at")).to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("vault_checks")
                    .col(ColumnDef::new("id").integer().not_null().primary_key())
                    .col(text("fingerprint"))
                    .col(bytes("sealed"))
                    .col(time("created_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("organization_keys")
                    .col(key("organization_id"))
                    .col(bytes("sealed"))
                    .col(time("created_at"))
                    .foreign_key(&mut of_organization("organization_keys"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("tokens")
                    .col(key("id"))
                    .col(text("organization_id"))
                    .col(text("role"))
                    .col(optional_text("name"))
                    .col(bytes("secret_hash").unique_key())
                    .col(time("created_at"))
                    .col(optional_number("revoked_at"))
                    .foreign_key(&mut of_organization("tokens"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("tokens", ["organization_id", "id"])).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
