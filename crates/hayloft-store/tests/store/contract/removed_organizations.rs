use std::collections::BTreeSet;

use hayloft_model::config::ConfigValues;
use hayloft_model::{OrganizationId, Priority, Role};
use hayloft_store::WriteError;
use hayloft_store::audit::Page;
use hayloft_store::wishes::Wish;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(nobody_is_let_in_and_nothing_is_left, one_that_does_not_exist_is_not_removed);

async fn nobody_is_let_in_and_nothing_is_left(backend: impl Backend) {
    let store = backend.store();
    let (gone, stays) = (organization(store, "Gone").await, organization(store, "Stays").await);
    let mut secrets = Vec::new();
    for id in [gone.id, stays.id] {
        let (_, secret) = store.tokens().create(id, Role::Admin, None, &ADMINISTRATOR).await.unwrap();
        secrets.push(secret);
        let wish = Wish { config: Some(ConfigValues::new()), ..Wish::default() };
        store.wishes().keep(&key(id, "mail"), &ADMINISTRATOR, &wish).await.unwrap();
        store.priorities().choose(&key(id, "mail"), Priority::HIGHEST, &ADMINISTRATOR).await.unwrap();
    }
    let removed = store.removed_organizations();
    assert_eq!(removed.all().await.unwrap(), BTreeSet::new());
    for _ in 0..2 {
        removed.add(gone.id, &ADMINISTRATOR).await.unwrap();
    }
    assert_eq!(store.organizations().list().await.unwrap(), std::slice::from_ref(&stays));
    assert_eq!(store.organizations().get(gone.id).await.unwrap(), Some(gone.clone()));
    assert_eq!(store.tokens().find_by_secret(secrets[0].expose()).await.unwrap(), None);
    assert!(store.tokens().find_by_secret(secrets[1].expose()).await.unwrap().is_some());
    assert_eq!(removed.unerased().await.unwrap(), BTreeSet::from([gone.id]));

    removed.erase(gone.id).await.unwrap();
    assert_eq!(removed.unerased().await.unwrap(), BTreeSet::new());
    assert_eq!(removed.all().await.unwrap(), BTreeSet::from([gone.id]));
    let wishes = store.wishes().all().await.unwrap();
    assert_eq!(wishes.iter().map(|kept| kept.key.organization).collect::<Vec<_>>(), [stays.id]);
    let priorities = store.priorities().all().await.unwrap();
    assert_eq!(priorities, [(key(stays.id, "mail"), Priority::HIGHEST)]);
    // Without its key nothing can be sealed for it again.
    store.wishes().keep(&key(gone.id, "mail"), &ADMINISTRATOR, &Wish::default()).await.unwrap_err();
    let trail = store.audit().list(gone.id, Page { before: None, limit: 10 }).await.unwrap();
    let told = trail.iter().filter(|line| line.action == "organization.removed").count();
    assert_eq!(told, 1);
}

async fn one_that_does_not_exist_is_not_removed(backend: impl Backend) {
    let nobody = OrganizationId::from_uuid(uuid::Uuid::from_u128(7));
    let refused = backend.store().removed_organizations().add(nobody, &ADMINISTRATOR).await;
    assert!(matches!(refused, Err(WriteError::UnknownOrganization(unknown)) if unknown.0 == nobody));
}
