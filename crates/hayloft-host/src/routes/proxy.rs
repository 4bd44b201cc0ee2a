//! Hand a request from outside to a plugin's own HTTP route.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hayloft_model::plugin::route::{HttpMethod, RouteAccess, path_matches};
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Registration};
use hayloft_store::calls::{CallKind, CallOutcome, CallRecord};
use hayloft_workers::{ProxyError, ResponseBody, Unavailable};
use http::{Method, Request, Response};

use super::headers;
use crate::Host;
use crate::plugins::known::{KnownPlugin, Preparing};
use crate::tools::rates::TooSoon;
use crate::workers::told_to_people;

/// A request for a plugin's route.
#[derive(Debug)]
pub struct RouteRequest<B> {
    /// The path below the plugin and the query, as the sender wrote them: `/webhook?a=1`.
    pub path_and_query: String,
    /// The whole address as the sender wrote it, which some providers sign.
    pub original_url: String,
    /// Who asks, if the request brought a token of this host. Most routes are for strangers.
    pub caller: Option<Caller>,
    /// Method, header and body from outside.
    pub request: Request<B>,
}

/// Why there is no answer from the plugin.
#[derive(Debug, thiserror::Error)]
pub enum ProxyRouteError {
    /// The organization has no such plugin switched on. A sender learns no more than that.
    #[error("there is no such plugin")]
    UnknownPlugin,
    /// The plugin did not register the path.
    #[error("the plugin has no route `{path}`")]
    UnknownRoute {
        /// The path below the plugin.
        path: String,
    },
    /// The plugin registered the path for other methods.
    #[error("the route takes other methods")]
    MethodNotAllowed {
        /// The methods that it takes.
        allow: Vec<&'static str>,
    },
    /// The plugin wants only people of the organization here, and the request brought no token of it.
    #[error("the route needs a token of the organization")]
    Unauthorized,
    /// The plugin is called faster than the operator lets it.
    #[error("the plugin is called faster than this host allows")]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
    /// The worker cannot serve at the moment.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// The worker broke while it served.
    #[error("failed to {0}")]
    Broken(ProxyError),
}

impl ProxyRouteError {
    /// When to try again, if that helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after } => Some(*retry_after),
            Self::Unavailable(unavailable) => unavailable.retry_after(),
            _ => None,
        }
    }
}

impl Host {
    /// Streams a request to the plugin's worker, which is started if need be, and its answer back. The body's bytes
    /// are not touched.
    ///
    /// # Errors
    /// See [`ProxyRouteError`].
    pub async fn proxy_route<B>(
        &self,
        organization: OrganizationId,
        plugin: &PluginId,
        route: RouteRequest<B>,
    ) -> Result<Response<ResponseBody>, ProxyRouteError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let known = self.plugins.named(organization, plugin);
        // An organization that is being removed has none, although its plugins still end.
        let known = known.filter(|_| self.organization_exists(&organization));
        let known = known.ok_or(ProxyRouteError::UnknownPlugin)?;
        let key = InstanceKey { organization, plugin: known.id.clone() };
        if !self.instances.get(&key).is_some_and(|instance| instance.enabled) {
            return Err(ProxyRouteError::UnknownPlugin);
        }
        let path = route.path_and_query.split('?').next().unwrap_or_default().to_owned();
        let (pattern, access) = self.find_route(&known, &key, route.request.method(), &path).await?;
        let caller = route.caller.as_ref().filter(|caller| caller.sees(organization));
        let caller = match (access, caller) {
            (RouteAccess::Open, _) => String::from("public"),
            (RouteAccess::Organization, Some(caller)) => caller.to_string(),
            (RouteAccess::Organization, None) => return Err(ProxyRouteError::Unauthorized),
        };
        let name = format!("{} {pattern}", route.request.method());
        let (at, begun) = (self.clock.now(), Instant::now());
        let answered = self.answer_route(&key, route).await;
        let (outcome, reason) = told(&answered);
        self.take_down(CallRecord {
            organization,
            plugin: key.plugin,
            kind: CallKind::Route,
            server: None,
            name,
            caller,
            at,
            duration: begun.elapsed(),
            outcome,
            reason: reason.map(str::to_owned),
        });
        answered
    }

    /// The pattern of the route for a request, and who may call it.
    async fn find_route(
        &self,
        plugin: &KnownPlugin,
        key: &InstanceKey,
        method: &Method,
        path: &str,
    ) -> Result<(String, RouteAccess), ProxyRouteError> {
        let registered = plugin.register(self.asked(), Preparing::Installed).await.map_err(|problems| {
            tracing::warn!(instance = %key, %problems, "the plugin's routes are not known");
            ProxyRouteError::UnknownPlugin
        })?;
        let find = || {
            let registered = self.registered_for(plugin, key).unwrap_or_else(|| Arc::clone(&registered));
            allowed(&registered.registration, method, path)
                .map(|(pattern, access)| (pattern.to_owned(), access))
        };
        match find() {
            // Which routes this code has here it says only when it runs, and it did not run yet.
            Err(_) if self.registers_anew(plugin, key) => {
                self.workers.ensure(key).await.map_err(ProxyRouteError::Unavailable)?;
                find()
            }
            found => found,
        }
    }

    async fn answer_route<B>(
        &self,
        key: &InstanceKey,
        route: RouteRequest<B>,
    ) -> Result<Response<ResponseBody>, ProxyRouteError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let too_many = |TooSoon { retry_after }| ProxyRouteError::TooMany { retry_after };
        self.rates.take(key).map_err(too_many)?;
        let (mut parts, body) = route.request.into_parts();
        parts.headers = headers::to_worker(&parts.headers, &route.original_url);
        parts.uri = route
            .path_and_query
            .parse()
            .map_err(|_| ProxyRouteError::UnknownRoute { path: route.path_and_query })?;
        parts.version = http::Version::HTTP_11;

        let worker = self.workers.ensure(key).await.map_err(ProxyRouteError::Unavailable)?;
        let answer = worker.proxy(Request::from_parts(parts, body)).await;
        let mut response = answer.map_err(ProxyRouteError::Broken)?;
        *response.headers_mut() = headers::to_outside(response.headers());
        metrics::counter!("hayloft_route_requests_total", "status" => status_class(response.status()))
            .increment(1);
        Ok(response)
    }
}

