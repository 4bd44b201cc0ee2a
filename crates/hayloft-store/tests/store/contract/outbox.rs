use hayloft_model::OrganizationId;
use hayloft_store::WriteError;
use serde_json::json;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::organization;

on_every_backend!(facts_leave_in_order_and_once_marked_are_gone, a_commit_wakes_who_watches);

async fn facts_leave_in_order_and_once_marked_are_gone(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    for number in 0..5 {
        store.outbox().append(acme.id, "test.happened", &json!({ "number": number })).await.unwrap();
    }
    let numbers = |events: &[hayloft_store::outbox::OutboxEvent]| {
        events.iter().map(|event| event.payload["number"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let first = store.outbox().take(2).await.unwrap();
    assert_eq!(numbers(&first), [0, 1]);
    assert_eq!(store.outbox().take(2).await.unwrap(), first, "taking does not remove");
    let all = store.outbox().take(100).await.unwrap();
    store.outbox().mark_sent(&[all[0].id, all[3].id]).await.unwrap();
    store.outbox().mark_sent(&[all[0].id]).await.unwrap();
    store.outbox().mark_sent(&[]).await.unwrap();
    assert_eq!(numbers(&store.outbox().take(100).await.unwrap()), [1, 2, 4]);
    // A number that was given is never given again, even when its row is gone.
    store.outbox().mark_sent(&[all[4].id]).await.unwrap();
    store.outbox().append(acme.id, "test.happened", &json!({ "number": 5 })).await.unwrap();
    let last = store.outbox().take(100).await.unwrap().pop().unwrap();
    assert!(last.id > all[4].id);

    let nobody = OrganizationId::from_uuid(Uuid::nil());
    let refused = store.outbox().append(nobody, "test.happened", &json!({})).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}

async fn a_commit_wakes_who_watches(backend: impl Backend) {
    let store = backend.store().clone();
    let acme = organization(&store, "Acme").await;
    let mut watch = store.outbox().watch();
    assert!(!watch.has_changed().unwrap());
    let waiting = tokio::spawn(async move {
        watch.changed().await.unwrap();
        watch
    });
    store.outbox().append(acme.id, "test.happened", &json!({})).await.unwrap();
    waiting.await.unwrap();
    assert_eq!(store.outbox().take(10).await.unwrap().len(), 1);
}
