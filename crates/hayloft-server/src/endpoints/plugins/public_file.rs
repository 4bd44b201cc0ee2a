//! `GET /plugins/public/{plugin}/{path}`: a file of a plugin's public folder
//!
//! What is no picture, text or font is only saved.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hayloft_host::PublicFileError;
use hayloft_model::PluginId;

use super::file_answer::{answer, missing, shown_type, unknown};
use crate::auth::bearer;
use crate::auth::organization::path_parameter;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Give a file out. No token is needed for plugins that every organization can have.
pub(crate) async fn public_file(State(state): State<AppState>, request: Request) -> Response {
    read(&state, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn read(state: &AppState, request: Request) -> Result<Response, ProblemDetails> {
    let (mut parts, _) = request.into_parts();
    let plugin = path_parameter(&mut parts, state, "plugin").await?;
    let path = path_parameter(&mut parts, state, "path").await?;
    let caller = bearer::caller(&parts.headers, state);
    let plugin = plugin.parse::<PluginId>().map_err(|_| missing())?;
    match state.host.public_file(caller.as_ref(), &plugin, &path).await {
        Ok(content) => Ok(answer(&parts.headers, shown_type(&path), content)),
        Err(PublicFileError::Missing) => Err(missing()),
        Err(error @ PublicFileError::TooLarge) => Err(unknown(error.to_string())),
    }
}
