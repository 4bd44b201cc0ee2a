//! Paths that two readers could understand in two ways.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hayloft_model::Problem;

use crate::problem::ProblemDetails;

/// Refuses a path with dot segments (also percent-encoded), backslashes or control characters. A `%2F` inside a
/// segment has one meaning here, a character of that segment, and is let through.
pub(super) async fn refuse<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    match ambiguity(request.uri().path()) {
        None => next(request).await,
        Some(message) => ProblemDetails::bad_request(
            "the path can be understood in more than one way",
            Problem::error("path", message).hint("send the path in its plain form").into(),
        )
        .into_response(),
    }
}

fn ambiguity(path: &str) -> Option<&'static str> {
    // Most paths have nothing to decode, and every request comes through here.
    if !path.contains(['%', '\\']) {
        return has_dots(path).then_some("has a `.` or `..` segment");
    }
    let lower = path.to_ascii_lowercase();
    if lower.contains('\\') || lower.contains("%5c") {
        return Some("has a backslash");
    }
    if lower.contains("%7f") || encoded_control(&lower) {
        return Some("has a control character");
    }
    // An encoded slash could end a segment for a later reader, so dots are looked for on both sides of it too.
    let plain = lower.replace("%2e", ".").replace("%2f", "/");
    has_dots(&plain).then_some("has a `.` or `..` segment")
}

fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn encoded_control(lower: &str) -> bool {
    let bytes = lower.as_bytes();
    bytes
        .windows(3)
        .any(|window| window[0] == b'%' && matches!(window[1], b'0' | b'1') && window[2].is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::ambiguity;

    #[test]
    fn only_plain_paths_pass() {
        for plain in [
            "/",
            "/v1/orgs",
            "/v1/plugins/@acme%2Ftickets/webhook",
            "/v1/plugins/p/a.b/..c/c..",
            "/v1/plugins/p/%20",
            "/v1/plugins/p/%25%32%65",
            "/v1/plugins/p//x",
        ] {
            assert_eq!(ambiguity(plain), None, "{plain}");
        }
        for odd in [
            "/v1/orgs/a/plugins/p/../../b",
            "/v1/./orgs",
            "/..",
            "/v1/%2e%2E/orgs",
            "/v1/.%2e",
            "/v1/x%2F..%2Fy",
            "/v1/orgs\\..",
            "/v1/%5corgs",
            "/v1/orgs%00",
            "/v1/orgs%0d%0a",
            "/v1/%1Forgs",
            "/v1/%7f",
        ] {
            assert!(ambiguity(odd).is_some(), "{odd}");
        }
    }
}
