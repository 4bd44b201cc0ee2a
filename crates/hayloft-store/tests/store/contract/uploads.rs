use hayloft_model::ContentHash;
use hayloft_model::plugin::{Permission, PermissionKind, Permissions};
use hayloft_store::audit::Page;
use hayloft_store::uploaded_versions::Upload;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(a_version_keeps_its_first_content, what_is_granted_is_kept_by_organization_and_plugin,);

fn hash(byte: u8) -> ContentHash {
    ContentHash::from_bytes([byte; 32])
}

async fn a_version_keeps_its_first_content(backend: impl Backend) {
    let (acme, other) =
        (organization(backend.store(), "Acme").await.id, organization(backend.store(), "Other").await.id);
    let (mail, foreign) = (key(acme, "mail"), key(other, "mail"));
    let versions = backend.store().uploaded_versions();
    let first = Upload::Forward { before: None };
    versions.record(&mail, "1.0.0", hash(1), first, &ADMINISTRATOR).await.unwrap();
    let second = Upload::Forward { before: Some("1.0.0") };
    versions.record(&mail, "2.0.0", hash(2), second, &ADMINISTRATOR).await.unwrap();
    let back = Upload::Back { before: "2.0.0" };
    versions.record(&mail, "1.0.0", hash(3), back, &ADMINISTRATOR).await.unwrap();
    versions.record(&foreign, "1.0.0", hash(4), first, &ADMINISTRATOR).await.unwrap();
    let noted = async |key| {
        let noted = versions.of(key).await.unwrap().into_iter();
        noted.map(|noted| (noted.version, noted.content_hash)).collect::<Vec<_>>()
    };
    assert_eq!(noted(&mail).await, [("1.0.0".to_owned(), hash(1)), ("2.0.0".to_owned(), hash(2))]);
    assert_eq!(noted(&foreign).await, [("1.0.0".to_owned(), hash(4))]);
    let page = Page { before: None, limit: 10 };
    let audit = backend.store().audit().list(acme, page).await.unwrap();
    let downgrades: Vec<bool> = audit
        .iter()
        .filter(|entry| entry.action == "plugin.uploaded")
        .map(|entry| entry.detail["downgrade"].as_bool().unwrap())
        .collect();
    assert_eq!(downgrades, [true, false, false]);
}

async fn what_is_granted_is_kept_by_organization_and_plugin(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let (mail, chat) = (key(acme, "mail"), key(acme, "chat"));
    let of = |names: &[&str]| -> Permissions {
        names.iter().map(|name| Permission::new(PermissionKind::Network, *name)).collect()
    };
    let permissions = backend.store().permissions();
    permissions.replace(&mail, &of(&["a:1"]), &of(&["a:1"]), Some(&ADMINISTRATOR)).await.unwrap();
    permissions.replace(&chat, &of(&["c:1"]), &of(&["c:1"]), None).await.unwrap();
    permissions.replace(&mail, &of(&["a:1", "b:1"]), &of(&["b:1"]), Some(&ADMINISTRATOR)).await.unwrap();
    let all = permissions.all().await.unwrap();
    assert_eq!(all, [(chat.clone(), of(&["c:1"])), (mail.clone(), of(&["a:1", "b:1"]))]);
    permissions.forget(&mail).await.unwrap();
    assert_eq!(permissions.all().await.unwrap(), [(chat, of(&["c:1"]))]);
    let audit = backend.store().audit().list(acme, Page { before: None, limit: 1 }).await.unwrap();
    assert_eq!(audit[0].action, "permissions.granted");
    assert_eq!(audit[0].detail["permissions"][0]["name"], "b:1", "only what is new is told");
}
