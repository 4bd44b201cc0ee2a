use hayloft_model::{ContentHash, OrganizationId, Problem, Problems, Registration};
use hayloft_store::WriteError;
use hayloft_store::instances::InstanceChange;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(
    the_last_registration_of_an_instance_is_kept,
    only_those_of_an_organization_are_kept,
    an_unreadable_one_is_left_out,
    a_purge_takes_the_registration_along,
);

fn hash(byte: u8) -> ContentHash {
    ContentHash::from_bytes([byte; 32])
}

fn registration(name: &str) -> Registration {
    Registration { name: name.to_owned(), ..Registration::default() }
}

async fn kept(backend: &impl Backend) -> Vec<(String, String)> {
    let all = backend.store().instance_registrations().all().await.unwrap();
    all.into_iter().map(|kept| (kept.key.plugin.to_string(), kept.registration.name)).collect()
}

async fn the_last_registration_of_an_instance_is_kept(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    let (mail, chat) = (key(acme, "mail"), key(acme, "chat"));
    let problems = Problems::from(Problem::warning("metadata.routes", "odd").hint("mend it"));
    let registrations = backend.store().instance_registrations();
    registrations.put(&mail, hash(1), &registration("one"), &Problems::new()).await.unwrap();
    registrations.put(&chat, hash(1), &registration("chat"), &Problems::new()).await.unwrap();
    registrations.put(&mail, hash(2), &registration("two"), &problems).await.unwrap();
    let all = registrations.all().await.unwrap();
    let two = all.iter().find(|kept| kept.key == mail).unwrap();
    assert_eq!(
        (two.content_hash, two.registration.name.as_str(), &two.problems),
        (hash(2), "two", &problems)
    );
    assert_eq!(
        kept(&backend).await,
        [("chat", "chat"), ("mail", "two")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
}

async fn only_those_of_an_organization_are_kept(backend: impl Backend) {
    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused = backend
        .store()
        .instance_registrations()
        .put(&nobody, hash(1), &registration("one"), &Problems::new())
        .await
        .unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}

async fn an_unreadable_one_is_left_out(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    for plugin in ["mail", "chat"] {
        let registrations = backend.store().instance_registrations();
        registrations
            .put(&key(acme, plugin), hash(1), &registration(plugin), &Problems::new())
            .await
            .unwrap();
    }
    backend
        .sql("update instance_registrations set registration = '{\"routes\":3}' where plugin_id = 'mail'")
        .await;
    assert_eq!(kept(&backend).await, [("chat".to_owned(), "chat".to_owned())]);
}

async fn a_purge_takes_the_registration_along(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await.id;
    for plugin in ["mail", "chat"] {
        let key = key(acme, plugin);
        backend.store().instances().change(&key, InstanceChange::new().enabled(true), None).await.unwrap();
        let registrations = backend.store().instance_registrations();
        registrations.put(&key, hash(1), &registration(plugin), &Problems::new()).await.unwrap();
    }
    let mail = key(acme, "mail");
    backend.store().instances().change(&mail, InstanceChange::new().enabled(false), None).await.unwrap();
    backend.store().configurations().purge(&mail, &ADMINISTRATOR).await.unwrap();
    assert_eq!(kept(&backend).await, [("chat".to_owned(), "chat".to_owned())]);
}
