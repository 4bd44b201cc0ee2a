//! What a server over HTTP can do wrong, and that only the calls concerned feel it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hayloft_mcp::client::remote::RemoteKind;
use hayloft_mcp::client::{CallDeadline, CloseReason, OpenError, TransportError, UpstreamCounters};
use hayloft_mcp::{ToolFailure, UpstreamOptions};
use serde_json::json;

use super::support::*;
use crate::support::*;

const KIND: RemoteKind = RemoteKind::StreamableHttp;

/// A host that answers the tool `t` with raw bytes and then hangs up, and other calls well.
fn answering(bytes: impl Into<String>) -> Host {
    let bytes = bytes.into();
    host(move |asked, wire| {
        let bytes = bytes.clone();
        async move {
            match opening(asked, wire).await {
                Ok((asked, wire)) if asked.body["params"]["arguments"]["well"] == true => {
                    wire.json(&result(&asked, &json!({ "well": true }))).await
                }
                Ok((_, mut wire)) => {
                    wire.raw(bytes).await.ok()?;
                    None
                }
                Err(served) => served,
            }
        }
    })
}

fn json_of(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(start_paused = true)]
async fn each_wrong_response_fails_its_call_with_a_reason_and_nothing_else() {
    let respond = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    };
    let many_headers: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases = [
        (
            respond("403 Forbidden", "content-type: text/plain\r\n", "wrong\u{1b}[2J scope"),
            "unavailable: the server refused the credentials (HTTP 403): wrong [2J scope",
        ),
        (
            respond("307 Temporary Redirect", "location: https://evil.example/mcp?x=1\r\n", ""),
            "failed: the server redirects to `https://evil.example`, which is not followed (HTTP 307)",
        ),
        (
            respond("301 Moved Permanently", "location: /mcp/\r\n", ""),
            "failed: the server redirects to another of its addresses, which is not followed (HTTP 301)",
        ),
        (
            respond("429 Too Many Requests", "retry-after: 7\r\n", ""),
            "overloaded: the server answered with HTTP 429",
        ),
        (
            respond("500 Internal Server Error", "content-type: text/html\r\n", "<h1>Stack trace</h1>"),
            "failed: the server answered with HTTP 500",
        ),
        (
            respond("200 OK", "content-type: text/html\r\n", "<h1>Welcome</h1>"),
            "failed: the server answered with `text/html` where JSON or a stream of events belongs",
        ),
        (
            respond("200 OK", "", "{}"),
            "failed: the server answered with a body without a type where JSON or a stream of events belongs",
        ),
        (
            respond("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", "x"),
            "failed: the server answered with a compressed body where JSON or a stream of events belongs",
        ),
        (respond("202 Accepted", "", ""), "failed: the server ended its response without the answer"),
        (json_of("not json"), "failed: the server ended its response without the answer"),
        (
            json_of(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#),
            "failed: the server ended its response without the answer",
        ),
        (
            json_of(r#"{"jsonrpc":"2.0","id":2,"result":7}"#),
            "failed: the server's answer is not valid: the result is not an object",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{".to_owned(),
            "crashed: the connection broke before the answer was there: end of file before message length reached",
        ),
        (
            "nonsense\r\n\r\n".to_owned(),
            "failed: the server does not keep to the protocol: its response is not HTTP/1.1",
        ),
        (
            String::new(),
            "crashed: the connection broke before the answer was there: connection closed before message completed",
        ),
        (
            respond("200 OK", &many_headers, ""),
            "failed: the server does not keep to the protocol: the head of its response is too large",
        ),
        (
            respond("200 OK", &format!("x: {}\r\n", "y".repeat(1_000_000)), ""),
            "failed: the server does not keep to the protocol: the head of its response is too large",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{"
                .to_owned(),
            "too_large: a message is longer than 100000 bytes",
        ),
    ];
    for (response, expected) in cases {
        let host = answering(response);
        let small = UpstreamOptions { max_message_bytes: 100_000, ..options() };
        let upstream = host.open_with(KIND, small).await.unwrap();
        let outcome = call(&upstream, "{}").await;
        if let Err(ToolFailure::Broke { retry_after, .. }) = &outcome {
            let told = expected.starts_with("overloaded").then_some(Duration::from_secs(7));
            assert_eq!(*retry_after, told, "{expected}");
        }
        assert_eq!(failure(outcome), expected);
        assert_eq!(host.list().iter().filter(|what| *what == "tools/call").count(), 1, "{expected}");
        assert_eq!(
            call(&upstream, r#"{"well":true}"#).await.unwrap().get(),
            r#"{"well":true}"#,
            "{expected}"
        );
        assert_eq!(upstream.close_reason(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn endless_bodies_and_events_are_read_no_further_than_a_message_may_be() {
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", "[[[[[[[[[[[[[[[["),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ", "xxxxxxxxxxxxxxxx"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", "data: xxxxxxxxx\n"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:", "xxxxxxxxxxxxxxxx"),
    ] {
        let (written, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let host = host(move |asked, wire| {
            let written = written.clone();
            async move {
                let (_, mut wire) = match opening(asked, wire).await {
                    Ok(call) => call,
                    Err(served) => return served,
                };
                wire.raw(head).await.ok()?;
                let mut count = 0;
                while wire.raw(piece.repeat(64)).await.is_ok() {
                    count += 1024;
                }
                written.send(count).unwrap();
                None
            }
        });
        let small = UpstreamOptions { max_message_bytes: 100_000, ..options() };
        let upstream = host.open_with(KIND, small).await.unwrap();
        assert_eq!(failure(call(&upstream, "{}").await), "too_large: a message is longer than 100000 bytes");
        let count = seen.recv().await.unwrap();
        assert!(count < 400_000, "{count} bytes were taken");
        assert_eq!(upstream.close_reason(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_trickle_hold_their_call_until_its_deadline() {
    for head in [
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    ] {
        let host = host(move |asked, wire| async move {
            let (asked, mut wire) = match opening(asked, wire).await {
                Ok(call) => call,
                Err(served) => return served,
            };
            if asked.body["params"]["arguments"]["well"] == true {
                return wire.json(&result(&asked, &json!({}))).await;
            }
            wire.raw(head).await.ok()?;
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                wire.raw(":").await.ok()?;
            }
        });
        let upstream = host.open(KIND).await.unwrap();
        let deadline = CallDeadline::fixed(Duration::from_secs(20));
        let slow = call_within(&upstream, "{}", deadline);
        let (slow, well) = tokio::join!(slow, call(&upstream, r#"{"well":true}"#));
        assert_eq!(failure(slow), "timeout: the server did not answer within 20s");
        assert!(well.is_ok());
        host.until(|asked| asked.what() == "notifications/cancelled").await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_asked_for_are_ignored_and_counted() {
    let host = host(|asked, wire| async move {
        let (asked, wire) = match opening(asked, wire).await {
            Ok(call) => call,
            Err(served) => return served,
        };
        let forged = json!({ "jsonrpc": "2.0", "id": 77, "result": { "forged": true } });
        let again = result(&asked, &json!({ "again": true }));
        let right = result(&asked, &json!({ "right": true }));
        wire.events(&format!("data: {forged}\n\ndata: noise\n\ndata: {right}\n\ndata: {again}\n\n")).await
    });
    let upstream = host.open(KIND).await.unwrap();
    for _ in 0..2 {
        assert_eq!(call(&upstream, "{}").await.unwrap().get(), r#"{"right":true}"#);
    }
    eventually(|| upstream.counters().late_replies == 2).await;
    let expected =
        UpstreamCounters { foreign_replies: 2, late_replies: 2, noise: 2, ..UpstreamCounters::default() };
    assert_eq!(upstream.counters(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_on_another_stream_ends_the_wait_too() {
    let host = host(|asked, mut wire| async move {
        if asked.method == "GET" {
            wire.begin_events().await.ok()?;
            wire.raw("data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"elsewhere\":true}}\n\n")
                .await
                .ok()?;
            return wire.hang().await;
        }
        match opening(asked, wire).await {
            Ok((_, wire)) => wire.hang().await,
            Err(served) => served,
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    // The stream may answer before the request is made, which is then no answer.
    let deadline = CallDeadline::fixed(Duration::from_secs(5));
    match call_within(&upstream, "{}", deadline).await {
        Ok(answer) => assert_eq!(answer.get(), r#"{"elsewhere":true}"#),
        Err(_) => assert_eq!(upstream.counters().foreign_replies, 1),
    }
}

#[tokio::test(start_paused = true)]
async fn session_ids_are_taken_only_as_the_protocol_has_them() {
    for id in ["has space", &"x".repeat(2000), "umlaut-ü", ""] {
        let header = format!("content-type: application/json\r\nmcp-session-id: {id}\r\n");
        let host = host(move |asked, wire| {
            let header = header.clone();
            async move { wire.respond("200 OK", &header, &introduced(&asked, "2025-11-25").to_string()).await }
        });
        let error = host.open(KIND).await.unwrap_err();
        assert!(matches!(&error, OpenError::Transport(TransportError::Protocol(_))), "{error}");
        assert!(error.to_string().ends_with("its session id is not of 1 to 1024 visible ASCII characters"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_on_one_stream_is_slowed_to_its_budget() {
    for piece in
        [":\n", "event: x\ndata: y\n\n", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n"]
    {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let host = host(move |asked, mut wire| {
            let count = Arc::clone(&count);
            async move {
                if asked.method != "GET" {
                    return serve_well(asked, wire).await;
                }
                wire.begin_events().await.ok()?;
                while wire.raw(piece.repeat(100)).await.is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                None
            }
        });
        let few = UpstreamOptions { unasked_per_second: 10, ..options() };
        let _flooded = host.open_with(KIND, few).await.unwrap();
        host.until(|asked| asked.method == "GET").await;
        // Time stands still, so a flood that is slowed comes to a stop, and one that is not goes on for ever.
        let mut turns = 0;
        let mut before = usize::MAX;
        while before != written.load(Ordering::SeqCst) {
            before = written.load(Ordering::SeqCst);
            turns += 1;
            assert!(turns < 1000, "{before} times 100 of {piece:?} were read at once");
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
        }
        assert!(before > 0);
        let other = super::support::host(serve_well);
        assert!(call(&other.open(KIND).await.unwrap(), "{}").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_says_why_at_the_opening() {
    for kind in [KIND, RemoteKind::Sse, RemoteKind::WebSocket] {
        let host = host(serve_well);
        host.vanish("the certificate of `host` is not trusted");
        let error = host.open(kind).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open a session: the server cannot be reached: the certificate of `host` is not trusted"
        );
    }
    let never = hayloft_mcp::client::remote::Remote::new(
        KIND,
        "http://host/".parse().unwrap(),
        std::future::pending::<std::io::Result<tokio::io::DuplexStream>>,
    );
    let error = hayloft_mcp::Upstream::open(never, options()).await.unwrap_err();
    assert!(error.to_string().ends_with("cannot be reached: no connection came up within 10s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_take_up_the_session_loses_it() {
    let host = host(|asked, wire| async move {
        if asked.what() == "notifications/initialized" {
            return wire.respond("500 Internal Server Error", "", "").await;
        }
        serve_well(asked, wire).await
    });
    let upstream = host.open(KIND).await.unwrap();
    let expected = CloseReason::Transport(TransportError::Status {
        status: 500,
        message: String::new(),
        retry_after: None,
    });
    assert_eq!(upstream.closed().await, expected);
}

#[tokio::test(start_paused = true)]
async fn only_a_few_large_answers_are_held_at_once() {
    const LARGE: usize = 1_000_000;
    let (taken, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let host = host(move |asked, wire| {
        let taken = taken.clone();
        async move {
            let (_, mut wire) = match opening(asked, wire).await {
                Ok(call) => call,
                Err(served) => return served,
            };
            wire.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await.ok()?;
            wire.raw(" ".repeat(LARGE)).await.ok()?;
            taken.send(()).unwrap();
            wire.hang().await
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    let deadline = CallDeadline::fixed(Duration::from_secs(10));
    let calls = futures::future::join_all((0..32).map(|_| call_within(&upstream, "{}", deadline)));
    let outcomes = calls.await;
    assert!(outcomes.into_iter().all(|outcome| failure(outcome).starts_with("timeout: ")));
    let mut count = 0;
    while seen.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 4);
}
