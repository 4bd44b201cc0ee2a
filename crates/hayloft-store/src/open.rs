//! The steps of opening: is the schema one we know, is the master key the right one, bring the schema up to date.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use sea_orm_migration::{MigratorTrait, SchemaManager, seaql_migrations};

use crate::column::milliseconds;
use crate::entity::{organization_keys, vault_checks};
use crate::migrations::Migrator;
use crate::vault::{self, Place};
use crate::{DatabaseError, Store, StoreError};

/// There is one check, in one row.
const CHECK: i32 = 1;
const CHECK_TEXT: &[u8] = b"this is the right master key";
const CHECK_PLACE: Place<'static> =
    Place { table: "vault_checks", organization: None, plugin: "", field: "sealed", revision: 0 };

impl Store {
    pub(crate) async fn refuse_newer_schema(&self) -> Result<(), StoreError> {
        let failed = DatabaseError::doing("read the version of the database");
        let writer = &self.database().writer;
        if !has_table(self, "seaql_migrations").await? {
            return Ok(());
        }
        let known: Vec<String> =
            Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        let unknown = seaql_migrations::Entity::find()
            .filter(seaql_migrations::Column::Version.is_not_in(known))
            .one(writer)
            .await
            .map_err(failed)?;
        unknown.map_or(Ok(()), |row| Err(StoreError::Newer { migration: row.version }))
    }

    /// Before anything is changed, so that a wrong key leaves the database as it was.
    pub(crate) async fn refuse_wrong_key(&self) -> Result<(), StoreError> {
        if !has_table(self, "vault_checks").await? {
            return Ok(());
        }
        let failed = DatabaseError::doing("read the check of the master key");
        let row =
            vault_checks::Entity::find_by_id(CHECK).one(&self.database().writer).await.map_err(failed)?;
        row.map_or(Ok(()), |row| self.verify(&row))
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        Migrator::up(&self.database().writer, None)
            .await
            .map_err(DatabaseError::doing("bring the database up to date"))?;
        Ok(())
    }

    /// The database keeps a record that only its master key opens; a new database gets one.
    pub(crate) async fn check_key(&self) -> Result<(), StoreError> {
        let failed = DatabaseError::doing("check the master key");
        let transaction = self.database().begin().await.map_err(failed)?;
        if let Some(row) = vault_checks::Entity::find_by_id(CHECK).one(&transaction).await.map_err(failed)? {
            return self.verify(&row);
        }
        // Whoever took the record away wants us to trust another key.
        if organization_keys::Entity::find().count(&transaction).await.map_err(failed)? > 0 {
            return Err(StoreError::VaultCheck);
        }
        let master = self.vault().master();
        let sealed = vault::seal(master.key(), CHECK_PLACE, CHECK_TEXT, self.entropy())
            .map_err(|_| StoreError::VaultCheck)?;
        let row = vault_checks::ActiveModel {
            id: Set(CHECK),
            fingerprint: Set(master.fingerprint()),
            sealed: Set(sealed),
            created_at: Set(milliseconds(self.now())),
        };
        vault_checks::Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(())
    }

    fn verify(&self, row: &vault_checks::Model) -> Result<(), StoreError> {
        let master = self.vault().master();
        let given = master.fingerprint();
        if given != row.fingerprint {
            return Err(StoreError::WrongMasterKey { given, sealed_with: row.fingerprint.clone() });
        }
        match vault::open(master.key(), CHECK_PLACE, &row.sealed) {
            Ok(plain) if plain.as_slice() == CHECK_TEXT => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::VaultCheck),
        }
    }
}

async fn has_table(store: &Store, name: &str) -> Result<bool, DatabaseError> {
    SchemaManager::new(&store.database().writer)
        .has_table(name)
        .await
        .map_err(DatabaseError::doing("look at the database"))
}
