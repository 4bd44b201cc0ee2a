//! Which organizations chose whether results of tools are kept.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("result_caching")
                    .col(key("organization_id"))
                    .col(number("enabled"))
                    .col(time("chosen_at"))
                    .foreign_key(&mut of_organization("result_caching"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
