//! The Plugin API: what a worker reaches at `http://hayloft.internal`, answered in process.
//!
//! Its router is its own and stands behind no listener: a request comes through the gate of one worker's jail or not at
//! all, and carries that worker as an extension ([`GateCaller`]). Nothing in a request can claim to be another worker.
//!
//! The gate stands before the host does, since the host starts its workers with it. So nothing here may need the host
//! in order to answer, and the router is made of nothing but names for requests. An endpoint that acts for an
//! organization takes a weak handle on the host, which the binary fills in once the host stands: a strong one would
//! close a circle, because the host owns the workers and these own the gate.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use futures::future::BoxFuture;
use hayloft_host::{Gate, GateCaller, GatePace, GateStream, Host, WeakHost};
use hayloft_model::Entropy;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::endpoints::plugin_api::operation::OPERATIONS;
use crate::endpoints::{fallback, plugin_api};
use crate::middleware::{self, observe::RequestIds};
use crate::problem::ProblemDetails;
use crate::serve;

/// The largest head of a request, in bytes.
const HEAD_BYTES: usize = 16 << 10;

/// What a connection may hold in memory of what is not read yet, in bytes. A worker has many connections.
const BUFFER_BYTES: usize = 32 << 10;

/// How long the head of a request may take, and how long an idle connection is kept. Node's clients give up an idle one
/// after some seconds, long before they could use it in the moment when it is closed.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// The Plugin API. Clones are the same.
#[derive(Clone)]
pub struct PluginApi {
    router: Router,
    host: HostSlot,
    head_time: Duration,
}

/// The host that endpoints act in, once it stands.
#[derive(Clone, Default)]
pub(crate) struct HostSlot(Arc<OnceLock<WeakHost>>);

impl HostSlot {
    /// The host, or the refusal for a time when there is none.
    pub(crate) fn host(&self) -> Result<Host, ProblemDetails> {
        self.0.get().and_then(WeakHost::upgrade).ok_or_else(|| {
            ProblemDetails::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "host-not-ready",
                "The host does not serve",
                "the host is starting, or shutting down",
            )
        })
    }
}

impl PluginApi {
    /// Makes it. It answers through the gates that it is given to.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let host = HostSlot::default();
        let router = router(&Arc::new(RequestIds::new(entropy)), host.clone());
        Self { router, host, head_time: HEAD_TIME }
    }

    /// Lets endpoints act in this host. The first one counts.
    pub fn serve(&self, host: &Host) {
        let _ = self.host.0.set(host.weak());
    }
}

impl Gate for PluginApi {
    fn connection(&self, caller: GateCaller, stream: GateStream, pace: GatePace) -> BoxFuture<'static, ()> {
        let span = tracing::info_span!("gate", worker = %caller.worker(), plugin = %caller.plugin());
        let router = self.router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(caller.clone());
            let (router, pace) = (router.clone(), pace.clone());
            async move {
                // A connection is not read on while its request waits, so one that sends too many waits as well.
                let _turn = pace.turn().await;
                router.oneshot(request.map(Body::new)).await
            }
        });
        let connection = serve::http1(self.head_time, HEAD_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        Box::pin(
            async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a worker's connection ended early");
                }
            }
            .instrument(span),
        )
    }
}

/// Every route, as in [`crate::router`]; the operations are listed in [`plugin_api::operation`]. No route is shared with
/// that one.
fn router(request_ids: &Arc<RequestIds>, host: HostSlot) -> Router {
    let mut router = Router::new().route("/v1/{names}", any(plugin_api::procedures::call));
    // Older programs leave the version out.
    for prefix in ["/v1/plugin-api", "/plugin-api"] {
        router = router.route(&format!("{prefix}/health"), get(plugin_api::health::health));
        for operation in OPERATIONS {
            router = router.route(&format!("{prefix}{}", operation.path), plugin_api::rest::route(operation));
        }
    }
    let router = router.fallback(unknown_path).method_not_allowed_fallback(fallback::unknown_method);
    middleware::apply_to_any(router, request_ids).with_state(host)
}

