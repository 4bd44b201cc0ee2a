use hayloft_model::{ContentHash, InstanceKey, Secret, ServerId};
use hayloft_store::audit::Page;
use hayloft_store::instances::InstanceChange;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, Random, key, organization};

on_every_backend!(
    what_was_handed_over_is_there_after_a_restart,
    a_server_opens_only_where_it_was_sealed,
    servers_lie_sealed,
    a_purge_takes_the_servers_along,
);

async fn instance(backend: &impl Backend, plugin: &str) -> InstanceKey {
    let organization = organization(backend.store(), plugin).await.id;
    let key = key(organization, plugin);
    backend.store().instances().change(&key, InstanceChange::new().enabled(true), None).await.unwrap();
    key
}

fn id(text: &str) -> ServerId {
    text.parse().unwrap()
}

async fn put(backend: &impl Backend, key: &InstanceKey, server: &str, said: &str) {
    let hash = ContentHash::from_bytes([7; 32]);
    let said = Secret::new(said.to_owned());
    backend.store().remote_servers().put(key, &id(server), hash, &said).await.unwrap();
}

/// All servers that a process sees which starts now.
async fn seen(backend: &impl Backend) -> Vec<String> {
    let later = backend.another(std::sync::Arc::new(Random)).await;
    let all = later.remote_servers().all().await.unwrap();
    all.iter()
        .map(|found| {
            assert_eq!(found.content_hash, ContentHash::from_bytes([7; 32]));
            format!("{} {} {}", found.key.plugin, found.server, found.said.expose())
        })
        .collect()
}

async fn what_was_handed_over_is_there_after_a_restart(backend: impl Backend) {
    let (one, two) = (instance(&backend, "one").await, instance(&backend, "two").await);
    put(&backend, &one, "a", "first").await;
    put(&backend, &one, "a", "second").await;
    put(&backend, &one, "b", "other").await;
    put(&backend, &two, "a", "of two").await;
    let mut all = seen(&backend).await;
    all.sort();
    assert_eq!(all, ["one a second", "one b other", "two a of two"]);
    for _ in 0..2 {
        backend.store().remote_servers().forget(&one, &id("a")).await.unwrap();
    }
    let mut all = seen(&backend).await;
    all.sort();
    assert_eq!(all, ["one b other", "two a of two"]);
}

async fn a_server_opens_only_where_it_was_sealed(backend: impl Backend) {
    let (one, two) = (instance(&backend, "one").await, instance(&backend, "two").await);
    put(&backend, &one, "a", "first").await;
    put(&backend, &one, "b", "other").await;
    put(&backend, &two, "a", "of two").await;
    let stolen = "update remote_servers set sealed = (select sealed from remote_servers where plugin_id = 'one' and \
                  server_id = 'a')";
    assert_eq!(backend.sql(stolen).await, 3);
    assert_eq!(seen(&backend).await, ["one a first"]);
    let page = Page { before: None, limit: 10 };
    for (key, times) in [(&one, 1), (&two, 1)] {
        let trail = backend.store().audit().list(key.organization, page).await.unwrap();
        let refused = trail.iter().filter(|entry| entry.action == "vault.refused").count();
        assert_eq!(refused, times, "{key}");
    }
}

async fn servers_lie_sealed(backend: impl Backend) {
    let key = instance(&backend, "one").await;
    put(&backend, &key, "a", "canary").await;
    let found = "update remote_servers set registered_at = registered_at where instr(sealed, 'canary') > 0";
    assert_eq!(backend.sql(found).await, 0);
    backend.sql("update remote_servers set sealed = cast('canary' as blob)").await;
    assert_eq!(backend.sql(found).await, 1, "the search finds what is not sealed");
}

async fn a_purge_takes_the_servers_along(backend: impl Backend) {
    let (one, two) = (instance(&backend, "one").await, instance(&backend, "two").await);
    put(&backend, &one, "a", "first").await;
    put(&backend, &two, "a", "of two").await;
    backend.store().instances().change(&one, InstanceChange::new().enabled(false), None).await.unwrap();
    backend.store().configurations().purge(&one, &ADMINISTRATOR).await.unwrap();
    assert_eq!(seen(&backend).await, ["two a of two"]);
}
