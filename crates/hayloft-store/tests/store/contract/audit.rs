use hayloft_model::OrganizationId;
use hayloft_store::WriteError;
use hayloft_store::audit::{NewAuditEntry, Page};
use serde_json::json;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::organization;

on_every_backend!(
    the_trail_is_read_in_pages_newest_first,
    trails_stay_in_their_organization,
    the_host_has_a_trail_of_its_own,
);

fn entry(number: i32) -> NewAuditEntry {
    NewAuditEntry {
        actor: String::from("host"),
        action: String::from("test.done"),
        subject: None,
        detail: json!({ "number": number }),
    }
}

async fn the_trail_is_read_in_pages_newest_first(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    for number in 0..7 {
        store.audit().append(acme.id, entry(number)).await.unwrap();
    }
    let mut page = Page { before: None, limit: 3 };
    let mut seen = Vec::new();
    loop {
        let lines = store.audit().list(acme.id, page).await.unwrap();
        let Some(last) = lines.last() else { break };
        assert!(lines.len() <= 3);
        page.before = Some(last.id);
        seen.extend(lines.iter().filter_map(|line| line.detail["number"].as_i64()));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
}

async fn trails_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    store.audit().append(acme.id, entry(1)).await.unwrap();
    let lines = store.audit().list(other.id, Page { before: None, limit: 10 }).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.action.as_str()).collect::<Vec<_>>(), ["organization.created"]);
    let nobody = OrganizationId::from_uuid(Uuid::nil());
    let refused = store.audit().append(nobody, entry(1)).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}

async fn the_host_has_a_trail_of_its_own(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let all = Page { before: None, limit: 10 };
    let before = store.audit().list(acme.id, all).await.unwrap();
    assert_eq!(store.audit().last_for_host("test.done").await.unwrap(), None);
    for number in 0..3 {
        store.audit().append_for_host(entry(number)).await.unwrap();
    }
    let other = NewAuditEntry { action: String::from("test.refused"), ..entry(3) };
    store.audit().append_for_host(other).await.unwrap();

    let lines = store.audit().list_for_host(Page { before: None, limit: 2 }).await.unwrap();
    let older =
        store.audit().list_for_host(Page { before: lines.last().map(|line| line.id), ..all }).await.unwrap();
    let numbers: Vec<_> = lines.iter().chain(&older).map(|line| line.detail["number"].as_i64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1), Some(0)]);
    let last = store.audit().last_for_host("test.done").await.unwrap().unwrap();
    assert_eq!((last.detail, last.actor.as_str()), (json!({ "number": 2 }), "host"));
    assert_eq!(store.audit().list(acme.id, all).await.unwrap(), before);
}
