//! The audit trail and the outbox.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("audit")
                    .col(sequence("id"))
                    .col(text("organization_id"))
                    .col(time("at"))
                    .col(text("actor"))
                    .col(text("action"))
                    .col(optional_text("subject"))
                    .col(text("detail"))
                    .foreign_key(&mut of_organization("audit"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("audit", ["organization_id", "id"])).await?;
        manager
            .create_table(
                table("outbox")
                    .col(sequence("id"))
                    .col(text("organization_id"))
                    .col(text("topic"))
                    .col(text("payload"))
                    .col(time("created_at"))
                    .foreign_key(&mut of_organization("outbox"))
                    .to_owned(),
            )
            .await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
