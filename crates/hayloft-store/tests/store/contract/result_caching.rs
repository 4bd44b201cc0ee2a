use hayloft_model::{Caller, OrganizationId};
use hayloft_store::WriteError;
use hayloft_store::audit::Page;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::organization;

on_every_backend!(the_last_choice_counts_until_it_is_taken_back);

async fn the_last_choice_counts_until_it_is_taken_back(backend: impl Backend) {
    let store = backend.store();
    let (acme, other) = (organization(store, "Acme").await, organization(store, "Other").await);
    let choose = async |organization, enabled| {
        store.result_caching().choose(organization, enabled, &Caller::Administrator).await
    };
    choose(acme.id, Some(false)).await.unwrap();
    choose(acme.id, Some(true)).await.unwrap();
    choose(other.id, Some(false)).await.unwrap();
    let mut all = store.result_caching().all().await.unwrap();
    all.sort();
    let mut expected = [(acme.id, true), (other.id, false)];
    expected.sort();
    assert_eq!(all, expected);
    choose(acme.id, None).await.unwrap();
    assert_eq!(store.result_caching().all().await.unwrap(), [(other.id, false)]);

    let lines = store.audit().list(acme.id, Page { before: None, limit: 10 }).await.unwrap();
    let chosen = lines.iter().filter(|line| line.action == "tools.caching_chosen");
    assert_eq!(chosen.count(), 3);
    let nobody = OrganizationId::from_uuid(Uuid::nil());
    let refused = choose(nobody, Some(true)).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}
