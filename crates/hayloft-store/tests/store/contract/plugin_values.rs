use chrono::TimeDelta;
use hayloft_model::{InstanceKey, OrganizationId, Secret};
use hayloft_store::audit::Page;
use hayloft_store::instances::InstanceChange;
use hayloft_store::plugin_values::{PluginValueError, Quota};
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, Random, key, organization, shown};

on_every_backend!(
    what_is_set_is_got_until_it_is_deleted,
    a_value_ends_with_its_time,
    what_has_ended_is_swept,
    the_number_of_values_is_bounded,
    the_size_of_all_values_is_bounded,
    sets_at_once_keep_to_the_quota,
    values_stay_with_their_organization_and_plugin,
    a_purge_takes_the_values_along,
    a_value_opens_only_where_it_was_sealed,
    values_lie_sealed,
);

const PLENTY: Quota = Quota { values: 100, bytes: 1 << 20 };

async fn instance(backend: &impl Backend, plugin: &str) -> InstanceKey {
    let organization = organization(backend.store(), "Acme").await.id;
    enabled(backend, organization, plugin).await
}

async fn enabled(backend: &impl Backend, organization: OrganizationId, plugin: &str) -> InstanceKey {
    let key = key(organization, plugin);
    backend.store().instances().change(&key, InstanceChange::new().enabled(true), None).await.unwrap();
    key
}

async fn set(
    backend: &impl Backend,
    key: &InstanceKey,
    name: &str,
    value: &str,
    seconds: Option<i64>,
    quota: Quota,
) -> Result<(), PluginValueError> {
    let value = Secret::new(value.to_owned());
    backend.store().plugin_values().set(key, name, &value, seconds.map(TimeDelta::seconds), quota).await
}

async fn got(backend: &impl Backend, key: &InstanceKey, name: &str) -> Option<String> {
    let value = backend.store().plugin_values().get(key, name).await.unwrap();
    value.map(|value| value.expose().clone())
}

async fn rows(backend: &impl Backend) -> u64 {
    backend.sql("update plugin_values set updated_at = updated_at").await
}

async fn what_is_set_is_got_until_it_is_deleted(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    assert_eq!(got(&backend, &key, "a").await, None);
    let odd = "é\u{1f600}\n\"'\u{0}";
    for (name, value) in [("a", "one"), ("a", "two"), ("A", ""), ("kärtchen/1 %'\"", odd)] {
        set(&backend, &key, name, value, None, PLENTY).await.unwrap();
        assert_eq!(got(&backend, &key, name).await.as_deref(), Some(value), "{name}");
    }
    assert_eq!(got(&backend, &key, "a").await.as_deref(), Some("two"));
    // A process that starts later has opened no key yet.
    let later = backend.another(std::sync::Arc::new(Random)).await;
    let value = later.plugin_values().get(&key, "a").await.unwrap().unwrap();
    assert_eq!(value.expose(), "two");
    for _ in 0..2 {
        backend.store().plugin_values().delete(&key, "a").await.unwrap();
        assert_eq!(got(&backend, &key, "a").await, None);
    }
    assert_eq!(got(&backend, &key, "A").await.as_deref(), Some(""));
}

async fn a_value_ends_with_its_time(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    set(&backend, &key, "short", "s", Some(60), PLENTY).await.unwrap();
    set(&backend, &key, "long", "l", Some(3600), PLENTY).await.unwrap();
    set(&backend, &key, "ever", "e", None, PLENTY).await.unwrap();
    set(&backend, &key, "beyond", "b", Some(i64::MAX / 1000), PLENTY).await.unwrap();
    backend.clock().advance(TimeDelta::milliseconds(59_999));
    assert_eq!(got(&backend, &key, "short").await.as_deref(), Some("s"));
    backend.clock().advance(TimeDelta::milliseconds(1));
    assert_eq!(got(&backend, &key, "short").await, None);
    // A new value has a new time, or none.
    set(&backend, &key, "long", "again", None, PLENTY).await.unwrap();
    backend.clock().advance(TimeDelta::days(30_000));
    assert_eq!(got(&backend, &key, "long").await.as_deref(), Some("again"));
    assert_eq!(got(&backend, &key, "ever").await.as_deref(), Some("e"));
    assert_eq!(got(&backend, &key, "beyond").await.as_deref(), Some("b"));
}

