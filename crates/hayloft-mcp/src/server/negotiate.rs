//! What the headers of a request say: which forms of answer are welcome, in which form the body is.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// The forms of answer that a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Only `application/json`.
    Json,
    /// Only `text/event-stream`.
    Events,
    /// Both, as the protocol asks of clients.
    Both,
    /// Neither.
    Nothing,
}

impl Accepts {
    /// Reads the `Accept` headers. Without any, everything is welcome (RFC 9110 section 12.5.1).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT) {
            return Self::Both;
        }
        let (mut json, mut events) = (false, false);
        for range in
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            if parts.any(is_refusal) {
                continue;
            }
            json |= matches!(kind.as_str(), "application/json" | "application/*" | "*/*");
            events |= matches!(kind.as_str(), "text/event-stream" | "text/*" | "*/*");
        }
        match (json, events) {
            (true, true) => Self::Both,
            (true, false) => Self::Json,
            (false, true) => Self::Events,
            (false, false) => Self::Nothing,
        }
    }

    pub(super) const fn events(self) -> bool {
        matches!(self, Self::Events | Self::Both)
    }
}

/// Whether a parameter is `q=0`, by which a client says that it does not take a form.
fn is_refusal(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0)
}

/// Whether the body is declared to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_as_http_says() {
        let cases = [
            (None, Accepts::Both),
            (Some("application/json, text/event-stream"), Accepts::Both),
            (Some("*/*"), Accepts::Both),
            (Some("Application/JSON;q=0.5"), Accepts::Json),
            (Some("text/event-stream"), Accepts::Events),
            (Some("application/json, text/event-stream;q=0"), Accepts::Json),
            (Some("application/*, text/*;charset=x"), Accepts::Both),
            (Some("text/html"), Accepts::Nothing),
            (Some(""), Accepts::Nothing),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Accepts::of(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn content_type_may_have_parameters() {
        let cases = [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("APPLICATION/JSON", true),
            ("application/jsonl", false),
            ("text/plain", false),
        ];
        for (declared, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, declared.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{declared}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