/// How a request ended, as the journal tells it. What the plugin answered is its own affair.
fn told(answered: &Result<Response<ResponseBody>, ProxyRouteError>) -> (CallOutcome, Option<&'static str>) {
    match answered {
        Ok(_) => (CallOutcome::Done, None),
        Err(ProxyRouteError::Broken(ProxyError::Request(_))) => {
            (CallOutcome::BadInput, Some("request_ended"))
        }
        Err(ProxyRouteError::Broken(
            ProxyError::FirstByteTimeout { .. } | ProxyError::IdleTimeout { .. },
        )) => (CallOutcome::PluginBroke, Some("timeout")),
        Err(ProxyRouteError::Broken(_)) => (CallOutcome::PluginBroke, Some("crashed")),
        Err(ProxyRouteError::TooMany { .. }) => (CallOutcome::BadInput, Some("too_many")),
        Err(ProxyRouteError::Unavailable(_)) => (CallOutcome::PluginBroke, Some("unavailable")),
        Err(
            ProxyRouteError::UnknownPlugin
            | ProxyRouteError::UnknownRoute { .. }
            | ProxyRouteError::MethodNotAllowed { .. }
            | ProxyRouteError::Unauthorized,
        ) => (CallOutcome::BadInput, None),
    }
}

/// The pattern of the plugin's route for this request, or the path of its own `/health`, which every worker has; and who
/// may call it. Where several patterns match, the strictest of them decides that.
fn allowed<'a>(
    registration: &'a Registration,
    method: &Method,
    path: &str,
) -> Result<(&'a str, RouteAccess), ProxyRouteError> {
    // HEAD is GET without the body (RFC 9110 section 9.3.2).
    let wanted = if method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
    let registered =
        registration.routes.iter().map(|route| (route.method, route.path.as_str(), route.access));
    let matching: Vec<(HttpMethod, &str, RouteAccess)> = registered
        .chain([(HttpMethod::Get, "/health", RouteAccess::Open)])
        .filter(|(_, pattern, _)| path_matches(pattern, path))
        .collect();
    let mut answering = matching.iter().filter(|(method, ..)| method.as_str() == wanted).peekable();
    if let Some((_, pattern, _)) = answering.peek() {
        let access = match answering.all(|(_, _, access)| access.is_open()) {
            true => RouteAccess::Open,
            false => RouteAccess::Organization,
        };
        return Ok((pattern, access));
    }
    if matching.is_empty() {
        return Err(ProxyRouteError::UnknownRoute { path: path.to_owned() });
    }
    let mut allow: Vec<&str> = matching.iter().map(|(method, ..)| method.as_str()).collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.dedup();
    Err(ProxyRouteError::MethodNotAllowed { allow })
}

const fn status_class(status: http::StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_registered_routes_are_reachable() {
        let registration: Registration = serde_json::from_value(json!({ "routes": [
            { "method": "POST", "path": "/webhook" },
            { "method": "GET", "path": "/orders/:id" },
            { "method": "DELETE", "path": "/orders/:id" },
            { "method": "GET", "path": "/orders/all", "access": "organization" },
            { "method": "PUT", "path": "/settings", "access": "organization" },
        ] }))
        .unwrap();
        let verdict = |method: &str, path: &str| match allowed(&registration, &method.parse().unwrap(), path)
        {
            Ok((_, RouteAccess::Open)) => "ok".to_owned(),
            Ok((_, RouteAccess::Organization)) => "token".to_owned(),
            Err(ProxyRouteError::UnknownRoute { .. }) => "unknown".to_owned(),
            Err(ProxyRouteError::MethodNotAllowed { allow }) => allow.join(" "),
            Err(other) => other.to_string(),
        };
        let cases = [
            ("POST", "/webhook", "ok"),
            ("GET", "/webhook", "POST"),
            ("GET", "/orders/7", "ok"),
            ("HEAD", "/orders/7", "ok"),
            ("GET", "/orders/all", "token"),
            ("HEAD", "/orders/ALL/", "token"),
            ("DELETE", "/orders/all", "ok"),
            ("PUT", "/settings", "token"),
            ("GET", "/settings", "PUT"),
            ("POST", "/orders/7", "DELETE GET HEAD"),
            ("GET", "/health", "ok"),
            ("POST", "/health", "GET HEAD"),
            ("GET", "/metadata", "unknown"),
            ("POST", "/disable", "unknown"),
            ("POST", "/mcp/call-tool", "unknown"),
            ("POST", "/cron/nightly", "unknown"),
            ("GET", "/", "unknown"),
        ];
        for (method, path, expected) in cases {
            assert_eq!(verdict(method, path), expected, "{method} {path}");
        }
    }
}
