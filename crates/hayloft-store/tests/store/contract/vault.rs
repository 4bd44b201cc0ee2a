//! Somebody who can write to the database, but has no master key.

use std::collections::HashSet;
use std::sync::Arc;

use hayloft_model::{InstanceKey, Revision};
use hayloft_store::audit::Page;
use hayloft_store::configurations::{ConfigurationError, NewConfiguration, SaveError};
use hayloft_store::instances::InstanceChange;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::backend::{Backend, Sqlite, on_every_backend};
use crate::support::{ADMINISTRATOR, Random, configuration, credentials, key, organization, shown, values};

on_every_backend!(
    a_record_opens_only_where_it_was_sealed,
    an_old_record_does_not_open_as_a_new_one,
    a_data_key_opens_only_for_its_organization,
    a_record_that_does_not_open_is_audited_and_says_nothing,
);

async fn save(backend: &impl Backend, key: &InstanceKey, number: u32) {
    let new = NewConfiguration {
        values: values(json!({ "apiKey": format!("canary-{number}") })),
        credentials: credentials("key", json!({ "apiKey": format!("canary-{number}") })),
        instance: InstanceChange::new(),
    };
    backend.store().configurations().save(key, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
}

async fn a_record_opens_only_where_it_was_sealed(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let other = organization(backend.store(), "Other").await.id;
    let (mail, chat, foreign) = (key(acme, "mail"), key(acme, "chat"), key(other, "mail"));
    for (key, number) in [(&mail, 1), (&mail, 2), (&chat, 3), (&foreign, 4)] {
        save(&backend, key, number).await;
    }
    let row = |key: &InstanceKey, revision| {
        format!(
            "organization_id = '{}' and plugin_id = '{}' and revision = {revision}",
            key.organization, key.plugin
        )
    };
    let of =
        |field, key, revision| format!("(select {field} from configurations where {})", row(key, revision));
    let target = row(&mail, 1);
    let attacks = [
        ("another organization", format!("config_values = {}", of("config_values", &foreign, 1))),
        ("another organization", format!("credentials = {}", of("credentials", &foreign, 1))),
        ("another plugin", format!("config_values = {}", of("config_values", &chat, 1))),
        ("another plugin", format!("credentials = {}", of("credentials", &chat, 1))),
        ("another revision", format!("config_values = {}", of("config_values", &mail, 2))),
        ("another revision", format!("credentials = {}", of("credentials", &mail, 2))),
        ("another field", format!("config_values = {}", of("credentials", &mail, 1))),
        ("another field", format!("credentials = {}", of("config_values", &mail, 1))),
        (
            "another table",
            format!("credentials = (select sealed from organization_keys where organization_id = '{acme}')"),
        ),
        ("nothing", String::from("credentials = x''")),
        ("zeros", String::from("config_values = zeroblob(61)")),
        ("one byte", String::from("config_values = x'01'")),
        (
            "cut at the end",
            String::from("config_values = substr(config_values, 1, length(config_values) - 1)"),
        ),
        ("cut at the front", String::from("config_values = substr(config_values, 2)")),
        ("longer", String::from("config_values = cast(config_values || x'00' as blob)")),
        ("another version", String::from("config_values = cast(x'02' || substr(config_values, 2) as blob)")),
    ];
    for (what, attack) in attacks {
        backend.sql("create table stash as select * from configurations").await;
        assert_eq!(backend.sql(&format!("update configurations set {attack} where {target}")).await, 1);
        let refused = backend.store().configurations().load(&mail, Revision(1)).await;
        assert!(
            matches!(refused, Err(ConfigurationError::Sealed { revision: Revision(1), .. })),
            "{what}: {refused:?}"
        );
        backend.sql("delete from configurations").await;
        backend.sql("insert into configurations select * from stash").await;
        backend.sql("drop table stash").await;
        // The control: put back, it opens.
        let opened = backend.store().configurations().load(&mail, Revision(1)).await.unwrap().unwrap();
        assert_eq!(opened.values.get("apiKey"), Some(&json!("canary-1")));
    }
}

async fn an_old_record_does_not_open_as_a_new_one(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let mail = key(acme, "mail");
    save(&backend, &mail, 1).await;
    backend.sql("create table stash as select * from configurations").await;
    backend.store().configurations().purge(&mail, &ADMINISTRATOR).await.unwrap();
    save(&backend, &mail, 2).await;
    backend
        .sql("update configurations set config_values = (select config_values from stash), credentials = (select credentials from stash)")
        .await;
    let refused = backend.store().configurations().latest(&mail).await;
    assert!(matches!(refused, Err(ConfigurationError::Sealed { .. })), "{refused:?}");
}

async fn a_data_key_opens_only_for_its_organization(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let other = organization(backend.store(), "Other").await.id;
    for organization in [acme, other] {
        save(&backend, &key(organization, "mail"), 1).await;
    }
    // With the key goes the row: all that the attacker of `other` could read with a key of their own.
    backend
        .sql(&format!(
            "update organization_keys set sealed = (select sealed from organization_keys where organization_id = '{other}') where organization_id = '{acme}'"
        ))
        .await;
    let later = backend.another(Arc::new(Random)).await;
    let refused = later.configurations().latest(&key(acme, "mail")).await;
    assert!(
        matches!(refused, Err(ConfigurationError::DataKey { organization, .. }) if organization == acme),
        "{refused:?}"
    );
    assert!(later.configurations().latest(&key(other, "mail")).await.unwrap().is_some());
}

async fn a_record_that_does_not_open_is_audited_and_says_nothing(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let mail = key(acme, "mail");
    save(&backend, &mail, 1).await;
    backend.sql("update configurations set config_values = credentials").await;
    let store = backend.store();
    let loading = store.configurations().load(&mail, Revision(1)).await.unwrap_err();
    let saving = store
        .configurations()
        .save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(configuration(json!({}))))
        .await
        .unwrap_err();
    assert!(matches!(saving, SaveError::Configuration(ConfigurationError::Sealed { .. })), "{saving}");
    let trail = store.audit().list(acme, Page { before: None, limit: 2 }).await.unwrap();
    for line in &trail {
        assert_eq!((line.action.as_str(), line.actor.as_str()), ("vault.refused", "host"));
        assert_eq!((line.subject.as_deref(), &line.detail), (Some("mail"), &json!({ "revision": 1 })));
    }
    let said = format!("{} {} {trail:?}", shown(&loading), shown(&saving));
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(
        store.configurations().load(&mail, Revision(2)).await.unwrap(),
        None,
        "the save stored nothing"
    );
}

