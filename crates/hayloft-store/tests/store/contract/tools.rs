use hayloft_model::{OrganizationId, Revision, ServerId};
use hayloft_store::WriteError;
use hayloft_store::instances::InstanceChange;
use hayloft_store::tools::ToolListing;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(
    a_list_is_kept_as_it_came,
    a_newer_revision_wins,
    lists_stay_in_their_organization,
    a_purge_takes_the_lists_along,
);

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn server(id: &str) -> ServerId {
    id.parse().unwrap()
}

fn texts(listings: &[ToolListing]) -> Vec<(&str, &str, u32, &str)> {
    listings
        .iter()
        .map(|listing| {
            (listing.plugin.as_str(), listing.server.as_str(), listing.revision.0, listing.definitions.get())
        })
        .collect()
}

async fn a_list_is_kept_as_it_came(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let odd = r#"[ {"name":"z",  "x-unknown":{"b":1.0,"a":1e400}, "name":"twice"} ]"#;
    store.tools().replace(&mail, &server("b"), Revision(1), &raw(odd)).await.unwrap();
    store.tools().replace(&mail, &server("a"), Revision(1), &raw("[]")).await.unwrap();
    let listings = store.tools().list(acme.id).await.unwrap();
    assert_eq!(texts(&listings), [("mail", "a", 1, "[]"), ("mail", "b", 1, odd)]);
    store.tools().forget(&mail, &server("b")).await.unwrap();
    let listings = store.tools().list(acme.id).await.unwrap();
    assert_eq!(texts(&listings), [("mail", "a", 1, "[]")]);
}

async fn a_newer_revision_wins(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    for (revision, text, expected) in
        [(2, "[2]", "[2]"), (1, "[1]", "[2]"), (2, "[22]", "[22]"), (3, "[3]", "[3]"), (2, "[2]", "[3]")]
    {
        store.tools().replace(&mail, &server("a"), Revision(revision), &raw(text)).await.unwrap();
        let listings = store.tools().list(acme.id).await.unwrap();
        assert_eq!(listings[0].definitions.get(), expected, "after revision {revision}");
    }
}

async fn lists_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    for (organization, text) in [(acme.id, "[1]"), (other.id, "[2]")] {
        store
            .tools()
            .replace(&key(organization, "mail"), &server("a"), Revision(1), &raw(text))
            .await
            .unwrap();
    }
    store.tools().forget(&key(other.id, "mail"), &server("a")).await.unwrap();
    assert_eq!(texts(&store.tools().list(acme.id).await.unwrap()), [("mail", "a", 1, "[1]")]);
    assert_eq!(texts(&store.tools().list(other.id).await.unwrap()), []);
    assert_eq!(store.tools().all().await.unwrap().len(), 1);

    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused = store.tools().replace(&nobody, &server("a"), Revision(1), &raw("[]")).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}

async fn a_purge_takes_the_lists_along(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let change = InstanceChange::new().enabled(true);
    for plugin in ["mail", "chat"] {
        let key = key(acme.id, plugin);
        store.instances().change(&key, change.clone(), None).await.unwrap();
        store.tools().replace(&key, &server("a"), Revision(1), &raw("[]")).await.unwrap();
    }
    let mail = key(acme.id, "mail");
    store.instances().change(&mail, InstanceChange::new().enabled(false), None).await.unwrap();
    store.configurations().purge(&mail, &ADMINISTRATOR).await.unwrap();
    assert_eq!(texts(&store.tools().list(acme.id).await.unwrap()), [("chat", "a", 1, "[]")]);
}
