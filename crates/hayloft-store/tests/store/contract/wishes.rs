use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_store::wishes::{KeptWish, Wish};
use serde_json::json;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(a_wish_is_kept_until_it_is_forgotten, a_wish_opens_only_where_it_was_sealed);

fn values(value: serde_json::Value) -> ConfigValues {
    value.as_object().unwrap().clone().into_iter().collect()
}

async fn a_wish_is_kept_until_it_is_forgotten(backend: impl Backend) {
    let store = backend.store();
    let organization = organization(store, "Acme").await.id;
    let (one, other) = (key(organization, "one"), key(organization, "other"));
    let whole = Wish {
        enabled: Some(true),
        config: Some(values(json!({ "cleared": null, "limit": 3 }))),
        auth: Some(Credentials { method_id: "key".into(), values: values(json!({ "secret": "s3cret" })) }),
    };
    store.wishes().keep(&one, &ADMINISTRATOR, &Wish::default()).await.unwrap();
    store.wishes().keep(&one, &ADMINISTRATOR, &whole).await.unwrap();
    store.wishes().keep(&other, &ADMINISTRATOR, &Wish::default()).await.unwrap();
    let mut kept = store.wishes().all().await.unwrap();
    kept.sort_by_key(|kept| kept.key.plugin.to_string());
    let expected = |key: &hayloft_model::InstanceKey, wish: &Wish| KeptWish {
        key: key.clone(),
        author: String::from("administrator"),
        wish: wish.clone(),
    };
    assert_eq!(kept, [expected(&one, &whole), expected(&other, &Wish::default())]);

    store.wishes().forget(&one).await.unwrap();
    store.wishes().forget(&one).await.unwrap();
    assert_eq!(store.wishes().all().await.unwrap(), [expected(&other, &Wish::default())]);
}

async fn a_wish_opens_only_where_it_was_sealed(backend: impl Backend) {
    let store = backend.store();
    let organization = organization(store, "Acme").await.id;
    let one = key(organization, "one");
    store.wishes().keep(&one, &ADMINISTRATOR, &Wish::default()).await.unwrap();
    assert_eq!(store.wishes().all().await.unwrap().len(), 1);
    assert_eq!(backend.sql("update wishes set plugin_id = 'other'").await, 1);
    assert_eq!(store.wishes().all().await.unwrap(), []);
}
