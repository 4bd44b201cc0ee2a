//! Which names and origins may speak to the MCP endpoint, against DNS rebinding and cross-site requests.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};

use crate::address::PublicUrl;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// The path that the check is for.
const GUARDED: &str = "/v1/mcp";

/// The allow-list, made of the public URL, the listen address and what the operator adds.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    hosts: HashSet<String>,
    origins: HashSet<String>,
    /// Listening on every address of the machine: then any of them may be named, as long as it is named as a number.
    /// Rebinding needs a name.
    any_address: Option<u16>,
}

impl Origins {
    pub(crate) fn new(public: Option<&PublicUrl>, listen: SocketAddr, more: &[PublicUrl]) -> Self {
        let mut hosts = HashSet::from([listen.to_string()]);
        let local = listen.ip().is_loopback() || listen.ip().is_unspecified();
        if local {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{}", listen.port())));
        }
        let mut origins: HashSet<_> = hosts.iter().map(|host| format!("http://{host}")).collect();
        for url in public.into_iter().chain(more) {
            hosts.insert(url.host());
            origins.insert(url.origin());
        }
        Self { hosts, origins, any_address: listen.ip().is_unspecified().then_some(listen.port()) }
    }

    fn knows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if self.hosts.contains(&host) {
            return true;
        }
        let (Some(port), Ok(authority)) = (self.any_address, host.parse::<Authority>()) else {
            return false;
        };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        authority.port_u16() == Some(port) && name.parse::<IpAddr>().is_ok()
    }

    /// Whether a request may be answered, else what is wrong with it. Programs send no `Origin`; browsers always do
    /// where it matters.
    fn judge(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), &'static str> {
        let named = match (headers.get(HOST), uri.authority()) {
            (Some(_), Some(authority))
                if headers.get(HOST).is_some_and(|host| host != authority.as_str()) =>
            {
                return Err("the `Host` field and the request target name different hosts");
            }
            (Some(host), _) => host.to_str().ok(),
            (None, authority) => authority.map(Authority::as_str),
        };
        if !named.is_some_and(|host| self.knows_host(host)) {
            return Err("the `Host` field names a host that this server does not answer for");
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        if !origins.all(|origin| origin.to_str().is_ok_and(|origin| self.origins.contains(origin))) {
            return Err("the `Origin` field names an origin that may not use this server");
        }
        Ok(())
    }
}

/// Refuses requests to the MCP endpoint under a foreign name or from a foreign page.
pub(super) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.uri().path() == GUARDED
        && let Err(detail) = state.origins.judge(request.headers(), request.uri())
    {
        let title = "The request comes from elsewhere";
        return ProblemDetails::new(StatusCode::FORBIDDEN, "foreign-origin", title, detail).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_known_names_and_origins_pass() {
        let local = Origins::new(None, "127.0.0.1:3001".parse().unwrap(), &[]);
        let public = "https://hay.example".parse().unwrap();
        let behind_proxy = Origins::new(Some(&public), "127.0.0.1:3001".parse().unwrap(), &[]);
        let everywhere = Origins::new(None, "0.0.0.0:3001".parse().unwrap(), &[]);
        let with_friend = Origins::new(
            None,
            "127.0.0.1:3001".parse().unwrap(),
            &["http://localhost:6274".parse().unwrap()],
        );
        let cases = [
            (&local, Some("127.0.0.1:3001"), None, true),
            (&local, Some("LocalHost:3001"), None, true),
            (&local, Some("[::1]:3001"), None, true),
            (&local, Some("localhost:3001"), Some("http://localhost:3001"), true),
            (&local, Some("localhost:3001"), Some("http://localhost:6274"), false),
            (&local, Some("localhost:3001"), Some("null"), false),
            (&local, Some("localhost:3001"), Some("https://evil.test"), false),
            (&local, Some("evil.test:3001"), None, false),
            (&local, Some("localhost.evil.test:3001"), None, false),
            (&local, Some("localhost"), None, false),
            (&local, Some("localhost:3002"), None, false),
            (&local, Some("10.0.0.1:3001"), None, false),
            (&local, None, None, false),
            (&behind_proxy, Some("hay.example"), Some("https://hay.example"), true),
            (&behind_proxy, Some("hay.example"), Some("http://hay.example"), false),
            (&everywhere, Some("192.168.1.5:3001"), None, true),
            (&everywhere, Some("[fe80::1]:3001"), None, true),
            (&everywhere, Some("evil.test:3001"), None, false),
            (&everywhere, Some("192.168.1.5:80"), None, false),
            (&with_friend, Some("localhost:3001"), Some("http://localhost:6274"), true),
        ];
        for (origins, host, origin, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in [(HOST, host), (ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let judged = origins.judge(&headers, &Uri::from_static("/v1/mcp"));
            assert_eq!(judged.is_ok(), expected, "{host:?} {origin:?}: {judged:?}");
        }
    }

    #[test]
    fn an_absolute_target_must_agree_with_the_host_field() {
        let local = Origins::new(None, "127.0.0.1:3001".parse().unwrap(), &[]);
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:3001"))]);
        assert!(local.judge(&headers, &Uri::from_static("http://localhost:3001/v1/mcp")).is_ok());
        assert!(local.judge(&headers, &Uri::from_static("http://evil.test/v1/mcp")).is_err());
    }
}
