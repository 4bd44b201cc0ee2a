use hayloft_model::OrganizationId;
use hayloft_store::WriteError;
use hayloft_store::tool_names::WantedName;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{key, organization};

on_every_backend!(
    a_name_is_kept_for_ever,
    a_taken_name_gets_a_suffix_that_fits,
    two_plugins_at_once_never_share_a_name,
    names_stay_in_their_organization,
);

const LONGEST: usize = 64;

fn wanted(server: &str, tool: &str, name: &str) -> WantedName {
    WantedName { server: server.parse().unwrap(), tool: tool.to_owned(), name: name.to_owned() }
}

async fn a_name_is_kept_for_ever(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let first = [wanted("s", "send", "mail__send"), wanted("s", "list", "mail__list")];
    let names = store.tool_names().allot(&mail, &first, LONGEST).await.unwrap();
    assert_eq!(names, ["mail__send", "mail__list"]);
    // Whatever is wanted later, in whatever order and whoever else came.
    let chat = key(acme.id, "chat");
    let names = store.tool_names().allot(&chat, &[wanted("s", "send", "mail__send")], LONGEST).await.unwrap();
    assert_eq!(names, ["mail__send_2"]);
    let later =
        [wanted("s", "list", "other"), wanted("s", "new", "mail__new"), wanted("s", "send", "mail__send")];
    let names = store.tool_names().allot(&mail, &later, LONGEST).await.unwrap();
    assert_eq!(names, ["mail__list", "mail__new", "mail__send"]);
    let names = store.tool_names().allot(&chat, &[wanted("s", "send", "chat__send")], LONGEST).await.unwrap();
    assert_eq!(names, ["mail__send_2"]);
}

async fn a_taken_name_gets_a_suffix_that_fits(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let long = "x".repeat(70);
    let tools: Vec<_> = (0..11).map(|number| wanted("s", &format!("t{number}"), &long)).collect();
    let names = store.tool_names().allot(&mail, &tools, LONGEST).await.unwrap();
    assert!(names.iter().all(|name| name.len() == LONGEST), "{names:?}");
    assert_eq!(names[0], "x".repeat(64));
    assert_eq!(names[1], format!("{}_2", "x".repeat(62)));
    assert_eq!(names[10], format!("{}_11", "x".repeat(61)));
    // The same tool on two servers is two tools; the same wish twice in one request is one.
    let twice = [wanted("a", "t", "n"), wanted("b", "t", "n"), wanted("a", "t", "n")];
    assert_eq!(store.tool_names().allot(&mail, &twice, LONGEST).await.unwrap(), ["n", "n_2", "n"]);
    let umlauts = [wanted("c", "1", "ääää"), wanted("c", "2", "ääää")];
    assert_eq!(store.tool_names().allot(&mail, &umlauts, 7).await.unwrap(), ["äää", "ää_2"]);
}

async fn two_plugins_at_once_never_share_a_name(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await;
    let other_process = backend.another(std::sync::Arc::new(crate::support::Random)).await;
    let allotments: Vec<_> = (0..16)
        .map(|number| {
            let store = if number % 2 == 0 { backend.store().clone() } else { other_process.clone() };
            let plugin = key(acme.id, &format!("plugin{number}"));
            tokio::spawn(async move {
                store.tool_names().allot(&plugin, &[wanted("s", "t", "same")], LONGEST).await.unwrap()
            })
        })
        .collect();
    let mut names = Vec::new();
    for allotment in allotments {
        names.extend(allotment.await.unwrap());
    }
    names.sort();
    let mut listed: Vec<_> =
        backend.store().tool_names().list(acme.id).await.unwrap().into_iter().map(|row| row.name).collect();
    listed.sort();
    assert_eq!(names, listed);
    names.dedup();
    assert_eq!(names.len(), 16);
}

async fn names_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    for organization in [acme.id, other.id] {
        let tools = [wanted("s", "send", "mail__send")];
        let names = store.tool_names().allot(&key(organization, "mail"), &tools, LONGEST).await.unwrap();
        assert_eq!(names, ["mail__send"]);
    }
    let listed = store.tool_names().list(other.id).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].organization, listed[0].tool.as_str()), (other.id, "send"));
    assert_eq!(store.tool_names().all().await.unwrap().len(), 2);

    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused = store.tool_names().allot(&nobody, &[wanted("s", "t", "n")], LONGEST).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}
