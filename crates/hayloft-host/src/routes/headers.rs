//! Which header fields pass between the outside and a worker, in both directions.
//!
//! Hop-by-hop fields end here (RFC 9110 section 7.6.1), whatever the sender lists in `Connection`; what names a
//! person or a network path of the outside never reaches a plugin; what would act on our own origin never
//! reaches a browser.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that concern one connection only, listed or not. `Proxy-Connection` is nobody's standard and everybody's habit.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields of the outside that a plugin must not see, or could believe to come from us.
fn is_withheld(name: &HeaderName) -> bool {
    const WITHHELD: [HeaderName; 4] = [AUTHORIZATION, COOKIE, FORWARDED, HOST];
    WITHHELD.contains(name)
        || matches!(name.as_str(), "x-real-ip" | "x-organization-id" | "x-original-url" | "x-original-content-type")
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("x-hayloft-")
        // Some servers read `_` as `-`, so a look-alike is withheld too.
        || name.as_str().contains('_')
}

/// Fields of an answer that would act on every other page of our origin. A plugin has no say over that.
fn acts_on_origin(name: &HeaderName) -> bool {
    *name == SET_COOKIE
        || *name == STRICT_TRANSPORT_SECURITY
        || matches!(
            name.as_str(),
            "set-cookie2"
                | "clear-site-data"
                | "service-worker-allowed"
                | "alt-svc"
                | "public-key-pins"
                | "nel"
                | "report-to"
        )
}

/// The header of a request as a worker gets it. `original_url` is the address as the sender wrote it, which some
/// providers sign.
#[must_use]
pub fn to_worker(outside: &HeaderMap, original_url: &str) -> HeaderMap {
    let mut inside = end_to_end(outside);
    let withheld: Vec<_> = inside.keys().filter(|name| is_withheld(name)).cloned().collect();
    for name in withheld {
        inside.remove(name);
    }
    inside.insert(HOST, HeaderValue::from_static("hayloft.internal"));
    if let Ok(url) = HeaderValue::from_str(original_url) {
        inside.insert("x-original-url", url);
    }
    if let Some(content_type) = outside.get(CONTENT_TYPE) {
        inside.insert("x-original-content-type", content_type.clone());
    }
    inside
}

/// The header of an answer as the outside gets it.
#[must_use]
pub fn to_outside(inside: &HeaderMap) -> HeaderMap {
    let mut outside = end_to_end(inside);
    let withheld: Vec<_> = outside.keys().filter(|name| acts_on_origin(name)).cloned().collect();
    for name in withheld {
        outside.remove(name);
    }
    outside
}

/// What is left once the fields for one hop are gone. The names in `Connection` go first, before anything of ours
/// is added, so that a sender cannot have our own fields removed.
fn end_to_end(header: &HeaderMap) -> HeaderMap {
    let listed: Vec<HeaderName> = header
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    let mut kept = HeaderMap::with_capacity(header.len());
    for (name, value) in header {
        if !HOP_BY_HOP.contains(name) && !listed.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent, and which lines of it are left.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

    fn header(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn lines(header: &HeaderMap) -> Vec<String> {
        header.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_request_loses_what_concerns_one_hop_or_one_person() {
        // Each case: what the sender wrote, and which of it the worker sees.
        let cases: &[Case<'_>] = &[
            (&[("accept", "*/*")], &["accept: */*"]),
            (&[("connection", "close")], &[]),
            (&[("connection", "x-trace"), ("x-trace", "1"), ("x-other", "2")], &["x-other: 2"]),
            (&[("connection", "X-Trace , x-other"), ("x-trace", "1"), ("x-other", "2")], &[]),
            (&[("connection", "a"), ("connection", "b"), ("a", "1"), ("b", "2"), ("c", "3")], &["c: 3"]),
            (&[("connection", "bad name"), ("x", "1")], &["x: 1"]),
            (&[("keep-alive", "timeout=5"), ("te", "trailers"), ("trailer", "x")], &[]),
            (&[("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("proxy-connection", "close")], &[]),
            (&[("proxy-authorization", "Basic x"), ("proxy-authenticate", "Basic")], &[]),
            (&[("authorization", "Bearer x"), ("cookie", "a=b")], &[]),
            (&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("forwarded", "for=x")], &[]),
            (&[("x-real-ip", "1.2.3.4"), ("x-hayloft-org", "org_1"), ("x_hayloft_org", "org_1")], &[]),
            (&[("x-organization-id", "org_1"), ("x-original-url", "http://lie")], &[]),
            (&[("x-twice", "1"), ("x-twice", "2")], &["x-twice: 1", "x-twice: 2"]),
            (&[("stripe-signature", "t=1,v1=ab")], &["stripe-signature: t=1,v1=ab"]),
        ];
        for (given, expected) in cases {
            let mut got = to_worker(&header(given), "https://hooks.example/v1/plugins/p/webhook?a=1");
            assert_eq!(got.remove(HOST).unwrap(), "hayloft.internal");
            assert_eq!(
                got.remove("x-original-url").unwrap(),
                "https://hooks.example/v1/plugins/p/webhook?a=1"
            );
            assert_eq!(lines(&got), *expected, "{given:?}");
        }
    }

    #[test]
    fn a_sender_cannot_have_our_own_fields_removed() {
        let sent = header(&[
            ("connection", "x-original-url, host, x-original-content-type"),
            ("content-type", "a/b"),
        ]);
        let got = to_worker(&sent, "http://h/");
        assert_eq!(got["x-original-url"], "http://h/");
        assert_eq!(got["x-original-content-type"], "a/b");
        assert_eq!(got[HOST], "hayloft.internal");
    }

    #[test]
    fn an_answer_loses_what_would_act_on_our_origin() {
        let cases: &[Case<'_>] = &[
            (&[("content-type", "text/html"), ("x-own", "1")], &["content-type: text/html", "x-own: 1"]),
            (
                &[
                    ("set-cookie", "sid=1"),
                    ("clear-site-data", "*"),
                    ("strict-transport-security", "max-age=1"),
                ],
                &[],
            ),
            (&[("service-worker-allowed", "/"), ("alt-svc", "h3"), ("nel", "{}")], &[]),
            (&[("connection", "x-own"), ("x-own", "1"), ("transfer-encoding", "chunked")], &[]),
            (&[("location", "https://elsewhere.example/")], &["location: https://elsewhere.example/"]),
        ];
        for (given, expected) in cases {
            assert_eq!(lines(&to_outside(&header(given))), *expected, "{given:?}");
        }
    }
}
