//! A session with a server that behaves.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use hayloft_mcp::client::channel::ChannelTransport;
use hayloft_mcp::client::{CallDeadline, CallError, CloseReason, ToolsCapability, UpstreamCall};
use hayloft_mcp::{Upstream, progress_channel};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test]
async fn servers_of_four_revisions_are_understood() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let (server, upstream) = open_with(revision, options()).await;
        let upstream = upstream.unwrap();
        assert_eq!(upstream.details().revision.name(), revision);
        assert_eq!(upstream.details().tools, ToolsCapability::Declared);
        server.echo();
        assert_eq!(call(&upstream, r#"{"a" : 1}"#).await.unwrap().get(), r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn batches_are_read_from_the_one_revision_that_has_them() {
    for (revision, read) in [("2025-03-26", true), ("2025-06-18", false)] {
        let (mut server, upstream) = open_with(revision, options()).await;
        let upstream = upstream.unwrap();
        let calls = [1, 2].map(|n| {
            let upstream = upstream.clone();
            tokio::spawn(async move { call(&upstream, &json!({ "n": n }).to_string()).await })
        });
        let mut answers = Vec::new();
        for _ in 0..2 {
            let request = server.expect("tools/call").await;
            answers.push(
                json!({ "jsonrpc": "2.0", "id": request["id"], "result": request["params"]["arguments"] }),
            );
        }
        server.write(&Value::from(answers).to_string()).await;
        if read {
            for (n, call) in calls.into_iter().enumerate() {
                assert_eq!(call.await.unwrap().unwrap().get(), format!(r#"{{"n":{}}}"#, n + 1));
            }
        } else {
            drop(server);
            assert_eq!(upstream.closed().await, CloseReason::Ended);
            assert_eq!(upstream.counters().noise, 1);
        }
    }
}

#[tokio::test]
async fn the_session_ends_with_its_last_owner_and_the_pipe_with_it() {
    let (mut server, upstream) = open().await;
    let clone = upstream.clone();
    drop(upstream);
    let pinging = tokio::spawn(async move { clone.ping(Duration::from_secs(1)).await });
    let ping = server.expect("ping").await;
    server.reply(&ping["id"], "{}").await;
    pinging.await.unwrap().unwrap();
    assert_eq!(server.next().await, None);
}

#[tokio::test]
async fn a_call_is_composed_from_its_parts() {
    let (mut server, upstream) = open().await;
    let (sink, mut reports) = progress_channel();
    let arguments = raw("{\n \"big\": 12345678901234567890123,\r\n \"text\": \"a\\nb\"}");
    let meta = raw(r#"{"traceparent":"00-1","progressToken":"client's"}"#);
    let calling = tokio::spawn(async move {
        let call = UpstreamCall {
            name: "say \"hi\"",
            arguments: Some(&arguments),
            meta: Some(&meta),
            progress: Some(sink),
            deadline: DEADLINE,
            cancelled: &CancellationToken::new(),
        };
        upstream.call_tool(call).await
    });
    let line = server.stdin.next_line().await.unwrap().unwrap();
    assert_eq!(
        line,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"say \"hi\"","arguments":{  "big": 12345678901234567890123,   "text": "a\nb"},"_meta":{"progressToken":2,"traceparent":"00-1"}}}"#
    );
    server.write(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":99,"progress":9}}"#).await;
    server.write(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1,"x-eta": 2.50}}"#).await;
    assert_eq!(reports.recv().await.unwrap().as_json(), r#"{"progress":1,"x-eta":2.50}"#);
    server.reply(&json!(2), r#"{"content":[] , "odd":1e3}"#).await;
    assert_eq!(calling.await.unwrap().unwrap().get(), r#"{"content":[] , "odd":1e3}"#);
    assert!(reports.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn progress_extends_the_deadline_but_not_for_ever() {
    let (mut server, upstream) = open().await;
    let deadline = CallDeadline { quiet: Duration::from_secs(10), total: Duration::from_secs(35) };
    let calling = tokio::spawn(async move {
        let (sink, _reports) = progress_channel();
        let call = UpstreamCall {
            name: "t",
            arguments: None,
            meta: None,
            progress: Some(sink),
            deadline,
            cancelled: &CancellationToken::new(),
        };
        upstream.call_tool(call).await
    });
    let request = server.expect("tools/call").await;
    assert_eq!(request["params"], json!({ "name": "t", "_meta": { "progressToken": request["id"] } }));
    let report = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": request["id"], "progress": 1 } });
    let mut ticks = tokio::time::interval(Duration::from_secs(8));
    let reporting = async {
        loop {
            ticks.tick().await;
            server.write(&report.to_string()).await;
        }
    };
    tokio::select! {
        () = reporting => {}
        outcome = calling => {
            let error = outcome.unwrap().unwrap_err();
            assert_eq!(error.to_string(), "the server did not answer within 35s");
        }
    }
}

#[tokio::test]
async fn cancelling_and_walking_away_are_both_told_to_the_server() {
    let (mut server, upstream) = open().await;
    let cancelled = CancellationToken::new();
    let calling = tokio::spawn({
        let (upstream, cancelled) = (upstream.clone(), cancelled.clone());
        async move {
            let call = UpstreamCall {
                name: "t",
                arguments: None,
                meta: None,
                progress: None,
                deadline: DEADLINE,
                cancelled: &cancelled,
            };
            upstream.call_tool(call).await
        }
    });
    let request = server.expect("tools/call").await;
    cancelled.cancel();
    assert!(matches!(calling.await.unwrap(), Err(CallError::Cancelled)));
    let told = server.expect("notifications/cancelled").await;
    assert_eq!(told["params"], json!({ "requestId": request["id"], "reason": "cancelled" }));

    let walking_away = tokio::spawn({
        let upstream = upstream.clone();
        async move { call(&upstream, "{}").await }
    });
    let request = server.expect("tools/call").await;
    walking_away.abort();
    let told = server.expect("notifications/cancelled").await;
    assert_eq!(told["params"], json!({ "requestId": request["id"], "reason": "the caller is gone" }));
}

#[tokio::test]
async fn a_changed_list_is_announced() {
    let (mut server, upstream) = open().await;
    let mut changed = upstream.tools_changed();
    server.write(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
    changed.changed().await.unwrap();
    assert_eq!(*changed.borrow(), 1);
}

#[tokio::test]
async fn a_server_without_tools_is_not_asked_for_them() {
    let (mut server, transport) = fake_server();
    let opening = tokio::spawn(Upstream::open(transport, options()));
    let request = server.expect("initialize").await;
    server.reply(&request["id"], r#"{"protocolVersion":"2025-11-25","capabilities":{"prompts":{}}}"#).await;
    let upstream = opening.await.unwrap().unwrap();
    let listing = upstream.list_tools().await.unwrap();
    assert!(listing.tools.is_empty() && listing.problems.is_empty());
}

#[tokio::test]
async fn servers_inside_a_worker_are_reached_by_channel() {
    let (to_server, mut at_server) = mpsc::channel::<Bytes>(4);
    let (to_client, at_client) = mpsc::channel::<Bytes>(4);
    let server = tokio::spawn(async move {
        while let Some(message) = at_server.recv().await {
            let message: Value = serde_json::from_slice(&message).unwrap();
            let result = match message["method"].as_str().unwrap() {
                "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} } }),
                "tools/list" => json!({ "tools": [{ "name": "t" }] }),
                "tools/call" => message["params"]["arguments"].clone(),
                _ => continue,
            };
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
            to_client.send(answer.into()).await.unwrap();
        }
    });
    let upstream = Upstream::open(ChannelTransport::new(to_server, at_client), options()).await.unwrap();
    assert_eq!(upstream.list_tools().await.unwrap().tools[0].name(), "t");
    assert_eq!(call(&upstream, r#"{"a":1}"#).await.unwrap().get(), r#"{"a":1}"#);
    drop(upstream);
    server.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However a server orders and mixes its answers, each call gets its own.
    #[test]
    fn any_interleaving_of_answers_reaches_its_calls(
        order in (1_usize..40).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
        chatter in proptest::collection::vec(0_u8..4, 40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut server, upstream) = open().await;
            let calls: Vec<_> = (0..order.len())
                .map(|n| {
                    let upstream = upstream.clone();
                    tokio::spawn(async move { call(&upstream, &json!({ "n": n }).to_string()).await })
                })
                .collect();
            let mut requests = Vec::new();
            for _ in 0..order.len() {
                requests.push(server.expect("tools/call").await);
            }
            for (place, chatter) in order.iter().zip(chatter) {
                match chatter {
                    0 => server.write("noise").await,
                    1 => server.write(r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#).await,
                    2 => server.write(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#).await,
                    _ => {}
                }
                let request = &requests[*place];
                server.reply(&request["id"], &request["params"]["arguments"].to_string()).await;
            }
            for (n, call) in calls.into_iter().enumerate() {
                assert_eq!(call.await.unwrap().unwrap().get(), json!({ "n": n }).to_string());
            }
            assert_eq!(upstream.waiting(), 0);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_looked_at_only_when_something_happens() {
    let (mut server, upstream) = open().await;
    let polls = std::cell::Cell::new(0);
    let mut calling = std::pin::pin!(call(&upstream, "{}"));
    let counted = std::future::poll_fn(|context| {
        polls.set(polls.get() + 1);
        calling.as_mut().poll(context)
    });
    let answer = async {
        let request = server.expect("tools/call").await;
        // Most of the deadline passes, and with it every pause that somebody could have made.
        tokio::time::advance(Duration::from_secs(59)).await;
        server.reply(&request["id"], r#"{"content":[]}"#).await;
    };
    // Joined by hand: `join!` would poll both whenever either of them is woken.
    let answering = async {
        answer.await;
        std::future::pending::<()>().await;
    };
    let mut tasks = futures::stream::FuturesUnordered::new();
    tasks.push(futures::future::Either::Left(counted.map(|outcome| outcome.is_ok())));
    tasks.push(futures::future::Either::Right(answering.map(|()| false)));
    assert_eq!(tasks.next().await, Some(true));
    assert!(polls.get() <= 4, "{} polls", polls.get());
    drop(tasks);
    assert_eq!(upstream.waiting(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_calls_that_are_over_however_they_ended() {
    let (server, upstream) = open().await;
    server.echo();
    for round in 0..2_000 {
        let arguments = format!(r#"{{"n":{round}}}"#);
        if round % 3 == 0 {
            // Whoever walks away before the answer leaves nothing behind either.
            let mut calling = std::pin::pin!(call(&upstream, &arguments));
            assert!(futures::poll!(&mut calling).is_pending());
        } else {
            assert_eq!(call(&upstream, &arguments).await.unwrap().get(), arguments);
        }
    }
    assert_eq!(upstream.waiting(), 0);
}
