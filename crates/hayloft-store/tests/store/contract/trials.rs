use hayloft_model::{ContentHash, OrganizationId};
use hayloft_store::WriteError;
use hayloft_store::trials::KeptTrial;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, key, organization};

on_every_backend!(a_trial_is_kept_until_it_is_over);

async fn a_trial_is_kept_until_it_is_over(backend: impl Backend) {
    let store = backend.store();
    let (acme, other) = (organization(store, "Acme").await, organization(store, "Other").await);
    let trial = |organization, hash: u8, failed: Option<&str>| KeptTrial {
        key: key(organization, "mail"),
        before: ContentHash::from_bytes([hash; 32]),
        failed: failed.map(String::from),
    };
    store.trials().keep(&trial(acme.id, 1, None)).await.unwrap();
    store.trials().keep(&trial(acme.id, 1, Some("it ended"))).await.unwrap();
    store.trials().keep(&trial(other.id, 2, None)).await.unwrap();
    let all = async || {
        let mut all = store.trials().all().await.unwrap();
        all.sort_by_key(|trial| trial.before);
        all
    };
    assert_eq!(all().await, [trial(acme.id, 1, Some("it ended")), trial(other.id, 2, None)]);
    for _ in 0..2 {
        store.trials().forget(&key(acme.id, "mail")).await.unwrap();
    }
    assert_eq!(all().await, [trial(other.id, 2, None)]);

    let refused = store.trials().keep(&trial(OrganizationId::from_uuid(Uuid::nil()), 1, None)).await;
    assert!(matches!(refused, Err(WriteError::UnknownOrganization(_))), "{refused:?}");
    store.removed_organizations().add(other.id, &ADMINISTRATOR).await.unwrap();
    store.removed_organizations().erase(other.id).await.unwrap();
    assert_eq!(all().await, []);
}
