use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use chrono::TimeDelta;
use hayloft_model::plugin::{Capability, FormatName, Package, PluginDescriptor, Runtime};
use hayloft_model::{ContentHash, Problem, Problems, Registration};
use hayloft_store::packages::PackageError;

use crate::backend::{Backend, on_every_backend};

on_every_backend!(
    the_last_content_that_was_read_is_the_current_one,
    equal_content_under_two_names_is_two_packages,
    a_path_that_is_no_text_is_refused,
    what_an_older_version_wrote_is_left_out,
    a_registration_belongs_to_its_content,
);

fn package(id: &str, hash: u8, version: &str) -> Package {
    Package {
        root: PathBuf::from(format!("/plugins/{id}")),
        content_hash: ContentHash::from_bytes([hash; 32]),
        descriptor: PluginDescriptor {
            slug: id.replace(['-', '@', '/'], "_"),
            display_name: String::from("A plugin"),
            category: Some(String::from("tools")),
            capabilities: vec![Capability::Mcp, Capability::Config],
            env: vec![String::from("API_KEY")],
            auto_activate: true,
            ..PluginDescriptor::new(
                id.parse().unwrap(),
                version,
                FormatName(String::from("some-format")),
                Runtime::Node { entry: PathBuf::from("dist/index.js") },
            )
        },
        start: Default::default(),
    }
}

async fn the_last_content_that_was_read_is_the_current_one(backend: impl Backend) {
    let store = backend.store();
    let problems = Problems::from(Problem::warning("package.json", "is odd").hint("mend it"));
    let first = store.packages().upsert(&package("mail", 1, "1.0.0"), &problems).await.unwrap();
    assert_eq!(store.packages().list().await.unwrap(), std::slice::from_ref(&first));

    backend.clock().advance(TimeDelta::seconds(1));
    let second = store.packages().upsert(&package("mail", 2, "2.0.0"), &Problems::new()).await.unwrap();
    let other = store.packages().upsert(&package("@acme/chat", 3, "1.0.0"), &Problems::new()).await.unwrap();
    assert_eq!(store.packages().list().await.unwrap(), [other.clone(), second]);

    backend.clock().advance(TimeDelta::seconds(1));
    let mut moved = package("mail", 1, "1.0.0");
    moved.root = PathBuf::from("/elsewhere");
    let again = store.packages().upsert(&moved, &Problems::new()).await.unwrap();
    assert_eq!(again.first_seen_at, first.first_seen_at);
    assert!(again.seen_at > first.seen_at);
    assert_eq!(store.packages().get(&moved.descriptor.id).await.unwrap(), Some(again));

    store.packages().withdraw(&moved.descriptor.id).await.unwrap();
    assert_eq!(store.packages().list().await.unwrap(), [other]);
    assert_eq!(store.packages().get(&moved.descriptor.id).await.unwrap(), None);
}

async fn equal_content_under_two_names_is_two_packages(backend: impl Backend) {
    let store = backend.store();
    let mail = store.packages().upsert(&package("mail", 1, "1.0.0"), &Problems::new()).await.unwrap();
    let chat = store.packages().upsert(&package("chat", 1, "1.0.0"), &Problems::new()).await.unwrap();
    assert_eq!(store.packages().list().await.unwrap(), [chat, mail.clone()]);
    let newer = store.packages().upsert(&package("chat", 2, "2.0.0"), &Problems::new()).await.unwrap();
    assert_eq!(store.packages().list().await.unwrap(), [newer, mail]);
}

async fn a_path_that_is_no_text_is_refused(backend: impl Backend) {
    let mut package = package("mail", 1, "1.0.0");
    package.root = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
    let refused = backend.store().packages().upsert(&package, &Problems::new()).await.unwrap_err();
    assert!(matches!(refused, PackageError::Root { .. }), "{refused}");
}

async fn what_an_older_version_wrote_is_left_out(backend: impl Backend) {
    let store = backend.store();
    store.packages().upsert(&package("mail", 1, "1.0.0"), &Problems::new()).await.unwrap();
    let chat = store.packages().upsert(&package("chat", 2, "1.0.0"), &Problems::new()).await.unwrap();
    assert_eq!(
        backend.sql(r#"update packages set descriptor = '{"old":1}' where plugin_id = 'mail'"#).await,
        1
    );
    assert_eq!(store.packages().list().await.unwrap(), [chat]);
}

async fn a_registration_belongs_to_its_content(backend: impl Backend) {
    let store = backend.store();
    let hash = |byte| ContentHash::from_bytes([byte; 32]);
    let registration = |name: &str| Registration { name: name.to_owned(), ..Registration::default() };
    let problems = Problems::from(Problem::warning("crons[0]", "is odd"));
    store.registrations().put(hash(2), &registration("two"), &problems).await.unwrap();
    store.registrations().put(hash(1), &registration("one"), &Problems::new()).await.unwrap();
    let two = store.registrations().get(hash(2)).await.unwrap().unwrap();
    assert_eq!((two.registration.name.as_str(), &two.problems), ("two", &problems));
    let names = store.registrations().all().await.unwrap();
    assert_eq!(
        names.iter().map(|stored| stored.registration.name.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );

    backend.clock().advance(TimeDelta::seconds(1));
    store.registrations().put(hash(2), &registration("again"), &Problems::new()).await.unwrap();
    let again = store.registrations().get(hash(2)).await.unwrap().unwrap();
    assert_eq!((again.registration.name.as_str(), again.problems.len()), ("again", 0));
    assert!(again.registered_at > two.registered_at);
    assert_eq!(store.registrations().get(hash(3)).await.unwrap(), None);
}
