use hayloft_model::{Caller, OrganizationId, Role, TokenId};
use hayloft_store::audit::Page;
use hayloft_store::tokens::{TokenError, TokenHash};
use serde_json::json;
use uuid::Uuid;

use crate::backend::{Backend, on_every_backend};
use crate::support::{ADMINISTRATOR, organization};

on_every_backend!(
    a_role_is_changed_until_the_token_is_revoked,
    a_bearer_is_found_by_its_secret_alone,
    a_revoked_token_opens_nothing,
    tokens_stay_in_their_organization,
    making_and_revoking_is_audited,
);

async fn a_bearer_is_found_by_its_secret_alone(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let (token, secret) =
        store.tokens().create(acme.id, Role::Agent, Some("ci"), &ADMINISTRATOR).await.unwrap();
    let text = secret.expose();
    assert!(text.starts_with("hlt_") && text.len() == 68, "32 random bytes in hexadecimal digits");
    assert_eq!(token.hash, TokenHash::of(text));
    assert!(!format!("{token:?}{secret:?}").contains(&text[4..]));

    assert_eq!(store.tokens().find_by_secret(text).await.unwrap(), Some(token.clone()));
    assert_eq!(store.tokens().all_active().await.unwrap(), std::slice::from_ref(&token));
    assert_eq!(
        token.caller(),
        Caller::Organization { organization: acme.id, role: Role::Agent, token: token.id }
    );
    for wrong in ["", "hlt_", &text[..67], &text.to_uppercase(), &token.id.to_string(), "' or 1=1 --"] {
        assert_eq!(store.tokens().find_by_secret(wrong).await.unwrap(), None, "{wrong}");
    }
}

async fn a_revoked_token_opens_nothing(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let (token, secret) = store.tokens().create(acme.id, Role::Admin, None, &ADMINISTRATOR).await.unwrap();
    let revoked = store.tokens().revoke(acme.id, token.id, &token.caller()).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(store.tokens().find_by_secret(secret.expose()).await.unwrap(), None);
    assert_eq!(store.tokens().all_active().await.unwrap(), []);
    assert_eq!(store.tokens().list(acme.id).await.unwrap(), std::slice::from_ref(&revoked));

    backend.clock().advance(chrono::TimeDelta::seconds(1));
    assert_eq!(store.tokens().revoke(acme.id, token.id, &ADMINISTRATOR).await.unwrap(), revoked);
}

async fn tokens_stay_in_their_organization(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let other = organization(store, "Other").await;
    let (token, secret) = store.tokens().create(acme.id, Role::Member, None, &ADMINISTRATOR).await.unwrap();
    assert_eq!(store.tokens().list(other.id).await.unwrap(), []);
    for (organization, id) in [(other.id, token.id), (acme.id, TokenId::from_uuid(Uuid::nil()))] {
        let refused = store.tokens().revoke(organization, id, &ADMINISTRATOR).await.unwrap_err();
        assert!(matches!(refused, TokenError::NotFound(found) if found == id), "{refused}");
    }
    assert_eq!(store.tokens().find_by_secret(secret.expose()).await.unwrap(), Some(token));

    let nobody = OrganizationId::from_uuid(Uuid::nil());
    let refused = store.tokens().create(nobody, Role::Admin, None, &ADMINISTRATOR).await.unwrap_err();
    assert!(matches!(refused, TokenError::UnknownOrganization(unknown) if unknown.0 == nobody), "{refused}");
}

async fn making_and_revoking_is_audited(backend: impl Backend) {
    let store = backend.store();
    let acme = organization(store, "Acme").await;
    let (token, secret) = store.tokens().create(acme.id, Role::Admin, None, &ADMINISTRATOR).await.unwrap();
    store.tokens().revoke(acme.id, token.id, &token.caller()).await.unwrap();
    let trail = store.audit().list(acme.id, Page { before: None, limit: 10 }).await.unwrap();
    let lines: Vec<_> = trail
        .iter()
        .map(|line| (line.action.as_str(), line.actor.clone(), line.subject.clone().unwrap()))
        .collect();
    assert_eq!(
        lines,
        [
            ("token.revoked", token.id.to_string(), token.id.to_string()),
            ("token.created", "administrator".into(), token.id.to_string()),
            ("organization.created", "administrator".into(), acme.id.to_string()),
        ]
    );
    assert!(!format!("{trail:?}").contains(&secret.expose()[4..]));
}

async fn a_role_is_changed_until_the_token_is_revoked(backend: impl Backend) {
    let store = backend.store();
    let (acme, other) = (organization(store, "Acme").await.id, organization(store, "Other").await.id);
    let (token, secret) = store.tokens().create(acme, Role::Admin, None, &ADMINISTRATOR).await.unwrap();
    let change = async |of, role| store.tokens().change_role(of, token.id, role, &ADMINISTRATOR).await;
    assert!(matches!(change(other, Role::Agent).await, Err(TokenError::NotFound(_))));
    for _ in 0..2 {
        assert_eq!(change(acme, Role::Agent).await.unwrap().role, Role::Agent);
    }
    let found = store.tokens().find_by_secret(secret.expose()).await.unwrap().unwrap();
    assert_eq!((found.id, found.role), (token.id, Role::Agent));
    let trail = store.audit().list(acme, Page { before: None, limit: 10 }).await.unwrap();
    let changed: Vec<_> = trail.iter().filter(|line| line.action == "token.role_changed").collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].detail, json!({ "from": "admin", "to": "agent" }));
    store.tokens().revoke(acme, token.id, &ADMINISTRATOR).await.unwrap();
    assert!(matches!(change(acme, Role::Admin).await, Err(TokenError::NotFound(_))));
}
