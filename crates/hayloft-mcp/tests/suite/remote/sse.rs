//! HTTP with server-sent events: one stream in, an address to post to.

use std::sync::Arc;

use hayloft_mcp::client::remote::RemoteKind;
use hayloft_mcp::client::{CloseReason, OpenError, TransportError};
use hayloft_mcp::{Upstream, UpstreamOptions};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::support::*;
use crate::support::*;

const KIND: RemoteKind = RemoteKind::Sse;

/// What a stream is told to write.
enum Write {
    Bytes(String),
    HangUp,
}

/// A host whose stream writes what `post` sends it for each message that comes.
fn streaming<F>(first: &'static str, post: F) -> (Host, mpsc::UnboundedSender<Write>)
where
    F: Fn(&Asked) -> (&'static str, String) + Send + Sync + 'static,
{
    let (stream, written) = mpsc::unbounded_channel();
    let (written, to_stream) = (Arc::new(Mutex::new(written)), stream.clone());
    let post = Arc::new(post);
    let host = host(move |asked, mut wire| {
        let (written, stream, post) = (Arc::clone(&written), to_stream.clone(), Arc::clone(&post));
        async move {
            if asked.method == "POST" {
                let (status, bytes) = post(&asked);
                stream.send(Write::Bytes(bytes)).unwrap();
                return wire.respond(status, "content-type: text/plain\r\n", "Accepted").await;
            }
            wire.begin_events().await.ok()?;
            wire.raw(first).await.ok()?;
            let mut written = written.lock().await;
            while let Some(Write::Bytes(bytes)) = written.recv().await {
                wire.raw(bytes).await.ok()?;
            }
            None
        }
    });
    (host, stream)
}

fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

fn well(asked: &Asked) -> (&'static str, String) {
    let text = match &*asked.what() {
        "initialize" => event(&introduced(asked, "2024-11-05")),
        "tools/call" => event(&result(asked, &asked.body["params"]["arguments"])),
        _ => String::new(),
    };
    ("202 Accepted", text)
}

#[tokio::test(start_paused = true)]
async fn messages_are_posted_where_the_stream_says() {
    let (host, stream) = streaming("event: endpoint\ndata: /messages?session=7\n\n", well);
    let upstream = host.open(KIND).await.unwrap();
    assert_eq!(call(&upstream, r#"{"a":1}"#).await.unwrap().get(), r#"{"a":1}"#);
    let all = host.asked();
    assert_eq!(
        (&*all[0].method, &*all[0].target, all[0].header("accept")),
        ("GET", "/mcp?key=1", "text/event-stream")
    );
    for asked in &all[1..] {
        assert_eq!((&*asked.method, &*asked.target), ("POST", "/messages?session=7"));
        assert_eq!(asked.header("content-type"), "application/json");
    }
    assert_eq!(host.list(), ["initialize", "notifications/initialized", "tools/call"]);
    // Another address later is not taken.
    stream.send(Write::Bytes("event: endpoint\ndata: /elsewhere\n\n".to_owned())).unwrap();
    assert!(call(&upstream, "{}").await.is_ok());
    assert!(host.asked().iter().all(|asked| asked.target != "/elsewhere"));
    assert_eq!(host.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_on_another_origin_gets_nothing() {
    for (data, origin) in [
        ("http://evil/messages", "http://evil"),
        ("//evil:81/messages", "http://evil:81"),
        ("http://host/messages", "http://host"),
        ("https://host:81/messages", "https://host:81"),
    ] {
        let first = format!("event: endpoint\ndata: {data}\n\n").leak();
        let (host, _stream) = streaming(first, well);
        let error = host.open(KIND).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "failed to open a session: the server does not keep to the protocol: its address for messages is on another origin, `{origin}`"
            )
        );
        assert_eq!(host.asked().len(), 1, "{data}");
    }
    let (host, _stream) = streaming("event: endpoint\ndata: http://host:81/messages\n\n", well);
    assert!(host.open(KIND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_names_no_address_opens_no_session() {
    let (silent, _stream) = streaming(": hello\n\ndata: {}\n\n", well);
    let error = silent.open(KIND).await.unwrap_err();
    assert!(matches!(error, OpenError::Timeout(_)), "{error}");
    assert_eq!(silent.asked().len(), 1);

    let (short, stream) = streaming(": hello\n\n", well);
    stream.send(Write::HangUp).unwrap();
    let error = short.open(KIND).await.unwrap_err();
    assert!(matches!(error, OpenError::Closed(CloseReason::Ended)), "{error}");

    for (headers, found) in [
        ("content-type: text/html\r\n", "`text/html`"),
        ("content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", "a compressed body"),
    ] {
        let wrong = host(move |_, wire| async move { wire.respond("200 OK", headers, "x").await });
        let error = wrong.open(KIND).await.unwrap_err().to_string();
        let expected = format!("the server answered with {found} where a stream of events belongs");
        assert_eq!(error, format!("failed to open a session: {expected}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_session_ends_with_the_stream() {
    let post = |asked: &Asked| {
        if asked.what() == "tools/call" { ("202 Accepted", String::new()) } else { well(asked) }
    };
    let (host, stream) = streaming("event: endpoint\ndata: /m\n\n", post);
    let upstream = host.open(KIND).await.unwrap();
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, "{}").await }
    });
    host.until(|asked| asked.what() == "tools/call").await;
    stream.send(Write::HangUp).unwrap();
    assert_eq!(failure(calling.await.unwrap()), "crashed: the server ended");
    assert_eq!(upstream.closed().await, CloseReason::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_taken_fails_its_call_only() {
    let post = |asked: &Asked| {
        if asked.body["params"]["arguments"]["refuse"] == true {
            return ("413 Payload Too Large", String::new());
        }
        well(asked)
    };
    let (host, _stream) = streaming("event: endpoint\ndata: /m\n\n", post);
    let upstream = host.open(KIND).await.unwrap();
    let refused = failure(call(&upstream, r#"{"refuse":true}"#).await);
    assert_eq!(refused, "failed: the server answered with HTTP 413: Accepted");
    assert!(call(&upstream, "{}").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_cap_ends_the_session() {
    let post = |asked: &Asked| match &*asked.what() {
        "tools/call" => ("202 Accepted", format!("data: {}\n\n", "x".repeat(2000))),
        _ => well(asked),
    };
    let (host, _stream) = streaming("event: endpoint\ndata: /m\n\n", post);
    let small = UpstreamOptions { max_message_bytes: 1000, ..options() };
    let upstream = Upstream::open(host.remote(KIND), small).await.unwrap();
    let expected = "too_large: the connection to the server broke: a message is longer than 1000 bytes";
    assert_eq!(failure(call(&upstream, "{}").await), expected);
    assert_eq!(upstream.closed().await, CloseReason::Transport(TransportError::TooLong { limit: 1000 }));
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_any_order_and_forged_ones_count_for_nothing() {
    let post = |asked: &Asked| match &*asked.what() {
        "tools/call" => {
            let forged = json!({ "jsonrpc": "2.0", "id": 99, "result": {} });
            let right = event(&result(asked, &json!({ "right": true })));
            ("202 Accepted", format!("{}{right}{right}", event(&forged)))
        }
        _ => well(asked),
    };
    let (host, _stream) = streaming("event: endpoint\ndata: /m\n\n", post);
    let upstream = host.open(KIND).await.unwrap();
    for _ in 0..2 {
        assert_eq!(call(&upstream, "{}").await.unwrap().get(), r#"{"right":true}"#);
    }
    eventually(|| upstream.counters().late_replies == 2).await;
    assert_eq!(upstream.counters().foreign_replies, 2);
}
