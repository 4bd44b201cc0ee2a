//! `GET /plugins/ui/{plugin}/{asset}`: a file of a plugin's user interface
//!
//! The dashboard loads them into its own pages, so only what a build makes for that is given out: modules, styles,
//! pictures and fonts; no maps of sources, no pages.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hayloft_host::UiFileError;
use hayloft_model::PluginId;

use super::file_answer::{answer, interface_type, missing, unknown};
use crate::auth::bearer;
use crate::auth::organization::path_parameter;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Give a file out. A token is needed, unless a page of the plugin says that it is for everybody.
pub(crate) async fn ui_file(State(state): State<AppState>, request: Request) -> Response {
    read(&state, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn read(state: &AppState, request: Request) -> Result<Response, ProblemDetails> {
    let (mut parts, _) = request.into_parts();
    let plugin = path_parameter(&mut parts, state, "plugin").await?;
    let path = path_parameter(&mut parts, state, "path").await?;
    let caller = bearer::caller(&parts.headers, state);
    let plugin = plugin.parse::<PluginId>().map_err(|_| missing())?;
    let content = match state.host.ui_file(caller.as_ref(), &plugin, &path).await {
        Ok(content) => content,
        Err(UiFileError::Missing) => return Err(missing()),
        Err(UiFileError::SignInRequired) => {
            return Err(ProblemDetails::unauthorized(
                r#"Bearer realm="hayloft""#,
                "the user interface of this plugin is for people who are signed in",
            ));
        }
        Err(error @ UiFileError::TooLarge) => return Err(unknown(error.to_string())),
    };
    let kind = interface_type(&path).ok_or_else(missing)?;
    Ok(answer(&parts.headers, Some(kind), content))
}
