use hayloft_model::{InstanceState as S, OrganizationId, Revision};
use hayloft_store::audit::Page;
use hayloft_store::configurations::{ConfigurationError, NewConfiguration, PurgeError, SaveError, Stale};
use hayloft_store::instances::{InstanceChange, InstanceError};
use serde_json::json;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, configuration, credentials, key, organization, values};

on_every_backend!(
    what_is_saved_reads_back,
    a_save_builds_on_the_last_one,
    saves_at_once_lose_nothing,
    a_stale_save_is_refused,
    a_refused_save_leaves_no_trace,
    a_save_and_its_change_of_the_instance_are_one,
    a_save_is_told_and_audited_without_values,
    a_purge_deletes_all_and_never_reuses_a_revision,
    configurations_stay_in_their_organization,
);

async fn what_is_saved_reads_back(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "@acme/mail");
    assert_eq!(store.configurations().latest(&mail).await.unwrap(), None);
    let new = NewConfiguration {
        values: values(
            json!({ "zulu": "é\u{0}", "alpha": [1, null, { "b": 2.5 }], "empty": "", "no": false }),
        ),
        credentials: credentials("apiKey", json!({ "apiKey": "sk_1", "extra": null })),
        instance: InstanceChange::new(),
    };
    let saved =
        store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new.clone())).await.unwrap();
    assert_eq!(saved.configuration.revision, Revision(1));
    assert_eq!(saved.configuration.author, "administrator");
    assert_eq!(
        (&saved.configuration.values, &saved.configuration.credentials),
        (&new.values, &new.credentials)
    );
    assert_eq!(
        (saved.instance.enabled, saved.instance.state, saved.instance.desired_revision),
        (false, S::Disabled, Some(Revision(1)))
    );
    let read = store.configurations().load(&mail, Revision(1)).await.unwrap().unwrap();
    assert_eq!(read, saved.configuration);
    assert_eq!(
        read.values.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["zulu", "alpha", "empty", "no"]
    );
    assert_eq!(store.configurations().load(&mail, Revision(2)).await.unwrap(), None);
    // A process that starts later has opened no key yet.
    let later = backend.another(std::sync::Arc::new(crate::support::Random)).await;
    assert_eq!(later.configurations().latest(&mail).await.unwrap(), Some(saved.configuration));
}

async fn a_save_builds_on_the_last_one(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let changes = [json!({ "a": 1, "b": 2 }), json!({ "b": null, "c": 3 }), json!({ "a": 4 })];
    for (change, revision) in changes.into_iter().zip(1..) {
        let change = values(change);
        let saved = store
            .configurations()
            .save(&mail, &ADMINISTRATOR, |current| {
                let before = current.configuration.map(|last| last.revision.0).unwrap_or_default();
                assert_eq!(before, revision - 1);
                assert_eq!(current.instance.desired_revision.map_or(0, |revision| revision.0), before);
                let stored = current.configuration.map(|last| last.values.clone()).unwrap_or_default();
                Ok::<_, ()>(NewConfiguration { values: stored.merged(&change), ..Default::default() })
            })
            .await
            .unwrap();
        assert_eq!(saved.configuration.revision, Revision(revision));
    }
    let latest = store.configurations().latest(&mail).await.unwrap().unwrap();
    assert_eq!(latest.values, values(json!({ "a": 4, "c": 3 })));
}

