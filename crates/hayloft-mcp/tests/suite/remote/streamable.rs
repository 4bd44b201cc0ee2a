//! Streamable HTTP as it should be: what is sent, what is read, how a session ends.

use std::time::Duration;

use hayloft_mcp::client::remote::RemoteKind;
use hayloft_mcp::client::{CallDeadline, CloseReason, TransportError, UpstreamCall};
use hayloft_mcp::{ToolFailure, progress_channel};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::support::*;

const KIND: RemoteKind = RemoteKind::StreamableHttp;

#[tokio::test(start_paused = true)]
async fn requests_belong_to_their_session_and_follow_its_revision() {
    // Which revisions are named in a header, and what follows when a server gives no session.
    for (revision, named, session) in [
        ("2025-11-25", "2025-11-25", "s-1"),
        ("2025-06-18", "2025-06-18", ""),
        ("2025-03-26", "", "s-1"),
        ("2024-11-05", "", ""),
    ] {
        let host = host(move |asked, wire| async move {
            if asked.what() == "initialize" {
                let head =
                    if session.is_empty() { String::new() } else { format!("mcp-session-id: {session}\r\n") };
                let head = format!("Content-Type: application/json; charset=utf-8\r\n{head}");
                return wire.respond("200 OK", &head, &introduced(&asked, revision).to_string()).await;
            }
            serve_well(asked, wire).await
        });
        let upstream = host.open(KIND).await.unwrap();
        assert_eq!(call(&upstream, r#"{"a" :1}"#).await.unwrap().get(), r#"{"a":1}"#);
        upstream.close();
        if session.is_empty() {
            // There is no session to end, so nothing more is said.
            eventually(|| host.list().len() == 3).await;
        } else {
            host.until(|asked| asked.method == "DELETE").await;
        }
        let all = host.asked();
        let first = &all[0];
        assert_eq!((&*first.method, &*first.target, first.header("host")), ("POST", "/mcp?key=1", "host:81"));
        assert_eq!((first.header("mcp-session-id"), first.header("mcp-protocol-version")), ("", ""));
        for asked in &all[1..] {
            let headers = (asked.header("mcp-session-id"), asked.header("mcp-protocol-version"));
            assert_eq!(headers, (session, named), "{asked:?}");
        }
        for asked in all.iter().filter(|asked| asked.method == "POST") {
            assert_eq!(asked.header("accept"), "application/json, text/event-stream");
            assert_eq!(asked.header("content-type"), "application/json");
        }
        let stream = all.iter().find(|asked| asked.method == "GET").unwrap();
        assert_eq!((stream.header("accept"), stream.header("last-event-id")), ("text/event-stream", ""));
        let order: Vec<_> = host.list().into_iter().filter(|what| what != "DELETE").collect();
        assert_eq!(order, ["initialize", "notifications/initialized", "tools/call"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_as_events_with_others_before_and_after() {
    let host = host(|asked, wire| async move {
        let (asked, wire) = match opening(asked, wire).await {
            Ok(call) => call,
            Err(served) => return served,
        };
        let token = &asked.body["params"]["_meta"]["progressToken"];
        let report = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } });
        let answer = result(&asked, &json!({ "right": true }));
        let late = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        wire.events(&format!(
            ": welcome\n\nid: 1\nevent: message\ndata: {report}\n\nevent: other\ndata: x\n\ndata: {answer}\n\ndata: {late}\n\n"
        ))
        .await
    });
    let upstream = host.open(KIND).await.unwrap();
    let mut changed = upstream.tools_changed();
    let (sink, mut reports) = progress_channel();
    let call = UpstreamCall {
        name: "t",
        arguments: None,
        meta: None,
        progress: Some(sink),
        deadline: DEADLINE,
        cancelled: &CancellationToken::new(),
    };
    assert_eq!(upstream.call_tool(call).await.unwrap().get(), r#"{"right":true}"#);
    assert_eq!(reports.recv().await.unwrap().as_json(), r#"{"progress":1}"#);
    changed.changed().await.unwrap();
    assert_eq!(host.asked().iter().filter(|asked| asked.method == "GET").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_asked_for_again_from_its_last_event() {
    let host = host(|asked, mut wire| async move {
        if asked.header("last-event-id") == "e-1" {
            // The server closes once more, having only said how long to wait.
            return wire.events("id: e-2\nretry: 60000\ndata:\n\n").await;
        }
        if asked.header("last-event-id") == "e-2" {
            return wire.events("data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"late\":true}}\n\n").await;
        }
        let (_, mut wire_of_call) = match opening(asked, wire).await {
            Ok(call) => call,
            Err(served) => return served,
        };
        wire_of_call.begin_events().await.ok()?;
        wire_of_call.raw("id: e-1\nretry: 2000\ndata:\n\ndata: {\"unfinished\":").await.ok()?;
        wire = wire_of_call;
        drop(wire);
        None
    });
    let upstream = host.open(KIND).await.unwrap();
    let started = tokio::time::Instant::now();
    let deadline = CallDeadline::fixed(Duration::from_secs(300));
    assert_eq!(call_within(&upstream, "{}", deadline).await.unwrap().get(), r#"{"late":true}"#);
    assert_eq!(started.elapsed().as_secs(), 62);
    let resumed: Vec<_> = host.asked().iter().map(|asked| asked.header("last-event-id").to_owned()).collect();
    assert_eq!(resumed.iter().filter(|id| !id.is_empty()).collect::<Vec<_>>(), ["e-1", "e-2"]);
    assert_eq!(host.list(), ["initialize", "notifications/initialized", "tools/call"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_ids_is_lost_when_it_breaks_and_the_call_is_never_repeated() {
    for (ids, asked_again) in [("", 0), ("id: e-1\n", 1)] {
        let host = host(move |asked, wire| async move {
            if !asked.header("last-event-id").is_empty() {
                return wire.respond("404 Not Found", "", "").await;
            }
            let (_, mut wire) = match opening(asked, wire).await {
                Ok(call) => call,
                Err(served) => return served,
            };
            wire.begin_events().await.ok()?;
            wire.raw(format!("{ids}data: {{}}\n\n")).await.ok()?;
            None
        });
        let upstream = host.open(KIND).await.unwrap();
        let expected = "failed: the server ended its response without the answer";
        assert_eq!(failure(call(&upstream, "{}").await), expected);
        assert_eq!(host.list(), ["initialize", "notifications/initialized", "tools/call"]);
        let resumed = host.asked().iter().filter(|asked| !asked.header("last-event-id").is_empty()).count();
        assert_eq!(resumed, asked_again);
        assert_eq!(upstream.close_reason(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_stream_is_heard_and_taken_up_again() {
    let host = host(|asked, mut wire| async move {
        if asked.method != "GET" {
            return serve_well(asked, wire).await;
        }
        if asked.header("last-event-id").is_empty() {
            wire.begin_events().await.ok()?;
            wire.raw(
                "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
            )
            .await
            .ok()?;
            return None;
        }
        wire.begin_events().await.ok()?;
        wire.raw("data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"ping\"}\n\n").await.ok()?;
        wire.hang().await
    });
    let upstream = host.open(KIND).await.unwrap();
    let mut changed = upstream.tools_changed();
    changed.changed().await.unwrap();
    let again = host.until(|asked| !asked.header("last-event-id").is_empty()).await;
    assert_eq!((&*again.method, again.header("last-event-id")), ("GET", "7"));
    // A question of the server is answered by a post.
    let pong = host.until(|asked| asked.body["id"] == "q").await;
    assert_eq!(pong.body, json!({ "jsonrpc": "2.0", "id": "q", "result": {} }));
    assert!(call(&upstream, "{}").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_told_to_the_server_and_its_connection_let_go() {
    let (hung_up, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let host = host(move |asked, wire| {
        let hung_up = hung_up.clone();
        async move {
            match opening(asked, wire).await {
                Ok((_, wire)) => {
                    let served = wire.hang().await;
                    hung_up.send(()).unwrap();
                    served
                }
                Err(served) => served,
            }
        }
    });
    let upstream = host.open(KIND).await.unwrap();
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
            upstream.call_tool(call).await.map_err(ToolFailure::from)
        }
    });
    let request = host.until(|asked| asked.what() == "tools/call").await;
    cancelled.cancel();
    assert!(matches!(calling.await.unwrap(), Err(ToolFailure::Cancelled)));
    let told = host.until(|asked| asked.what() == "notifications/cancelled").await;
    assert_eq!(told.body["params"], json!({ "requestId": request.body["id"], "reason": "cancelled" }));
    seen.recv().await.unwrap();
    let deadline = CallDeadline::fixed(Duration::from_secs(5));
    assert_eq!(
        failure(call_within(&upstream, "{}", deadline).await),
        "timeout: the server did not answer within 5s"
    );
    seen.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_calls_share_few_connections_and_each_gets_its_own_answer() {
    let host = host(serve_well);
    let upstream = host.open(KIND).await.unwrap();
    let calls = (0..500).map(|n| {
        let upstream = upstream.clone();
        async move {
            let arguments = format!(r#"{{"n":{n}}}"#);
            assert_eq!(call(&upstream, &arguments).await.unwrap().get(), arguments);
        }
    });
    futures::future::join_all(calls).await;
    assert!(host.connections() <= 64 + 8 + 1, "{} connections", host.connections());
    assert_eq!(upstream.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn connections_that_lie_idle_are_not_used_again() {
    let host = host(serve_well);
    let upstream = host.open(KIND).await.unwrap();
    call(&upstream, "{}").await.unwrap();
    let kept = host.connections();
    for _ in 0..10 {
        call(&upstream, "{}").await.unwrap();
    }
    assert_eq!(host.connections(), kept);
    tokio::time::advance(Duration::from_secs(5)).await;
    call(&upstream, "{}").await.unwrap();
    assert_eq!(host.connections(), kept + 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_closes_the_session_with_the_reason() {
    let host = host(|asked, mut wire| async move {
        let is_call = asked.what() == "tools/call";
        if is_call || asked.method != "GET" {
            let served = serve_well(asked, wire).await;
            return if is_call { None } else { served };
        }
        wire.begin_events().await.ok()?;
        wire.hang().await
    });
    let upstream = host.open(KIND).await.unwrap();
    host.until(|asked| asked.method == "GET").await;
    host.vanish("nobody listens there");
    settle().await;
    // While its stream is open the server is not gone, even if one more connection cannot be made.
    let expected = "unavailable: the server cannot be reached: nobody listens there";
    assert_eq!(failure(call(&upstream, "{}").await), expected);
    assert_eq!(upstream.close_reason(), None);

    let host = super::support::host(serve_well);
    let upstream = host.open(KIND).await.unwrap();
    host.until(|asked| asked.method == "GET").await;
    host.vanish("nobody listens there");
    settle().await;
    assert!(failure(call(&upstream, "{}").await).ends_with("cannot be reached: nobody listens there"));
    let closed = tokio::time::timeout(Duration::from_secs(60), upstream.closed()).await;
    let reason = TransportError::Unreachable("nobody listens there".to_owned());
    assert_eq!(closed.unwrap(), CloseReason::Transport(reason));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_tells_whether_the_server_is_gone() {
    for gone in [true, false] {
        let vanishing = std::sync::Arc::new(std::sync::OnceLock::<Host>::new());
        let told = std::sync::Arc::clone(&vanishing);
        let host = host(move |asked, wire| {
            let told = std::sync::Arc::clone(&told);
            async move {
                match opening(asked, wire).await {
                    Ok(_) => {
                        if gone {
                            told.get().unwrap().vanish("nobody listens there");
                        }
                        None
                    }
                    // No other connection outlives its request.
                    Err(_) => None,
                }
            }
        });
        vanishing.set(host.clone()).ok().unwrap();
        let upstream = host.open(KIND).await.unwrap();
        host.until(|asked| asked.method == "GET").await;
        let broke = failure(call(&upstream, "{}").await);
        assert!(broke.starts_with("crashed: the connection broke before the answer was there"), "{broke}");
        if gone {
            let expected = TransportError::Unreachable("nobody listens there".to_owned());
            assert_eq!(upstream.closed().await, CloseReason::Transport(expected));
        } else {
            let closed = tokio::time::timeout(Duration::from_secs(60), upstream.closed()).await;
            assert!(closed.is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_broke_lets_go_of_its_connections_though_its_handle_is_held() {
    let (hung_up, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let openings = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let host = host(move |asked, mut wire| {
        let (hung_up, openings) = (hung_up.clone(), std::sync::Arc::clone(&openings));
        async move {
            if asked.method == "GET" {
                wire.begin_events().await.ok()?;
                wire.hang().await;
                hung_up.send(()).unwrap();
                return None;
            }
            let is_first = || openings.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            if asked.what() == "initialize" && !is_first() {
                return wire.respond("500 Internal Server Error", "", "").await;
            }
            match opening(asked, wire).await {
                Ok((_, wire)) => wire.respond("404 Not Found", "", "").await,
                Err(served) => served,
            }
        }
    });
    let upstream = host.open(KIND).await.unwrap();
    host.until(|asked| asked.method == "GET").await;
    assert!(call(&upstream, "{}").await.is_err());
    let seen = tokio::time::timeout(Duration::from_secs(3600), seen.recv()).await;
    assert_eq!(seen.expect("the stream is still held"), Some(()));
    assert!(upstream.close_reason().is_some());
}
