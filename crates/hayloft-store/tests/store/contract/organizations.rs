use std::sync::Arc;

use hayloft_model::OrganizationId;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, Constant, organization};

on_every_backend!(are_remembered_in_order, an_id_is_never_given_twice);

async fn are_remembered_in_order(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.organizations().list().await.unwrap(), []);
    let mut made = Vec::new();
    for name in ["Zebra", "Aardvark", "Zebra", "'; drop table organizations; --"] {
        made.push(organization(store, name).await);
        backend.clock().advance(chrono::TimeDelta::milliseconds(1));
    }
    assert_eq!(store.organizations().list().await.unwrap(), made);
    for organization in made {
        assert_eq!(store.organizations().get(organization.id).await.unwrap(), Some(organization));
    }
    let stranger = OrganizationId::from_uuid(Uuid::from_u128(1));
    assert_eq!(store.organizations().get(stranger).await.unwrap(), None);
}

async fn an_id_is_never_given_twice(backend: impl Backend) {
    let stuck = backend.another(Arc::new(Constant(7))).await;
    let first = organization(&stuck, "first").await;
    stuck.organizations().create("second", &ADMINISTRATOR).await.unwrap_err();
    assert_eq!(backend.store().organizations().list().await.unwrap(), [first]);
}