/// 404 for what is not part of the Plugin API, which the public API's document does not describe.
pub(crate) async fn unknown_path() -> impl IntoResponse {
    ProblemDetails::new(
        StatusCode::NOT_FOUND,
        "unknown-path",
        "Nothing is here",
        "this path is not part of the Plugin API, whose paths begin with `/v1/plugin-api/`",
    )
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use hayloft_host::GateLimits;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::problem::PROBLEM_JSON;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xab);
        }
    }

    fn caller(number: u128) -> GateCaller {
        let plugin = format!("hay-plugin-{number}").parse().unwrap();
        GateCaller::new(format!("wrk_{number:032x}").parse().unwrap(), plugin, &Counting)
    }

    fn connect(api: &PluginApi, number: u128) -> DuplexStream {
        paced(api, number, &GateLimits::default())
    }

    fn paced(api: &PluginApi, number: u128, limits: &GateLimits) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(api.connection(caller(number), Box::new(theirs), GatePace::new(limits)));
        ours
    }

    /// All that is said until the end, which the API makes.
    async fn rest(mut stream: DuplexStream) -> String {
        let mut said = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        // A connection that is cut says the same as one that ends.
        let _ = end.expect("the connection ends");
        String::from_utf8(said).unwrap()
    }

    async fn talk(sent: &str) -> String {
        let api = PluginApi::new(&Counting);
        let mut stream = connect(&api, 1);
        // What is too much is not read to its end.
        let _ = stream.write_all(sent.as_bytes()).await;
        rest(stream).await
    }

    /// A request by its first line, the last one of its connection.
    async fn ask(line: &str) -> (String, Value) {
        let said =
            talk(&format!("{line} HTTP/1.1\r\nhost: hayloft.internal\r\nconnection: close\r\n\r\n")).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_worker_hears_of_itself_and_of_nobody_else() {
        let api = PluginApi::new(&Counting);
        for number in [1, 2] {
            let mut stream = connect(&api, number);
            let other = format!("wrk_{:032x}", 3 - number);
            let sent = format!(
                "GET /v1/plugin-api/health?worker={other} HTTP/1.1\r\nhost: {other}\r\nworker: {other}\r\n\
                 connection: close\r\n\r\n"
            );
            stream.write_all(sent.as_bytes()).await.unwrap();
            let said = rest(stream).await;
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let expected = serde_json::json!({ "success": true, "data": {
                "status": "ok",
                "version": hayloft_host::VERSION,
                "plugin": format!("hay-plugin-{number}"),
                "worker": format!("wrk_{number:032x}"),
            } });
            assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn everything_else_is_a_problem() {
        let cases = [
            ("GET /", 404, "unknown-path"),
            ("GET /health", 404, "unknown-path"),
            ("GET /metrics", 404, "unknown-path"),
            ("GET /v1/orgs", 404, "unknown-path"),
            ("GET /v1/workers", 404, "unknown-path"),
            ("GET /v1/plugin-api", 404, "unknown-path"),
            ("GET /v1/plugin-api/health/", 404, "unknown-path"),
            ("POST /v1/mcp", 404, "unknown-path"),
            ("GET http://elsewhere.test/v1/orgs", 404, "unknown-path"),
            ("GET /v1/plugin-api/../orgs", 400, "bad-request"),
            ("POST /v1/plugin-api/health", 405, "method-not-allowed"),
            ("BREW /v1/plugin-api/health", 405, "method-not-allowed"),
        ];
        for (line, status, kind) in cases {
            let (head, problem) = ask(line).await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}");
            assert!(head.contains(&format!("content-type: {PROBLEM_JSON}")), "{line}: {head}");
            assert_eq!(head.contains("allow: get,head"), status == 405, "{line}: {head}");
            assert_eq!(problem["type"], format!("urn:hayloft:problem:{kind}"), "{line}");
            assert_eq!(problem["status"], status, "{line}");
        }
        let (head, body) = ask("HEAD /v1/plugin-api/health").await;
        assert!(head.starts_with("http/1.1 200 ok") && body.is_null(), "{head}");
    }

    #[tokio::test]
    async fn an_operation_needs_the_workers_own_token() {
        let token = format!("hay_worker_{}", "ab".repeat(32));
        let post = async |path: &str, token: &str| {
            let said = talk(&format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                 {token}connection: close\r\n\r\n{{}}"
            ))
            .await;
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            let status = head[9..12].parse::<u16>().unwrap();
            (status, serde_json::from_str::<Value>(body).unwrap())
        };
        let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
        for operation in OPERATIONS.into_iter().filter(|operation| !operation.path.contains('{')) {
            let rest = ["/v1/plugin-api", "/plugin-api"].map(|prefix| format!("{prefix}{}", operation.path));
            for path in &rest {
                for wrong in ["", &bearer("hay_worker_00"), &bearer(&token).repeat(2)] {
                    let (status, body) = post(path, wrong).await;
                    assert_eq!((status, &body["success"]), (401, &Value::Bool(false)), "{path}: {body}");
                    assert!(body["error"].as_str().unwrap().contains("HAY_API_TOKEN"), "{path}: {body}");
                }
                // The control: the token is the right one, and what is wrong then is that nobody is served.
                let (status, body) = post(path, &bearer(&token)).await;
                assert_eq!(
                    (status, &body["error"]),
                    (409, &"the worker serves no organization".into()),
                    "{path}"
                );
            }
        }
        let path = "/v1/pluginApi.mcp.registerLocal";
        let (status, body) = post(path, "").await;
        assert_eq!((status, &body["error"]["data"]["code"]), (401, &"UNAUTHORIZED".into()), "{body}");
        let (status, body) = post(path, &bearer(&token)).await;
        assert_eq!((status, &body["error"]["data"]["code"]), (409, &"CONFLICT".into()), "{body}");
    }

    #[tokio::test]
    async fn nothing_is_tunnelled_or_upgraded() {
        for request in [
            "CONNECT elsewhere.test:443 HTTP/1.1\r\nhost: elsewhere.test:443\r\nconnection: close\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let said = talk(request).await;
            assert!(!said.contains(" 200 ") && !said.contains(" 101 "), "{request:?}: {said}");
        }
        let said = talk(
            "GET /v1/plugin-api/health HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    }

    #[tokio::test]
    async fn a_head_is_bounded_in_size_and_time() {
        let large =
            format!("GET /v1/plugin-api/health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES));
        assert!(talk(&large).await.starts_with("HTTP/1.1 431 "));

        let api = PluginApi { head_time: Duration::from_millis(50), ..PluginApi::new(&Counting) };
        let mut slow = connect(&api, 1);
        slow.write_all(b"GET /v1/plugin-api/health HTTP/1.1\r\nx-slow").await.unwrap();
        assert!(!rest(slow).await.contains("200 OK"));
        // The control, whose connection is kept for another request and then ended for being idle.
        let mut kept = connect(&api, 1);
        for _ in 0..2 {
            kept.write_all(b"GET /v1/plugin-api/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        }
        assert_eq!(rest(kept).await.matches("HTTP/1.1 200 OK").count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_over_one_connection_are_paced() {
        let limits = GateLimits { rate: NonZeroU32::new(10).unwrap(), burst: 5, ..GateLimits::default() };
        let request = "GET /v1/plugin-api/health HTTP/1.1\r\nhost: x\r\n";
        for (requests, seconds) in [(5, 0), (25, 2)] {
            let mut stream = paced(&PluginApi::new(&Counting), 1, &limits);
            // All at once, so that they are read at once.
            let sent = format!(
                "{}{request}connection: close\r\n\r\n",
                format!("{request}\r\n").repeat(requests - 1)
            );
            stream.write_all(sent.as_bytes()).await.unwrap();
            let begun = tokio::time::Instant::now();
            assert_eq!(rest(stream).await.matches("HTTP/1.1 200 OK").count(), requests);
            let taken = begun.elapsed().as_secs_f64();
            assert!((taken - f64::from(seconds)).abs() < 0.2, "{requests} took {taken} s");
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_is_not_waited_for() {
        let said =
            talk("POST /v1/plugin-api/health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n{")
                .await;
        assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
    }
}
