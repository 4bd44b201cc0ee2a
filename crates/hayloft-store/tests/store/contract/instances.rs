use chrono::TimeDelta;
use hayloft_model::{ContentHash, InstanceState as S, OrganizationId, Revision};
use hayloft_store::audit::Page;
use hayloft_store::instances::{AuthVerdict, InstanceChange, InstanceError, Rejected};
use serde_json::json;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, configuration, key, organization};

on_every_backend!(
    switching_on_makes_one,
    a_state_changes_by_legal_steps_only,
    what_changes_reads_back,
    what_does_not_change_writes_nothing,
    news_about_an_old_revision_is_refused,
    only_a_saved_revision_becomes_active_and_none_goes_back,
    instances_stay_in_their_organization,
    what_ran_before_a_restart_is_stopped,
);

async fn switching_on_makes_one(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let refused = store.instances().set_state(&mail, S::Stopped).await.unwrap_err();
    assert!(matches!(&refused, InstanceError::NotFound(found) if *found == mail), "{refused}");

    let on = InstanceChange::new().enabled(true).state(S::Stopped);
    let instance = store.instances().change(&mail, on.clone(), Some(&ADMINISTRATOR)).await.unwrap();
    assert!(instance.enabled);
    assert_eq!((instance.state, instance.desired_revision), (S::Stopped, None));
    assert_eq!(store.instances().get(&mail).await.unwrap(), Some(instance.clone()));
    assert_eq!(store.instances().all_enabled().await.unwrap(), [instance]);

    let off = InstanceChange::new().enabled(false).state(S::Disabled);
    let instance = store.instances().change(&mail, off, None).await.unwrap();
    assert_eq!(store.instances().all_enabled().await.unwrap(), []);
    assert_eq!(store.instances().all().await.unwrap(), [instance]);

    let trail = store.audit().list(acme.id, Page { before: None, limit: 2 }).await.unwrap();
    let lines: Vec<_> = trail.iter().map(|line| (line.action.as_str(), line.actor.as_str())).collect();
    assert_eq!(lines, [("instance.disabled", "host"), ("instance.enabled", "administrator")]);

    let nobody = key(OrganizationId::from_uuid(Uuid::nil()), "mail");
    let refused = store.instances().change(&nobody, on, None).await.unwrap_err();
    assert!(matches!(refused, InstanceError::UnknownOrganization(_)), "{refused}");
}

