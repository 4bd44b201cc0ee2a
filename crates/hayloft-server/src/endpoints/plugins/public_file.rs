//! `GET /plugins/public/{plugin}/{path}`: a file of a plugin's public folder
//!
//! Whatever is in it, it is the plugin's word under our address. So it has the type of its name and no other, runs nothing
//! (a picture with scripts in it neither), and what is no picture, text or font is only saved.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hayloft_host::PublicFileError;
use hayloft_model::PluginId;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::auth::bearer;
use crate::auth::organization::path_parameter;
use crate::problem::ProblemDetails;
use crate::state::AppState;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a browser may do with any of these files: show it, with the styles that stand in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// The types of files that browsers show, by the ends of their names.
const TYPES: [(&str, &str); 14] = [
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("css", "text/css; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("mp4", "video/mp4"),
];

/// Give a file out. No token is needed for plugins that every organization can have.
pub(crate) async fn public_file(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let (plugin, path) = match (
        path_parameter(&mut parts, &state, "plugin").await,
        path_parameter(&mut parts, &state, "path").await,
    ) {
        (Ok(plugin), Ok(path)) => (plugin, path),
        (Err(problem), _) | (_, Err(problem)) => return problem.into_response(),
    };
    let caller = bearer::caller(&parts.headers, &state);
    let Ok(plugin) = plugin.parse::<PluginId>() else { return missing().into_response() };
    match state.host.public_file(caller.as_ref(), &plugin, &path).await {
        Ok(content) => {
            let mut response = content.into_response();
            let headers = response.headers_mut();
            match type_of(&path) {
                Some(kind) => headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind)),
                None => {
                    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
                    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                }
            };
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
        Err(PublicFileError::Missing) => missing().into_response(),
        Err(error @ PublicFileError::TooLarge) => ProblemDetails::new(
            StatusCode::NOT_FOUND,
            "unknown-file",
            "The file does not exist",
            error.to_string(),
        )
        .into_response(),
    }
}

fn missing() -> ProblemDetails {
    let detail = "no plugin that is visible to this caller has such a public file";
    ProblemDetails::new(StatusCode::NOT_FOUND, "unknown-file", "The file does not exist", detail)
}

fn type_of(path: &str) -> Option<&'static str> {
    let (_, end) = path.rsplit_once('.')?;
    TYPES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(end)).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_that_of_the_name() {
        assert_eq!(type_of("a/icon.SVG"), Some("image/svg+xml"));
        for saved in ["index.html", "a.js", "a", "svg", "a.svg.html", "a.xml"] {
            assert_eq!(type_of(saved), None, "{saved}");
        }
    }
}
