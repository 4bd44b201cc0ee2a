//! Opening a database: an empty one, an old one, a newer one, somebody else's.

use std::fs;

use hayloft_store::{MasterKey, Store, StoreError};
use serde_json::json;
use tempfile::TempDir;

use crate::backend::{Backend, Sqlite};
use crate::support::{ADMINISTRATOR, Constant, FakeClock, Random, configuration, key, options, organization};

async fn open(folder: &TempDir, master_key: MasterKey) -> Result<Store, StoreError> {
    let url = format!("sqlite:{}", folder.path().join("hayloft.db").display());
    Store::open(options(url, master_key, &FakeClock::new())).await
}

fn master_key(folder: &TempDir, name: &str) -> MasterKey {
    MasterKey::load_or_create(&folder.path().join(name), &Random).unwrap()
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, master_key(&folder, "right")).await.unwrap();
    let acme = organization(&store, "Acme").await;
    let mail = key(acme.id, "mail");
    store
        .configurations()
        .save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(configuration(json!({ "a": 1 }))))
        .await
        .unwrap();
    store.close().await.unwrap();
    let before = fs::read(folder.path().join("hayloft.db")).unwrap();

    let wrong = MasterKey::load_or_create(&folder.path().join("wrong"), &Constant(9)).unwrap();
    let refused = open(&folder, wrong).await.unwrap_err();
    assert!(matches!(refused, StoreError::WrongMasterKey { .. }), "{refused:?}");
    assert!(refused.to_string().contains("master key") && refused.hint().is_some(), "{refused}");
    assert_eq!(fs::read(folder.path().join("hayloft.db")).unwrap(), before);

    let store = open(&folder, master_key(&folder, "right")).await.unwrap();
    assert!(store.configurations().latest(&mail).await.unwrap().is_some());
}

#[tokio::test]
async fn a_check_record_that_was_tampered_with_is_refused() {
    for attack in [
        "delete from vault_checks",
        "update vault_checks set sealed = zeroblob(80)",
        "update vault_checks set sealed = (select sealed from organization_keys)",
    ] {
        let backend = Sqlite::fresh().await;
        organization(backend.store(), "Acme").await;
        assert_eq!(backend.sql(attack).await, 1);
        let url = format!("sqlite:{}", backend.database().display());
        let right = MasterKey::load(&backend.folder().join("master-key")).unwrap();
        let refused = Store::open(options(url, right, &FakeClock::new())).await.unwrap_err();
        assert!(matches!(refused, StoreError::VaultCheck), "{attack}: {refused:?}");
    }
}

#[tokio::test]
async fn an_existing_database_is_brought_up_to_date_and_keeps_its_rows() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await;
    // As an older version left it: without the tables of the last two changes.
    for statement in [
        "drop table calls",
        "drop table usage",
        "drop table journal_segments",
        "drop table outbox",
        "drop table audit",
        "delete from seaql_migrations where version in ('m0005_facts', 'm0006_calls')",
    ] {
        backend.sql(statement).await;
    }
    let store = backend.another(std::sync::Arc::new(Random)).await;
    assert_eq!(store.organizations().list().await.unwrap(), std::slice::from_ref(&acme));
    store.outbox().append(acme.id, "test", &json!({})).await.unwrap();
    assert_eq!(store.calls().usage(acme.id, "").await.unwrap(), []);
}

/// Killed after a table was made and before the change was noted.
#[tokio::test]
async fn a_change_that_was_cut_off_is_done_again() {
    let backend = Sqlite::fresh().await;
    backend.sql("drop table usage").await;
    backend.sql("delete from seaql_migrations where version = 'm0006_calls'").await;
    let store = backend.another(std::sync::Arc::new(Random)).await;
    let acme = organization(&store, "Acme").await;
    assert_eq!(store.calls().usage(acme.id, "").await.unwrap(), []);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let backend = Sqlite::fresh().await;
    backend.sql("insert into seaql_migrations (version, applied_at) values ('m9999_later', 0)").await;
    let url = format!("sqlite:{}", backend.database().display());
    let right = MasterKey::load(&backend.folder().join("master-key")).unwrap();
    let refused = Store::open(options(url, right, &FakeClock::new())).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Newer { migration } if migration == "m9999_later"), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hayloft.db");
    fs::write(&path, "this is a letter to my mother, not a database; please leave it as it is".repeat(20))
        .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = open(&folder, master_key(&folder, "key")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Database(_)), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn every_commit_is_on_the_disk_when_it_returns() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, master_key(&folder, "key")).await.unwrap();
    let acme = organization(&store, "Acme").await;
    // What a power failure at this moment would leave: the files as they are, without closing anything.
    let copy = TempDir::new().unwrap();
    for name in ["hayloft.db", "hayloft.db-wal", "key"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let later = open(&copy, master_key(&copy, "key")).await.unwrap();
    assert_eq!(later.organizations().list().await.unwrap(), [acme]);
}
