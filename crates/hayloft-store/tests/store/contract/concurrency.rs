use std::sync::Arc;

use hayloft_model::InstanceState as S;
use hayloft_store::instances::InstanceChange;
use serde_json::json;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, Random, configuration, key, organization};

on_every_backend!(
    many_writers_never_fail,
    a_reader_never_waits_for_a_writer,
    a_cancelled_write_blocks_nobody
);

/// Two processes with 32 tasks each write to ten tables, while others read.
async fn many_writers_never_fail(backend: impl Backend) {
    let acme = organization(backend.store(), "Acme").await;
    let other_process = backend.another(Arc::new(Random)).await;
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let store = if number % 2 == 0 { backend.store().clone() } else { other_process.clone() };
            let plugin = key(acme.id, &format!("plugin{}", number % 8));
            tokio::spawn(async move {
                for step in 0..4 {
                    let new = configuration(json!({ "step": step }));
                    store.configurations().save(&plugin, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
                    store
                        .instances()
                        .change(&plugin, InstanceChange::new().enabled(true).state(S::Failed), None)
                        .await
                        .unwrap();
                    store.outbox().append(plugin.organization, "test", &json!({})).await.unwrap();
                    store.instances().list(plugin.organization).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let instances = backend.store().instances().list(acme.id).await.unwrap();
    let revisions: u32 = instances.iter().filter_map(|instance| instance.desired_revision).map(|r| r.0).sum();
    assert_eq!((instances.len(), revisions), (8, 64 * 4));
}

async fn a_reader_never_waits_for_a_writer(backend: impl Backend) {
    let store = backend.store().clone();
    let acme = organization(&store, "Acme").await;
    let mail = key(acme.id, "mail");
    let (inside, entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let writer = tokio::spawn({
        let (store, mail) = (store.clone(), mail.clone());
        async move {
            let save = store.configurations().save(&mail, &ADMINISTRATOR, move |_| {
                inside.send(()).unwrap();
                released.recv().unwrap();
                Ok::<_, ()>(configuration(json!({ "a": 1 })))
            });
            save.await.unwrap();
        }
    });
    tokio::task::block_in_place(|| entered.recv().unwrap());
    // The writer is in the middle of its transaction; what it did is not visible and nobody waits for it.
    assert_eq!(store.instances().get(&mail).await.unwrap(), None);
    assert_eq!(store.organizations().list().await.unwrap(), [acme]);
    release.send(()).unwrap();
    writer.await.unwrap();
    assert!(store.instances().get(&mail).await.unwrap().is_some());
}

/// A request that is given up in the middle leaves the writer free and nothing half done.
async fn a_cancelled_write_blocks_nobody(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let mail = key(acme.id, "mail");
    for polls in 0..60 {
        let new = configuration(json!({ "polls": polls }));
        let mut save = Box::pin(store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)));
        let mut left = polls;
        std::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            match save.as_mut().poll(context) {
                std::task::Poll::Ready(result) => {
                    result.unwrap();
                    left = 0;
                    std::task::Poll::Ready(())
                }
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        drop(save);
        // Whatever became of it, the latest revision is whole.
        store.configurations().latest(&mail).await.unwrap();
    }
    let before = store.instances().get(&mail).await.unwrap().and_then(|instance| instance.desired_revision);
    let new = configuration(json!({ "last": true }));
    let saved = store.configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    assert_eq!(saved.configuration.revision.0, before.map_or(1, |revision| revision.0 + 1));
    let told = store.outbox().take(1000).await.unwrap();
    assert_eq!(told.len(), saved.configuration.revision.0 as usize);
}