/// No two records share a salt or a nonce, not even when many are written of equal content by two processes, and not
/// after a backup was put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn salts_and_nonces_never_repeat() {
    const SALT: std::ops::Range<usize> = 1..33;
    const NONCE: std::ops::Range<usize> = 33..45;
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let restored = backend.another(Arc::new(Random)).await;
    let mut salts = HashSet::new();
    let mut nonces = HashSet::new();
    let url = format!("sqlite:{}", backend.database().display());
    let connection = sea_orm::Database::connect(url).await.unwrap();
    let mut records = 0;
    for round in 0..3 {
        for number in 0..100 {
            let store = if number % 2 == 0 { backend.store() } else { &restored };
            let new = configuration(json!({ "same": "content" }));
            let plugin = key(acme, &format!("plugin{}", number % 4));
            store.configurations().save(&plugin, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
        }
        let query = sea_orm::Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "select config_values as sealed from configurations union all select credentials from configurations",
        );
        for row in connection.query_all_raw(query).await.unwrap() {
            let sealed: Vec<u8> = row.try_get("", "sealed").unwrap();
            assert!(salts.insert(sealed[SALT].to_vec()), "a salt came twice");
            assert!(nonces.insert(sealed[NONCE].to_vec()), "a nonce came twice");
            records += 1;
        }
        // Back to the state before the round: the same revisions are written again.
        connection.execute_unprepared("delete from configurations").await.unwrap();
        connection
            .execute_unprepared("update instances set last_revision = 0, desired_revision = null")
            .await
            .unwrap();
        assert_eq!(records, (round + 1) * 200);
    }
}
