//! The audit trail of the host itself.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("host_audit")
                    .col(sequence("id"))
                    .col(time("at"))
                    .col(text("actor"))
                    .col(text("action"))
                    .col(optional_text("subject"))
                    .col(text("detail"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("host_audit", ["action", "id"])).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
