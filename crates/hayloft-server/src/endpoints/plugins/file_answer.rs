//! How a file of a plugin's folder is answered with.
//!
//! Whatever is in it, it is the plugin's word under our address. So it has the type of its name and no other, and opened
//! by itself it runs nothing (a picture with scripts in it neither).

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::middleware::response_headers::Revalidated;
use crate::problem::ProblemDetails;

/// What a browser may do with any of these files: show it, with the styles that stand in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// The types of files that browsers show, by the ends of their names.
const SHOWN: [(&str, &str); 14] = [
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

/// The types of files that pages of the dashboard load to run.
const RUN: [(&str, &str); 2] =
    [("js", "text/javascript; charset=utf-8"), ("mjs", "text/javascript; charset=utf-8")];

/// The type of a file that is shown.
pub(super) fn shown_type(path: &str) -> Option<&'static str> {
    type_among(&SHOWN, path)
}

/// The type of a file that is shown or run.
pub(super) fn interface_type(path: &str) -> Option<&'static str> {
    type_among(&RUN, path).or_else(|| shown_type(path))
}

fn type_among(types: &[(&str, &'static str)], path: &str) -> Option<&'static str> {
    let (_, end) = path.rsplit_once('.')?;
    types.iter().find(|(known, _)| known.eq_ignore_ascii_case(end)).map(|(_, kind)| *kind)
}

/// The file, or that it is still what the reader has. One without a type is only saved.
pub(super) fn answer(asked: &HeaderMap, kind: Option<&'static str>, content: Bytes) -> Response {
    let tag = tag_of(&content);
    let mut response =
        if has(asked, &tag) { StatusCode::NOT_MODIFIED.into_response() } else { content.into_response() };
    response.extensions_mut().insert(Revalidated);
    let headers = response.headers_mut();
    match kind {
        Some(kind) => headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind)),
        None => {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        }
    };
    // Hexadecimal digits in quotes are always a value of a field.
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Who asks decides which plugin a name means.
    headers.insert(VARY, HeaderValue::from_static("authorization"));
    response
}

/// The answer where there is no such file, whyever: nobody learns what others have.
pub(super) fn missing() -> ProblemDetails {
    unknown("no plugin that is visible to this caller has such a file")
}

/// The answer where the file is not given out.
pub(super) fn unknown(detail: impl Into<String>) -> ProblemDetails {
    ProblemDetails::new(StatusCode::NOT_FOUND, "unknown-file", "The file does not exist", detail)
}

/// A name of the content (RFC 9110 section 8.8.3): another content never has it.
fn tag_of(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether the reader has this content (RFC 9110 section 13.1.2).
fn has(asked: &HeaderMap, tag: &str) -> bool {
    let values = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_that_of_the_name() {
        assert_eq!(shown_type("a/icon.SVG"), Some("image/svg+xml"));
        for saved in ["index.html", "a.js", "a", "svg", "a.svg.html", "a.xml"] {
            assert_eq!(shown_type(saved), None, "{saved}");
        }
        assert_eq!(interface_type("ui.js"), Some("text/javascript; charset=utf-8"));
        for withheld in ["ui.js.map", "index.html", "ui"] {
            assert_eq!(interface_type(withheld), None, "{withheld}");
        }
    }

    #[test]
    fn who_has_the_content_gets_none() {
        let content = Bytes::from_static(b"x");
        let tag = answer(&HeaderMap::new(), None, content.clone()).headers()[ETAG].clone();
        let tag = tag.to_str().unwrap();
        for (known, status) in [
            (tag.to_owned(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            (String::from("*"), 304),
            (String::from("\"other\""), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let asked = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(&known).unwrap())]);
            assert_eq!(answer(&asked, None, content.clone()).status(), status, "{known}");
        }
        let asked = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(tag).unwrap())]);
        assert_eq!(answer(&asked, None, Bytes::from_static(b"y")).status(), 200);
    }
}
