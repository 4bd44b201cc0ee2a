//! Organizations that were removed. Their rows stay, so that an id never comes back with another meaning.

use sea_orm_migration::prelude::*;

use super::columns::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table("removed_organizations")
                    .col(key("organization_id"))
                    .col(time("removed_at"))
                    .foreign_key(&mut of_organization("removed_organizations"))
                    .to_owned(),
            )
            .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