async fn saves_at_once_lose_nothing(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await;
    let mail = key(acme.id, "mail");
    let other_process = backend.another(std::sync::Arc::new(crate::support::Random)).await;
    let saves: Vec<_> = (0..24)
        .map(|number| {
            let store = if number % 2 == 0 { backend.store().clone() } else { other_process.clone() };
            let mail = mail.clone();
            tokio::spawn(async move {
                let save = store.configurations().save(&mail, &ADMINISTRATOR, |current| {
                    let mut values =
                        current.configuration.map(|last| last.values.clone()).unwrap_or_default();
                    values.insert(format!("field{number}"), json!(number));
                    Ok::<_, ()>(NewConfiguration { values, ..Default::default() })
                });
                save.await.unwrap().configuration.revision.0
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for save in saves {
        revisions.push(save.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=24).collect::<Vec<_>>());
    let latest = backend.store().configurations().latest(&mail).await.unwrap().unwrap();
    assert_eq!((latest.revision, latest.values.len()), (Revision(24), 24));
}

async fn a_stale_save_is_refused(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    for (based_on, accepted) in [
        (Some(Revision(1)), false),
        (None, true),
        (None, false),
        (Some(Revision(1)), true),
        (Some(Revision(1)), false),
    ] {
        let before = store.configurations().latest(&mail).await.unwrap();
        let new = configuration(json!({ "based_on": based_on }));
        match store.configurations().save_based_on(&mail, based_on, new, &ADMINISTRATOR).await {
            Ok(_) => assert!(accepted),
            Err(SaveError::Refused(Stale { latest })) => {
                assert!(!accepted);
                assert_eq!(latest, before.as_ref().map(|before| before.revision));
                assert_eq!(store.configurations().latest(&mail).await.unwrap(), before);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn a_refused_save_leaves_no_trace(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let trail = store.audit().list(acme.id, Page { before: None, limit: 10 }).await.unwrap();
    let refused = store
        .configurations()
        .save(&mail, &ADMINISTRATOR, |_| Err::<NewConfiguration, _>("two problems"))
        .await
        .unwrap_err();
    assert!(matches!(refused, SaveError::Refused("two problems")));
    assert_eq!(store.instances().get(&mail).await.unwrap(), None);
    assert_eq!(store.outbox().take(10).await.unwrap(), []);
    assert_eq!(store.audit().list(acme.id, Page { before: None, limit: 10 }).await.unwrap(), trail);

    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused =
        store.configurations().save(&nobody, &ADMINISTRATOR, |_| Ok::<_, ()>(configuration(json!({}))));
    let refused = refused.await.unwrap_err();
    assert!(matches!(refused, SaveError::Configuration(ConfigurationError::UnknownOrganization(_))));
}

async fn a_save_and_its_change_of_the_instance_are_one(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let save = |number: u32, instance: InstanceChange| {
        let new = NewConfiguration { instance, ..configuration(json!({ "n": number })) };
        store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new))
    };
    let saved = save(1, InstanceChange::new().enabled(true).state(S::Stopped)).await.unwrap();
    assert_eq!((saved.instance.enabled, saved.instance.state), (true, S::Stopped));
    assert_eq!(store.instances().get(&mail).await.unwrap(), Some(saved.instance.clone()));

    let refused = save(2, InstanceChange::new().state(S::Ready)).await.unwrap_err();
    assert!(matches!(refused, SaveError::Instance(InstanceError::IllegalStep(_))), "{refused}");
    assert_eq!(store.instances().get(&mail).await.unwrap(), Some(saved.instance));
    assert_eq!(store.configurations().latest(&mail).await.unwrap(), Some(saved.configuration));

    let saved = save(3, InstanceChange::new()).await.unwrap();
    assert_eq!(saved.configuration.revision, Revision(2));
}

async fn a_save_is_told_and_audited_without_values(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let new = NewConfiguration {
        values: values(json!({ "apiKey": "canary-1", "region": "eu" })),
        credentials: credentials("key", json!({ "apiKey": "canary-2" })),
        instance: InstanceChange::new(),
    };
    store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    let told = store.outbox().take(10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].organization, told[0].topic.as_str(), &told[0].payload),
        (acme.id, "configuration.saved", &json!({ "pluginId": "mail", "revision": 1 }))
    );
    let trail = store.audit().list(acme.id, Page { before: None, limit: 1 }).await.unwrap();
    assert_eq!(
        (trail[0].action.as_str(), trail[0].subject.as_deref()),
        ("configuration.saved", Some("mail"))
    );
    assert_eq!(
        trail[0].detail,
        json!({ "revision": 1, "fields": ["apiKey", "region"], "authMethod": "key" })
    );
    assert!(!format!("{trail:?}{told:?}").contains("canary"));
}

async fn a_purge_deletes_all_and_never_reuses_a_revision(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let save = || {
        store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(configuration(json!({ "a": 1 }))))
    };
    assert!(matches!(
        store.configurations().purge(&mail, &ADMINISTRATOR).await.unwrap_err(),
        PurgeError::NotFound(found) if found == mail
    ));
    save().await.unwrap();
    save().await.unwrap();
    store.instances().change(&mail, InstanceChange::new().enabled(true), None).await.unwrap();
    assert!(matches!(
        store.configurations().purge(&mail, &ADMINISTRATOR).await.unwrap_err(),
        PurgeError::StillEnabled(found) if found == mail
    ));
    store.instances().change(&mail, InstanceChange::new().enabled(false), None).await.unwrap();
    store.configurations().purge(&mail, &ADMINISTRATOR).await.unwrap();
    for revision in 1..=2 {
        assert_eq!(store.configurations().load(&mail, Revision(revision)).await.unwrap(), None);
    }
    assert_eq!(store.configurations().latest(&mail).await.unwrap(), None);
    assert_eq!(store.instances().get(&mail).await.unwrap().unwrap().desired_revision, None);
    let trail = store.audit().list(acme.id, Page { before: None, limit: 1 }).await.unwrap();
    assert_eq!(trail[0].action, "configuration.purged");

    let saved = save().await.unwrap();
    assert_eq!(saved.configuration.revision, Revision(3));
}

async fn configurations_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    let new = configuration(json!({ "a": 1 }));
    store.configurations().save(&key(acme.id, "mail"), &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    assert_eq!(store.configurations().load(&key(other.id, "mail"), Revision(1)).await.unwrap(), None);
    assert_eq!(store.configurations().latest(&key(other.id, "mail")).await.unwrap(), None);
    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused = store.configurations().load(&nobody, Revision(1)).await.unwrap_err();
    assert!(matches!(refused, ConfigurationError::UnknownOrganization(_)), "{refused}");
}