async fn a_state_changes_by_legal_steps_only(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    store.instances().change(&mail, InstanceChange::new().enabled(true), None).await.unwrap();
    for (to, legal) in [
        (S::Ready, false),
        (S::Starting, true),
        (S::Installing, false),
        (S::Ready, true),
        (S::Ready, true),
        (S::Draining, true),
        (S::Quarantined, false),
        (S::Stopped, true),
    ] {
        let before = store.instances().get(&mail).await.unwrap().unwrap();
        let result = store.instances().set_state(&mail, to).await;
        let after = store.instances().get(&mail).await.unwrap().unwrap();
        assert_eq!(before.state.step(to).is_ok(), legal, "{} → {to}", before.state);
        match result {
            Ok(changed) => assert_eq!((legal, changed.state, &after), (true, to, &changed)),
            Err(InstanceError::IllegalStep(step)) => {
                assert_eq!((legal, step.from, step.to, &after), (false, before.state, to, &before));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn what_changes_reads_back(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let made = store.instances().change(&mail, InstanceChange::new().enabled(true), None).await.unwrap();
    backend.clock().advance(TimeDelta::seconds(1));
    let verdict = AuthVerdict { valid: false, message: Some("expired".into()), at: made.created_at };
    let hash = ContentHash::from_bytes([3; 32]);
    let rejected = Rejected { revision: Revision(2), reason: "it exits".into() };
    let change = InstanceChange::new()
        .hold_reason(Some("waits for a grant".into()))
        .last_error(Some("`onStart` failed".into()))
        .auth_verdict(Some(verdict.clone()))
        .rejected(Some(rejected.clone()))
        .content_hash(hash);
    let changed = store.instances().change(&mail, change, None).await.unwrap();
    assert_eq!(changed.hold_reason.as_deref(), Some("waits for a grant"));
    assert_eq!(changed.last_error.as_deref(), Some("`onStart` failed"));
    assert_eq!(changed.auth_verdict, Some(verdict));
    assert_eq!(changed.content_hash, Some(hash));
    assert_eq!(changed.rejected, Some(rejected));
    assert_eq!(changed.created_at, made.created_at);
    assert!(changed.updated_at > made.updated_at);
    assert_eq!(store.instances().get(&mail).await.unwrap(), Some(changed));

    let cleared = InstanceChange::new().hold_reason(None).last_error(None).auth_verdict(None).rejected(None);
    let cleared = store.instances().change(&mail, cleared, None).await.unwrap();
    assert_eq!((cleared.hold_reason, cleared.last_error, cleared.auth_verdict), (None, None, None));
    assert_eq!(cleared.rejected, None);
    assert_eq!(cleared.content_hash, Some(hash));
}

async fn what_does_not_change_writes_nothing(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    let on = InstanceChange::new().enabled(true).state(S::Starting);
    let first = store.instances().change(&mail, on.clone(), None).await.unwrap();
    let told = store.outbox().take(100).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].topic.as_str(), &told[0].payload["state"]), ("instance.changed", &json!("starting")));

    backend.clock().advance(TimeDelta::seconds(1));
    assert_eq!(store.instances().change(&mail, on, Some(&ADMINISTRATOR)).await.unwrap(), first);
    assert_eq!(store.outbox().take(100).await.unwrap(), told);
    assert_eq!(store.audit().list(acme.id, Page { before: None, limit: 10 }).await.unwrap().len(), 2);
}

async fn news_about_an_old_revision_is_refused(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    for number in 1..=2 {
        let new = configuration(json!({ "n": number }));
        store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    }
    let news = |revision| {
        InstanceChange::new().only_if_desired(Revision(revision)).last_error(Some(format!("of {revision}")))
    };
    let refused = store.instances().change(&mail, news(1), None).await.unwrap_err();
    assert!(
        matches!(refused, InstanceError::Superseded { asked: Revision(1), desired: Some(Revision(2)) }),
        "{refused}"
    );
    let changed = store.instances().change(&mail, news(2), None).await.unwrap();
    assert_eq!(changed.last_error.as_deref(), Some("of 2"));
}

async fn only_a_saved_revision_becomes_active_and_none_goes_back(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    for number in 1..=3 {
        let new = configuration(json!({ "n": number }));
        store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    }
    let activate = |revision| InstanceChange::new().active_revision(Revision(revision));
    for (revision, legal) in [(4, false), (2, true), (1, false), (2, true), (3, true), (2, false)] {
        let result = store.instances().change(&mail, activate(revision), None).await;
        match result {
            Ok(instance) => assert_eq!((instance.active_revision, legal), (Some(Revision(revision)), true)),
            Err(InstanceError::NotActivatable { .. }) => assert!(!legal, "{revision}"),
            Err(error) => panic!("{error}"),
        }
    }
    // What can no longer be started is gone.
    for (revision, kept) in [(1, false), (2, false), (3, true)] {
        let found = store.configurations().load(&mail, Revision(revision)).await.unwrap();
        assert_eq!(found.is_some(), kept, "{revision}");
    }
}

async fn instances_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    let on = InstanceChange::new().enabled(true);
    for plugin in ["mail", "chat"] {
        store.instances().change(&key(acme.id, plugin), on.clone(), None).await.unwrap();
    }
    store.instances().change(&key(other.id, "mail"), on.clone(), None).await.unwrap();
    store.instances().set_state(&key(acme.id, "mail"), S::Failed).await.unwrap();
    let state = |key| async move { store.instances().get(&key).await.unwrap().unwrap().state };
    assert_eq!(state(key(acme.id, "mail")).await, S::Failed);
    assert_eq!(state(key(acme.id, "chat")).await, S::Disabled);
    assert_eq!(state(key(other.id, "mail")).await, S::Disabled);
    let plugins = |instances: Vec<hayloft_store::instances::Instance>| {
        instances.into_iter().map(|instance| instance.key.plugin.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(plugins(store.instances().list(acme.id).await.unwrap()), ["chat", "mail"]);
    assert_eq!(plugins(store.instances().list(other.id).await.unwrap()), ["mail"]);
    assert_eq!(store.instances().all().await.unwrap().len(), 3);
}

async fn what_ran_before_a_restart_is_stopped(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let lives: [(&str, &[S], S); 7] = [
        ("ready", &[S::Starting, S::Ready], S::Stopped),
        ("degraded", &[S::Starting, S::Degraded], S::Stopped),
        ("draining", &[S::Starting, S::Ready, S::Draining], S::Stopped),
        ("backoff", &[S::Starting, S::Backoff], S::Stopped),
        ("quarantined", &[S::Starting, S::Quarantined], S::Quarantined),
        ("unconfigured", &[S::Unconfigured], S::Unconfigured),
        ("failed", &[S::Failed], S::Failed),
    ];
    for (plugin, steps, _) in lives {
        let key = key(acme.id, plugin);
        store.instances().change(&key, InstanceChange::new().enabled(true), None).await.unwrap();
        for step in steps {
            store.instances().set_state(&key, *step).await.unwrap();
        }
    }
    assert_eq!(store.instances().recover().await.unwrap().len(), 4);
    for (plugin, _, expected) in lives {
        let instance = store.instances().get(&key(acme.id, plugin)).await.unwrap().unwrap();
        assert_eq!((instance.state, instance.enabled), (expected, true), "{plugin}");
    }
    assert_eq!(store.instances().recover().await.unwrap(), []);
}