async fn what_has_ended_is_swept(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    let other = instance(&backend, "notes").await;
    for (key, name, seconds) in [(&key, "a", Some(10)), (&other, "b", Some(10)), (&key, "c", Some(20))] {
        set(&backend, key, name, "x", seconds, PLENTY).await.unwrap();
    }
    set(&backend, &key, "d", "x", None, PLENTY).await.unwrap();
    assert_eq!(backend.store().plugin_values().sweep().await.unwrap(), 0);
    backend.clock().advance(TimeDelta::seconds(10));
    assert_eq!(rows(&backend).await, 4);
    assert_eq!(backend.store().plugin_values().sweep().await.unwrap(), 2);
    assert_eq!(rows(&backend).await, 2);
    assert_eq!(got(&backend, &key, "c").await.as_deref(), Some("x"));
}

async fn the_number_of_values_is_bounded(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    let three = Quota { values: 3, ..PLENTY };
    for name in ["a", "b"] {
        set(&backend, &key, name, "x", None, three).await.unwrap();
    }
    set(&backend, &key, "c", "x", Some(10), three).await.unwrap();
    let refused = set(&backend, &key, "d", "x", None, three).await.unwrap_err();
    assert!(matches!(refused, PluginValueError::TooMany { limit: 3 }), "{refused}");
    assert_eq!(got(&backend, &key, "d").await, None);
    // What is there can be set anew, and what has ended counts no more.
    set(&backend, &key, "a", "y", None, three).await.unwrap();
    backend.clock().advance(TimeDelta::seconds(10));
    set(&backend, &key, "d", "x", None, three).await.unwrap();
    assert!(set(&backend, &key, "e", "x", None, three).await.is_err());
    backend.store().plugin_values().delete(&key, "a").await.unwrap();
    set(&backend, &key, "e", "x", None, three).await.unwrap();
}

async fn the_size_of_all_values_is_bounded(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    let ten = Quota { bytes: 10, ..PLENTY };
    set(&backend, &key, "a", "1234", None, ten).await.unwrap();
    set(&backend, &key, "b", "é12", None, ten).await.unwrap();
    let refused = set(&backend, &key, "c", "", None, ten).await.unwrap_err();
    assert!(matches!(refused, PluginValueError::TooMuch { bytes: 11, limit: 10 }), "{refused}");
    let refused = set(&backend, &key, "a", "12345", None, ten).await.unwrap_err();
    assert!(matches!(refused, PluginValueError::TooMuch { bytes: 11, limit: 10 }), "{refused}");
    assert_eq!(got(&backend, &key, "a").await.as_deref(), Some("1234"));
    set(&backend, &key, "a", "123", None, ten).await.unwrap();
    set(&backend, &key, "c", "", None, ten).await.unwrap();
}

async fn sets_at_once_keep_to_the_quota(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    let other_process = backend.another(std::sync::Arc::new(Random)).await;
    let sets: Vec<_> = (0..24)
        .map(|number| {
            let store = if number % 2 == 0 { backend.store().clone() } else { other_process.clone() };
            let key = key.clone();
            tokio::spawn(async move {
                let value = Secret::new("x".to_owned());
                let quota = Quota { values: 5, ..PLENTY };
                store.plugin_values().set(&key, &format!("n{number}"), &value, None, quota).await.is_ok()
            })
        })
        .collect();
    let mut kept = 0;
    for set in sets {
        kept += usize::from(set.await.unwrap());
    }
    assert_eq!((kept, rows(&backend).await), (5, 5));
}

