//! Which revision of a configuration was tried last and did not come to serve, and why.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One statement for each: SQLite adds one column at a time.
        for mut column in [optional_number("rejected_revision"), optional_text("rejection")] {
            manager.alter_table(Table::alter().table("instances").add_column(&mut column).to_owned()).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
