//! `GET /v1/orgs/{org}/plugins/{plugin}/metadata`

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use hayloft_host::PluginMetadataError;
use hayloft_model::Registration;
use http::StatusCode;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};

use crate::auth::OnPlugin;
use crate::openapi;
use crate::openapi::refusals::Inaccessible;
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

impl From<PluginMetadataError> for ProblemDetails {
    fn from(error: PluginMetadataError) -> Self {
        match error {
            PluginMetadataError::Denied(denied) => denied.into(),
            PluginMetadataError::UnknownPlugin(_) => Self::unknown_plugin(),
            PluginMetadataError::NotRegistered { problems } => Self::new(
                StatusCode::BAD_GATEWAY,
                "plugin-not-loadable",
                "The plugin cannot be loaded",
                "the plugin could not be asked what it registers",
            )
            .with_problems(problems),
        }
    }
}

/// What a plugin registered when it was loaded.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct MetadataBody(Registration);

impl utoipa::PartialSchema for MetadataBody {
    fn schema() -> RefOr<Schema> {
        openapi::registration()
    }
}

impl utoipa::ToSchema for MetadataBody {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("PluginMetadata")
    }
}

/// Show what a plugin registered.
///
/// The same for every organization.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/metadata",
    operation_id = "getPluginMetadata",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
    ),
    responses(
        (status = OK, body = MetadataBody, description = "What the plugin registered."),
        (status = BAD_GATEWAY, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin cannot be loaded; with every problem."),
        Inaccessible,
    )
)]
pub(crate) async fn metadata(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
) -> Result<Json<MetadataBody>, ProblemDetails> {
    Ok(Json(MetadataBody(state.host.plugin_metadata(&caller, organization, &plugin).await?)))
}
