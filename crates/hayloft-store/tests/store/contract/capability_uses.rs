use chrono::DateTime;
use hayloft_model::OrganizationId;
use hayloft_store::WriteError;
use hayloft_store::audit::{NewAuditEntry, Page};
use hayloft_store::capability_uses::KeptUses;
use serde_json::json;

use crate::backend::{Backend, on_every_backend};
use crate::support::{key, organization};

on_every_backend!(uses_are_kept_until_they_are_told_once, uses_are_kept_together_or_not_at_all);

async fn uses_are_kept_until_they_are_told_once(backend: impl Backend) {
    let store = backend.store();
    let organization = organization(store, "Acme").await.id;
    let at = |second| DateTime::from_timestamp(second, 0).unwrap();
    let uses = |plugin: &str, second, count: u64| {
        KeptUses::new(key(organization, plugin), at(second), json!({ "kv": [count, 0] }))
    };
    store.capability_uses().keep(&[uses("one", 1, 3), uses("other", 2, 1)]).await.unwrap();
    store.capability_uses().keep(&[uses("one", 1, u64::MAX)]).await.unwrap();
    let mut kept = store.capability_uses().all().await.unwrap();
    kept.sort_by_key(|kept| kept.key.plugin.to_string());
    assert_eq!(kept, [uses("one", 1, u64::MAX), uses("other", 2, 1)]);

    let line = NewAuditEntry {
        actor: String::from("host"),
        action: String::from("capabilities.used"),
        subject: Some(String::from("one")),
        detail: json!({ "uses": 1 }),
    };
    store.capability_uses().tell(&key(organization, "one"), line).await.unwrap();
    assert_eq!(store.capability_uses().all().await.unwrap(), [uses("other", 2, 1)]);
    let trail = store.audit().list(organization, Page { before: None, limit: 10 }).await.unwrap();
    let told: Vec<_> = trail.iter().filter(|line| line.action == "capabilities.used").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].subject.as_deref(), &told[0].detail), (Some("one"), &json!({ "uses": 1 })));
}

async fn uses_are_kept_together_or_not_at_all(backend: impl Backend) {
    let store = backend.store();
    let organization = organization(store, "Acme").await.id;
    let nobody = OrganizationId::from_uuid(uuid::Uuid::from_u128(7));
    let uses = |organization| KeptUses::new(key(organization, "one"), DateTime::UNIX_EPOCH, json!({}));
    let refused = store.capability_uses().keep(&[uses(organization), uses(nobody)]).await;
    assert!(matches!(refused, Err(WriteError::UnknownOrganization(unknown)) if unknown.0 == nobody));
    assert_eq!(store.capability_uses().all().await.unwrap(), []);
}
