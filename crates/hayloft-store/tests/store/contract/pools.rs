use std::num::NonZeroUsize;

use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Priority};
use hayloft_store::WriteError;
use hayloft_store::audit::Page;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::organization;

on_every_backend!(limits_of_pools_are_kept_until_taken_back, priorities_are_kept_by_organization);

const PAGE: Page = Page { before: None, limit: 10 };

async fn limits_of_pools_are_kept_until_taken_back(backend: impl Backend) {
    let store = backend.store();
    let [one, two] = ["hay-plugin-a", "hay-plugin-b"].map(|id| id.parse::<PluginId>().unwrap());
    let choose = async |plugin: &PluginId, workers: Option<usize>| {
        let workers = workers.and_then(NonZeroUsize::new);
        store.pool_limits().choose(plugin, workers, &Caller::Administrator).await.unwrap();
    };
    choose(&one, Some(3)).await;
    choose(&one, Some(40)).await;
    choose(&two, Some(1)).await;
    let mut all = store.pool_limits().all().await.unwrap();
    all.sort();
    let expected = [(one.clone(), 40), (two.clone(), 1)].map(|(id, n)| (id, NonZeroUsize::new(n).unwrap()));
    assert_eq!(all, expected);
    choose(&one, None).await;
    assert_eq!(store.pool_limits().all().await.unwrap().len(), 1);
    let lines = store.audit().list_for_host(PAGE).await.unwrap();
    let limited: Vec<_> = lines.iter().filter(|line| line.action == "pool.limited").collect();
    assert_eq!(limited.len(), 4);
    assert_eq!((limited[0].actor.as_str(), limited[0].detail["workers"].is_null()), ("administrator", true));
    assert_eq!(limited[1].detail["workers"], 1);
}

async fn priorities_are_kept_by_organization(backend: impl Backend) {
    let store = backend.store();
    let (acme, other) = (organization(store, "Acme").await, organization(store, "Other").await);
    let key = |organization| InstanceKey { organization, plugin: "hay-plugin-a".parse().unwrap() };
    let choose = async |organization, priority: i64| {
        let priority = Priority::try_from(priority).unwrap();
        store.priorities().choose(&key(organization), priority, &Caller::Administrator).await
    };
    choose(acme.id, 5).await.unwrap();
    choose(acme.id, -7).await.unwrap();
    choose(other.id, 100).await.unwrap();
    let of = async |organization| {
        let all = store.priorities().all().await.unwrap();
        all.into_iter().find(|(of, _)| *of == key(organization)).map(|(_, priority)| priority.get())
    };
    assert_eq!((of(acme.id).await, of(other.id).await), (Some(-7), Some(100)));
    store.priorities().forget(&key(acme.id)).await.unwrap();
    assert_eq!((of(acme.id).await, of(other.id).await), (None, Some(100)));
    let lines = store.audit().list(acme.id, PAGE).await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.action == "plugin.priority_chosen").count(), 2);
    let refused = choose(OrganizationId::from_uuid(Uuid::nil()), 1).await.unwrap_err();
    assert!(matches!(refused, WriteError::UnknownOrganization(_)), "{refused}");
}
