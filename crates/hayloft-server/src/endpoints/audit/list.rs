//! `GET /v1/orgs/{org}/audit` and `GET /v1/audit`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::{AuditEntry, HostAuditEntry, ListAuditError, Page};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::{Authenticated, InOrganization};
use crate::openapi::refusals::{BadQuery, Inaccessible};
use crate::problem::ProblemDetails;
use crate::query::{FromQuery, Parameters, QueryReader};
use crate::state::AppState;

impl From<ListAuditError> for ProblemDetails {
    fn from(error: ListAuditError) -> Self {
        match error {
            ListAuditError::Denied(denied) => denied.into(),
            ListAuditError::Store(error) => Self::internal(&error),
        }
    }
}

/// How many entries a page has unless asked for another number.
const DEFAULT_LIMIT: usize = 100;
/// How many entries a page may have.
const MOST: usize = 1000;

/// Which part of the trail.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wish {
    /// Only what is older than the entry of this id: the `next` of the page before.
    #[param(required = false)]
    before: Option<i64>,
    /// At most so many entries, up to 1000; 100 by default.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: usize,
}

impl FromQuery for Wish {
    fn read(query: &mut QueryReader) -> Self {
        Self { before: query.optional("before"), limit: query.count("limit", DEFAULT_LIMIT, MOST) }
    }
}

impl Wish {
    fn page(&self) -> Page {
        Page { before: self.before, limit: u64::try_from(self.limit).unwrap_or(u64::MAX) }
    }
}

/// What somebody did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct EntryBody {
    /// Its place in the trail; newer entries have larger numbers.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who: a token's id, `administrator`, or `host` for what happened on its own.
    actor: String,
    /// What: `token.created`, `configuration.saved`, ….
    action: String,
    /// To what: a plugin's or a token's id, ….
    subject: Option<String>,
    /// More about it, by action.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<AuditEntry> for EntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

impl From<HostAuditEntry> for EntryBody {
    fn from(entry: HostAuditEntry) -> Self {
        let HostAuditEntry { id, at, actor, action, subject, detail } = entry;
        Self { id, at, actor, action, subject, detail }
    }
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct PageBody {
    /// Newest first.
    entries: Vec<EntryBody>,
    /// The `before` of the next page; `null` when this is the last one.
    next: Option<i64>,
}

impl PageBody {
    fn new(entries: Vec<impl Into<EntryBody>>, limit: usize) -> Self {
        let entries: Vec<EntryBody> = entries.into_iter().map(Into::into).collect();
        let next = entries.last().map(|entry| entry.id).filter(|_| entries.len() >= limit);
        Self { entries, next }
    }
}

/// List what was done in an organization.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/audit",
    operation_id = "listAudit",
    tag = "organizations",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id"), Wish),
    responses((status = OK, body = PageBody, description = "A page of the trail, newest first."), Inaccessible, BadQuery)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
    Parameters(wish): Parameters<Wish>,
) -> Result<Json<PageBody>, ProblemDetails> {
    let entries = state.host.list_audit(&caller, organization, wish.page()).await?;
    Ok(Json(PageBody::new(entries, wish.limit)))
}

/// List what happened to the host itself, such as a start with other isolation than before.
///
/// Only for the administrator.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listHostAudit",
    tag = "operations",
    security(("bearer" = [])),
    params(Wish),
    responses((status = OK, body = PageBody, description = "A page of the trail, newest first."), Inaccessible, BadQuery)
)]
pub(crate) async fn list_of_host(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Parameters(wish): Parameters<Wish>,
) -> Result<Json<PageBody>, ProblemDetails> {
    let entries = state.host.list_host_audit(&caller, wish.page()).await?;
    Ok(Json(PageBody::new(entries, wish.limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64) -> AuditEntry {
        AuditEntry {
            id,
            organization: format!("org_{:032x}", 1).parse().unwrap(),
            at: DateTime::UNIX_EPOCH,
            actor: "administrator".into(),
            action: "token.created".into(),
            subject: None,
            detail: Value::Null,
        }
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        assert_eq!(PageBody::new(vec![entry(9), entry(7)], 2).next, Some(7));
        assert_eq!(PageBody::new(vec![entry(9)], 2).next, None);
        assert_eq!(PageBody::new(Vec::<AuditEntry>::new(), 2).next, None);
    }

    #[test]
    fn the_page_has_bounds() {
        let read = |text: &str| crate::query::read::<Wish>(&text.parse().unwrap());
        let wish = read("/").unwrap();
        assert_eq!((wish.before, wish.limit), (None, 100));
        assert_eq!(read("/?before=7&limit=1000").unwrap().before, Some(7));
        for bad in ["/?limit=1001", "/?limit=0", "/?before=x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
