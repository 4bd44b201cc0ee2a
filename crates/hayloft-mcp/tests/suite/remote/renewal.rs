//! What is renewed on the way: sessions that a server lost, and credentials that it refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_mcp::Upstream;
use hayloft_mcp::client::remote::{HeaderSource, HeadersUnavailable, Occasion, RemoteKind, SecretHeaders};
use hayloft_mcp::client::{CloseReason, TransportError};
use hayloft_model::Secret;
use serde_json::json;

use super::support::*;
use crate::support::*;

const KIND: RemoteKind = RemoteKind::StreamableHttp;

/// A host that gives each session another id and knows only the newest, until it is told to forget that too.
fn forgetful(refusal: (&'static str, &'static str)) -> (Host, Arc<AtomicUsize>) {
    let newest = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&newest);
    let host = host(move |asked, wire| {
        let newest = Arc::clone(&known);
        async move {
            if asked.what() == "initialize" {
                let id = newest.fetch_add(1, Ordering::SeqCst) + 1;
                let head = format!("content-type: application/json\r\nmcp-session-id: s-{id}\r\n");
                return wire.respond("200 OK", &head, &introduced(&asked, "2025-11-25").to_string()).await;
            }
            if asked.header("mcp-session-id") != format!("s-{}", newest.load(Ordering::SeqCst)) {
                let (status, body) = refusal;
                return wire.respond(status, "content-type: application/json\r\n", body).await;
            }
            serve_well(asked, wire).await
        }
    });
    (host, newest)
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_opened_anew_once_however_many_find_out() {
    for refusal in [
        (
            "404 Not Found",
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#,
        ),
        (
            "400 Bad Request",
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":2}"#,
        ),
    ] {
        let (host, newest) = forgetful(refusal);
        let upstream = host.open(KIND).await.unwrap();
        let mut changed = upstream.tools_changed();
        assert!(call(&upstream, "{}").await.is_ok());
        newest.store(7, Ordering::SeqCst);
        let calls = (0..10).map(|n| {
            let upstream = upstream.clone();
            async move { call(&upstream, &format!(r#"{{"n":{n}}}"#)).await.unwrap().get().to_owned() }
        });
        let answers = futures::future::join_all(calls).await;
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(*answer, format!(r#"{{"n":{n}}}"#));
        }
        changed.changed().await.unwrap();
        assert_eq!(host.list().iter().filter(|what| *what == "initialize").count(), 2);
        let second = host.asked().into_iter().filter(|asked| asked.what() == "initialize").nth(1).unwrap();
        assert_eq!((second.header("mcp-session-id"), second.header("mcp-protocol-version")), ("", ""));
        // The stream of the old session gives way to one of the new.
        host.until(|asked| asked.method == "GET" && asked.header("mcp-session-id") == "s-8").await;
        assert_eq!(upstream.counters().foreign_replies + upstream.counters().late_replies, 0);
        drop(upstream);
        host.until(|asked| asked.method == "DELETE" && asked.header("mcp-session-id") == "s-8").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_at_once_again_fails_the_call_without_end() {
    let host = host(|asked, wire| async move {
        match opening(asked, wire).await {
            Ok((_, wire)) => wire.respond("404 Not Found", "", "").await,
            Err(served) => served,
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    assert_eq!(failure(call(&upstream, "{}").await), "unavailable: the server lost the session");
    let calls = host.list().iter().filter(|what| *what == "tools/call").count();
    let openings = host.list().iter().filter(|what| *what == "initialize").count();
    assert_eq!((calls, openings), (2, 2));
    assert_eq!(upstream.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_opened_anew_is_over() {
    let openings = Arc::new(AtomicUsize::new(0));
    let host = host(move |asked, wire| {
        let openings = Arc::clone(&openings);
        async move {
            if asked.what() == "initialize" && openings.fetch_add(1, Ordering::SeqCst) > 0 {
                // It came back as an older version of itself.
                let head = "content-type: application/json\r\nmcp-session-id: s-2\r\n";
                return wire.respond("200 OK", head, &introduced(&asked, "2025-03-26").to_string()).await;
            }
            match opening(asked, wire).await {
                Ok((_, wire)) => wire.respond("404 Not Found", "", "").await,
                Err(served) => served,
            }
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    let expected = "failed: the connection to the server broke: the server does not keep to the protocol: it lost the \
                    session and speaks another revision now";
    assert_eq!(failure(call(&upstream, "{}").await), expected);
    assert!(matches!(upstream.closed().await, CloseReason::Transport(TransportError::Protocol(_))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_session_is_no_lost_session() {
    let host = host(|asked, wire| async move {
        if asked.what() == "initialize" {
            return wire.json(&introduced(&asked, "2025-11-25")).await;
        }
        match opening(asked, wire).await {
            Ok((_, wire)) => wire.respond("404 Not Found", "", "").await,
            Err(served) => served,
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    assert_eq!(failure(call(&upstream, "{}").await), "failed: the server answered with HTTP 404");
    assert_eq!(host.list(), ["initialize", "notifications/initialized", "tools/call"]);
}

/// Gives tokens that are renewed when one is refused.
#[derive(Clone, Default)]
struct Tokens {
    current: Arc<AtomicUsize>,
    renewals: Arc<AtomicUsize>,
    renewable: bool,
    asked: Arc<Mutex<Vec<Occasion>>>,
}

impl HeaderSource for Tokens {
    fn headers(&self, occasion: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>> {
        async move {
            self.asked.lock().unwrap().push(occasion);
            if occasion == Occasion::Refused && self.renewable {
                // A renewal takes its time, in which others come with the old token.
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.renewals.fetch_add(1, Ordering::SeqCst);
                self.current.fetch_add(1, Ordering::SeqCst);
            }
            let token = Secret::new(format!("Bearer token-canary-{}", self.current.load(Ordering::SeqCst)));
            Ok(SecretHeaders::parse([("Authorization", token)]).unwrap())
        }
        .boxed()
    }
}

/// A host that wants the token of this number.
fn guarded(wanted: Arc<AtomicUsize>) -> Host {
    host(move |asked, wire| {
        let wanted = wanted.load(Ordering::SeqCst);
        async move {
            if asked.header("authorization") != format!("Bearer token-canary-{wanted}") {
                let said = format!(
                    r#"{{"error":"invalid_token","error_description":"{} is no good"}}"#,
                    asked.header("authorization")
                );
                return wire.respond("401 Unauthorized", "content-type: application/json\r\n", &said).await;
            }
            serve_well(asked, wire).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_renewed_once_however_many_are_refused() {
    let wanted = Arc::new(AtomicUsize::new(1));
    let host = guarded(Arc::clone(&wanted));
    let tokens = Tokens { renewable: true, ..Tokens::default() };
    let remote = host.remote(KIND).with_headers(tokens.clone());
    let upstream = Upstream::open(remote, options()).await.unwrap();
    assert_eq!(tokens.renewals.load(Ordering::SeqCst), 1);
    // Nothing but the calls is under way when the token stops being good.
    host.until(|asked| asked.method == "GET").await;
    wanted.store(2, Ordering::SeqCst);
    let calls = (0..10).map(|_| call(&upstream, "{}"));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
    let refused = |asked: &&Asked| {
        asked.what() == "tools/call" && asked.header("authorization") == "Bearer token-canary-1"
    };
    assert_eq!(host.asked().iter().filter(refused).count(), 10);
    assert_eq!(tokens.renewals.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_stay_refused_are_named_and_never_shown() {
    for kind in [KIND, RemoteKind::Sse, RemoteKind::WebSocket] {
        let host = guarded(Arc::new(AtomicUsize::new(7)));
        let tokens = Tokens::default();
        let remote = host.remote(kind).with_headers(tokens.clone());
        let shown = format!("{remote:?}");
        let error = Upstream::open(remote, options()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open a session: the server refused the credentials (HTTP 401): •••••••• is no good"
        );
        assert!(!format!("{error:?} {shown}").contains("canary"), "{error:?} {shown}");
        assert!(!shown.contains("key=1"), "{shown}");
        assert_eq!(*tokens.asked.lock().unwrap(), [Occasion::Request, Occasion::Request, Occasion::Refused]);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_had_are_said_so() {
    struct Revoked;
    impl HeaderSource for Revoked {
        fn headers(&self, _: Occasion) -> BoxFuture<'_, Result<SecretHeaders, HeadersUnavailable>> {
            async { Err(HeadersUnavailable("the connection was revoked; connect again".to_owned())) }.boxed()
        }
    }
    for kind in [KIND, RemoteKind::Sse, RemoteKind::WebSocket] {
        let host = host(serve_well);
        let error = Upstream::open(host.remote(kind).with_headers(Revoked), options()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open a session: no credentials could be had for the server: the connection was revoked; connect again"
        );
        assert_eq!(host.connections(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_server_is_its_answer_whatever_the_status() {
    let host = host(|asked, wire| async move {
        let (asked, wire) = match opening(asked, wire).await {
            Ok(call) => call,
            Err(served) => return served,
        };
        let error = json!({ "jsonrpc": "2.0", "id": asked.body["id"], "error": { "code": -32602, "message": "no such tool" } });
        wire.respond("422 Unprocessable Entity", "content-type: application/json\r\n", &error.to_string())
            .await
    });
    let upstream = host.open(KIND).await.unwrap();
    let expected = "the tool's server answered with an error: no such tool (-32602)";
    assert_eq!(failure(call(&upstream, "{}").await), expected);
}
