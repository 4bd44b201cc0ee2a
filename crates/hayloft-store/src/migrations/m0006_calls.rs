//! Calls and usage, filled from the journal.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No foreign key here: one line about an organization that is unknown must not hold up the whole journal.
        manager
            .create_table(
                table("calls")
                    .col(sequence("id"))
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("kind"))
                    .col(optional_text("server_id"))
                    .col(text("name"))
                    .col(text("caller"))
                    .col(time("at"))
                    .col(number("duration_us"))
                    .col(text("outcome"))
                    .col(optional_text("reason"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("calls", ["organization_id", "id"])).await?;
        manager
            .create_table(
                table("usage")
                    .col(text("organization_id"))
                    .col(text("plugin_id"))
                    .col(text("kind"))
                    .col(text("name"))
                    .col(text("day"))
                    .col(number("calls"))
                    .col(number("failures"))
                    .col(number("duration_us"))
                    .primary_key(&mut keys(["organization_id", "plugin_id", "kind", "name", "day"]))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                table("journal_segments")
                    .col(key("segment"))
                    .col(number("lines"))
                    .col(time("replayed_at"))
                    .to_owned(),
            )
            .await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