async fn values_stay_with_their_organization_and_plugin(backend: impl Backend) {
    let notes = instance(&backend, "notes").await;
    let chat = enabled(&backend, notes.organization, "chat").await;
    let foreign = instance(&backend, "notes").await;
    set(&backend, &notes, "a", "mine", None, PLENTY).await.unwrap();
    for stranger in [&chat, &foreign] {
        assert_eq!(got(&backend, stranger, "a").await, None);
        backend.store().plugin_values().delete(stranger, "a").await.unwrap();
        // The quota is each one's own.
        set(&backend, stranger, "b", "theirs", None, Quota { values: 1, bytes: 10 }).await.unwrap();
    }
    assert_eq!(got(&backend, &notes, "a").await.as_deref(), Some("mine"));
    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "notes");
    let refused = set(&backend, &nobody, "a", "x", None, PLENTY).await.unwrap_err();
    assert!(matches!(refused, PluginValueError::NotFound(found) if found == nobody));
}

async fn a_purge_takes_the_values_along(backend: impl Backend) {
    let notes = instance(&backend, "notes").await;
    let chat = enabled(&backend, notes.organization, "chat").await;
    for key in [&notes, &chat] {
        set(&backend, key, "a", "x", None, PLENTY).await.unwrap();
    }
    backend.store().instances().change(&notes, InstanceChange::new().enabled(false), None).await.unwrap();
    assert_eq!(got(&backend, &notes, "a").await.as_deref(), Some("x"));
    backend.store().configurations().purge(&notes, &ADMINISTRATOR).await.unwrap();
    assert_eq!(got(&backend, &notes, "a").await, None);
    assert_eq!(got(&backend, &chat, "a").await.as_deref(), Some("x"));
}

async fn a_value_opens_only_where_it_was_sealed(backend: impl Backend) {
    let notes = instance(&backend, "notes").await;
    let chat = enabled(&backend, notes.organization, "chat").await;
    let foreign = instance(&backend, "notes").await;
    for (key, name) in [(&notes, "a"), (&notes, "b"), (&chat, "a"), (&foreign, "a")] {
        set(&backend, key, name, &format!("canary {key} {name}"), None, PLENTY).await.unwrap();
    }
    let row = |key: &InstanceKey, name: &str| {
        format!(
            "organization_id = '{}' and plugin_id = '{}' and name = '{name}'",
            key.organization, key.plugin
        )
    };
    let of = |key, name| format!("(select sealed from plugin_values where {})", row(key, name));
    let attacks = [
        of(&notes, "b"),
        of(&chat, "a"),
        of(&foreign, "a"),
        format!("(select sealed from organization_keys where organization_id = '{}')", notes.organization),
        String::from("x''"),
        String::from("substr(sealed, 1, length(sealed) - 1)"),
    ];
    let attacked = attacks.len();
    for attack in attacks {
        backend.sql("create table stash as select * from plugin_values").await;
        let statement = format!("update plugin_values set sealed = {attack} where {}", row(&notes, "a"));
        assert_eq!(backend.sql(&statement).await, 1);
        let refused = backend.store().plugin_values().get(&notes, "a").await.unwrap_err();
        assert!(matches!(refused, PluginValueError::Sealed { .. }), "{attack}: {refused}");
        assert!(!shown(&refused).contains("canary"));
        backend.sql("delete from plugin_values").await;
        backend.sql("insert into plugin_values select * from stash").await;
        backend.sql("drop table stash").await;
        // The control: put back, it opens.
        assert!(got(&backend, &notes, "a").await.unwrap().ends_with("notes a"));
    }
    let trail =
        backend.store().audit().list(notes.organization, Page { before: None, limit: 100 }).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "vault.refused").count(), attacked);
}

async fn values_lie_sealed(backend: impl Backend) {
    let key = instance(&backend, "notes").await;
    set(&backend, &key, "token", "canary-value", None, PLENTY).await.unwrap();
    let found = "update plugin_values set updated_at = updated_at where instr(sealed, 'canary') > 0";
    assert_eq!(backend.sql(found).await, 0);
    // The control: it would be found if it lay open.
    backend.sql("update plugin_values set sealed = cast('canary-value' as blob)").await;
    assert_eq!(backend.sql(found).await, 1);
}
