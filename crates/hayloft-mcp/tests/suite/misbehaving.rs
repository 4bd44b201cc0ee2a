//! What a server can do wrong, and that only the calls concerned feel it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hayloft_mcp::client::channel::ChannelTransport;
use hayloft_mcp::client::{CallDeadline, CloseReason, OpenError, UpstreamCounters, UpstreamObserver};
use hayloft_mcp::{ToolFailure, Upstream, UpstreamOptions};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::*;

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl UpstreamObserver for Notes {
    fn noise(&self, excerpt: &str) {
        self.0.lock().unwrap().push(excerpt.to_owned());
    }

    fn closed(&self, reason: &CloseReason) {
        self.0.lock().unwrap().push(format!("closed: {reason}"));
    }
}

#[tokio::test]
async fn replies_that_nobody_waits_for_are_ignored_and_counted() {
    let (mut server, upstream) = open().await;
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, r#"{"n":1}"#).await }
    });
    let request = server.expect("tools/call").await;
    for foreign in ["0", "999", "-1", "\"2\"", "2.0", "null", "{}"] {
        server.write(&format!(r#"{{"jsonrpc":"2.0","id":{foreign},"result":{{"forged":true}}}}"#)).await;
    }
    server.reply(&request["id"], r#"{"right":true}"#).await;
    server.reply(&request["id"], r#"{"again":true}"#).await;
    assert_eq!(calling.await.unwrap().unwrap().get(), r#"{"right":true}"#);
    // A later call shows that the duplicate was read and did no harm.
    server.echo();
    assert_eq!(call(&upstream, r#"{"n":2}"#).await.unwrap().get(), r#"{"n":2}"#);
    let expected = UpstreamCounters { foreign_replies: 7, late_replies: 1, ..UpstreamCounters::default() };
    assert_eq!(upstream.counters(), expected);
}

#[tokio::test]
async fn text_that_is_no_message_is_skipped_and_reported_within_bounds() {
    let notes = Arc::new(Notes::default());
    let observed = UpstreamOptions { observer: Arc::clone(&notes) as _, ..options() };
    let (mut server, upstream) = open_with("2025-11-25", observed).await;
    let upstream = upstream.unwrap();
    server.write(&format!("listening on port {}", "x".repeat(1000))).await;
    for text in
        ["[]", "{}", r#"{"level":"info"}"#, "42", "\u{feff}{}", r#"{"jsonrpc":"2.0","error":{"code":1}}"#]
    {
        server.write(text).await;
    }
    server.stdout.write_all(b"\xff\xfe\n").await.unwrap();
    for _ in 0..100 {
        server.write("noise").await;
    }
    server.echo();
    assert_eq!(call(&upstream, r#"{"n":1}"#).await.unwrap().get(), r#"{"n":1}"#);
    assert_eq!(upstream.counters().noise, 108);
    let noted = notes.0.lock().unwrap();
    assert_eq!(noted.len(), 20);
    assert_eq!(noted[0].len(), 300);
    assert_eq!(noted[7], "\u{fffd}\u{fffd}");
}

#[tokio::test(start_paused = true)]
async fn endless_notifications_slow_only_the_server_that_makes_them() {
    let few = UpstreamOptions { unasked_per_second: 10, ..options() };
    let (server, upstream) = open_with("2025-11-25", few).await;
    let upstream = upstream.unwrap();
    let (mut other_server, other) = open().await;
    let FakeServer { mut stdout, stdin } = server;
    let flood = tokio::spawn(async move {
        while stdout.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n").await.is_ok() {}
    });
    let failed = tokio::spawn({
        let upstream = upstream.clone();
        let deadline = CallDeadline::fixed(Duration::from_secs(5));
        async move { call_within(&upstream, "{}", deadline).await }
    });
    let calling = tokio::spawn(async move { call(&other, r#"{"n":1}"#).await });
    let request = other_server.expect("tools/call").await;
    other_server.reply(&request["id"], "{}").await;
    assert!(calling.await.unwrap().is_ok());
    assert_eq!(failure(failed.await.unwrap()), "timeout: the server did not answer within 5s");
    let heard = upstream.counters().notifications;
    assert!((10..=70).contains(&heard), "{heard} notifications were read in five seconds");
    drop(upstream);
    flood.await.unwrap();
    drop(stdin);
}

#[tokio::test]
async fn a_giant_line_ends_the_session_with_its_reason() {
    let notes = Arc::new(Notes::default());
    let small = UpstreamOptions { max_message_bytes: 1000, observer: Arc::clone(&notes) as _, ..options() };
    let (mut server, upstream) = open_with("2025-11-25", small).await;
    let upstream = upstream.unwrap();
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, "{}").await }
    });
    server.expect("tools/call").await;
    server.stdout.write_all(&[b'x'; 2000]).await.unwrap();
    let expected = "too_large: the connection to the server broke: a message is longer than 1000 bytes";
    assert_eq!(failure(calling.await.unwrap()), expected);
    assert_eq!(failure(call(&upstream, "{}").await), expected);
    assert_eq!(
        *notes.0.lock().unwrap(),
        ["closed: the connection to the server broke: a message is longer than 1000 bytes"]
    );
}

#[tokio::test]
async fn a_request_over_the_cap_is_refused_before_it_is_sent() {
    let small = UpstreamOptions { max_message_bytes: 1000, ..options() };
    let (server, upstream) = open_with("2025-11-25", small).await;
    let upstream = upstream.unwrap();
    server.echo();
    let large = json!({ "text": "x".repeat(1000) }).to_string();
    assert!(failure(call(&upstream, &large).await).starts_with("too_large: the request has "));
    assert!(call(&upstream, "{}").await.is_ok());
}

#[tokio::test]
async fn a_list_that_goes_in_a_circle_ends() {
    let (mut server, upstream) = open().await;
    let listing = tokio::spawn(async move { upstream.list_tools().await });
    let first = server.expect("tools/list").await;
    assert_eq!(first["params"], json!({}));
    server.reply(&first["id"], r#"{"tools":[{"name":"a"}],"nextCursor":"x"}"#).await;
    let second = server.expect("tools/list").await;
    assert_eq!(second["params"], json!({ "cursor": "x" }));
    server.reply(&second["id"], r#"{"tools":[{"name":"b"}],"nextCursor":"x"}"#).await;
    let listing = listing.await.unwrap().unwrap();
    assert_eq!(listing.tools.len(), 2);
    assert_eq!(listing.problems.to_string(), "error: tools: are listed in a circle: a cursor came twice");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_told_that_nobody_waits() {
    let (mut server, upstream) = open().await;
    let deadline = CallDeadline::fixed(Duration::from_secs(7));
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { call_within(&upstream, "{}", deadline).await }
    });
    let request = server.expect("tools/call").await;
    assert_eq!(failure(calling.await.unwrap()), "timeout: the server did not answer within 7s");
    let cancelled = server.expect("notifications/cancelled").await;
    assert_eq!(cancelled["params"], json!({ "requestId": request["id"], "reason": "timed out" }));
    assert_eq!(upstream.waiting(), 0);
    // The answer that comes after all is nobody's.
    server.reply(&request["id"], "{}").await;
    server.echo();
    assert!(call(&upstream, "{}").await.is_ok());
    assert_eq!(upstream.counters().late_replies, 1);
}

#[tokio::test]
async fn a_server_that_exits_fails_all_that_wait_and_all_that_come() {
    let (mut server, upstream) = open().await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move { call(&upstream, "{}").await })
        })
        .collect();
    for _ in 0..3 {
        server.expect("tools/call").await;
    }
    server.stdout.write_all(b"panic: out of cheese").await.unwrap();
    drop(server);
    for call in calls {
        assert_eq!(failure(call.await.unwrap()), "crashed: the server ended");
    }
    assert_eq!(failure(call(&upstream, "{}").await), "crashed: the server ended");
    assert_eq!(upstream.closed().await, CloseReason::Ended);
    assert_eq!(upstream.counters().noise, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_nothing_makes_callers_wait_no_longer_than_they_would() {
    let (server, upstream) = open().await;
    let large = json!({ "text": "x".repeat(60_000) }).to_string();
    let calls = (0..100).map(|_| call(&upstream, &large));
    let outcomes = futures::future::join_all(calls).await;
    assert!(outcomes.into_iter().all(|outcome| failure(outcome).starts_with("timeout: ")));
    assert_eq!(upstream.waiting(), 0);
    drop(server);
}

#[tokio::test]
async fn answers_that_are_not_the_protocol_fail_their_call_only() {
    let (mut server, upstream) = open().await;
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let cases = [
        (r#""result":7"#.to_owned(), "failed: the server's answer is not valid: the result is not an object"),
        (
            format!(r#""result":{deep}"#),
            "failed: the server's answer is not valid: it nests deeper than 128 levels",
        ),
        (
            r#""error":{"code":-1,"message":"no"}"#.to_owned(),
            "the tool's server answered with an error: no (-1)",
        ),
        (
            r#""error":"no""#.to_owned(),
            "the tool's server answered with an error: server gave no message with its error (-32603)",
        ),
    ];
    for (answer, expected) in cases {
        let calling = tokio::spawn({
            let upstream = upstream.clone();
            async move { call(&upstream, "{}").await }
        });
        let request = server.expect("tools/call").await;
        server.write(&format!(r#"{{"jsonrpc":"2.0","id":{},{answer}}}"#, request["id"])).await;
        assert_eq!(failure(calling.await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_message_that_nests_beyond_reason_ends_the_session() {
    for (depth, ends) in [(1_000, false), (100_000, true)] {
        let (mut server, upstream) = open().await;
        let calling = tokio::spawn({
            let upstream = upstream.clone();
            async move { call(&upstream, "{}").await }
        });
        let request = server.expect("tools/call").await;
        server.write(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).await;
        if !ends {
            server.reply(&request["id"], "{}").await;
        }
        let outcome = calling.await.unwrap();
        if ends {
            assert_eq!(
                failure(outcome),
                "failed: the connection to the server broke: a message nests deeper than 1024 levels"
            );
            assert!(upstream.close_reason().is_some());
        } else {
            assert!(outcome.is_ok());
        }
    }
}

#[tokio::test]
async fn requests_of_the_server_get_a_pong_or_a_no() {
    let (mut server, _upstream) = open().await;
    let no = |id| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "this client answers no requests but `ping`" } });
    for (request, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, json!({ "jsonrpc": "2.0", "id": 1, "result": {} })),
        (r#"{"jsonrpc":"2.0","id":"a","method":"sampling/createMessage","params":{}}"#, no(json!("a"))),
        (r#"{"jsonrpc":"2.0","id":3,"method":"elicitation/create","params":{}}"#, no(json!(3))),
        (r#"{"jsonrpc":"2.0","id":4,"method":"roots/list"}"#, no(json!(4))),
    ] {
        server.write(request).await;
        assert_eq!(server.next().await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_opens_or_says_why_not() {
    let cases = [
        (
            Some(r#""result":{"protocolVersion":"1999-01-01","capabilities":{}}"#),
            "the server speaks revision `1999-01-01`, which is not supported",
        ),
        (
            Some(r#""result":{}"#),
            "the answer to `initialize` is not valid: missing field `protocolVersion` at line 1 column 2",
        ),
        (Some(r#""error":{"code":-32600,"message":"go away"}"#), "the server refused: go away (-32600)"),
        (None, "the server did not answer within 30s"),
    ];
    for (answer, expected) in cases {
        let (mut server, transport) = fake_server();
        let opening = tokio::spawn(Upstream::open(transport, options()));
        let request = server.expect("initialize").await;
        assert_eq!(request["params"]["protocolVersion"], "2025-11-25");
        assert_eq!(request["params"]["capabilities"], json!({}));
        if let Some(answer) = answer {
            server.write(&format!(r#"{{"jsonrpc":"2.0","id":{},{answer}}}"#, request["id"])).await;
        }
        let error = opening.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("failed to open a session: {expected}"));
        // `initialize` must not be cancelled, and the pipe is let go of.
        assert_eq!(server.next().await, None);
    }
    let (server, transport) = fake_server();
    drop(server);
    let error = Upstream::open(transport, options()).await.unwrap_err();
    assert!(error.to_string().starts_with("failed to open a session: the server "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn initialize_is_given_up_but_never_cancelled() {
    let (to_server, mut at_server) = mpsc::channel(4);
    let (_to_client, at_client) = mpsc::channel(4);
    let error = Upstream::open(ChannelTransport::new(to_server, at_client), options()).await.unwrap_err();
    assert!(matches!(error, OpenError::Timeout(_)), "{error}");
    let first: Value = serde_json::from_slice(&at_server.recv().await.unwrap()).unwrap();
    assert_eq!(first["method"], "initialize");
    assert_eq!(at_server.recv().await, None);
}

#[tokio::test]
async fn too_many_waiting_calls_are_refused() {
    let few = UpstreamOptions { max_waiting: 1, ..options() };
    let (mut server, upstream) = open_with("2025-11-25", few).await;
    let upstream = upstream.unwrap();
    let first = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, "{}").await }
    });
    let request = server.expect("tools/call").await;
    assert_eq!(failure(call(&upstream, "{}").await), "overloaded: 1 calls wait for the server already");
    server.reply(&request["id"], "{}").await;
    assert!(first.await.unwrap().is_ok());
    upstream.close();
    assert_eq!(failure(call(&upstream, "{}").await), "unavailable: the session was closed");
    assert!(matches!(call(&upstream, "{}").await, Err(ToolFailure::Broke { .. })));
}
