//! `GET /v1/orgs/{org}/tokens`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hayloft_host::{ListTokensError, Token};
use serde::Serialize;
use utoipa::ToSchema;

use super::RoleName;
use crate::auth::InOrganization;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

impl From<ListTokensError> for ProblemDetails {
    fn from(error: ListTokensError) -> Self {
        match error {
            ListTokensError::Denied(denied) => denied.into(),
            ListTokensError::Store(error) => Self::internal(&error),
        }
    }
}

/// A token without the token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    /// Its public name.
    id: String,
    /// What it may do.
    role: RoleName,
    /// A note on who uses it.
    name: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was revoked; until then absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<DateTime<Utc>>,
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.to_string(),
            role: token.role.into(),
            name: token.name,
            created_at: token.created_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenList)]
pub(crate) struct ListBody {
    /// Oldest first, revoked ones included.
    tokens: Vec<TokenBody>,
}

/// List the tokens of an organization.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/tokens",
    operation_id = "listTokens",
    tag = "organizations",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses((status = OK, body = ListBody, description = "The tokens, oldest first."), Inaccessible)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<Json<ListBody>, ProblemDetails> {
    let tokens = state.host.list_tokens(&caller, organization).await?;
    Ok(Json(ListBody { tokens: tokens.into_iter().map(TokenBody::from).collect() }))
}
