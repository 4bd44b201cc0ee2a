//! What clients see of the endpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hayloft_mcp::{Change, EndpointOptions, Progress, ToolFailure};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::support::*;

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b","arguments":{"x" : 1.0}}}"#;
const CALL_WITH_PROGRESS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b","_meta":{"progressToken":"tok"}}}"#;

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn a_session_opens_in_the_revision_of_the_client() {
    let endpoint = endpoint(echo(), EndpointOptions::default());
    let introduction = |revision: &str, server: Value| {
        json!({ "jsonrpc": "2.0", "id": 0, "result": {
            "protocolVersion": revision,
            "capabilities": { "tools": { "listChanged": true } },
            "serverInfo": server,
            "instructions": "Be kind",
        } })
    };
    let titled = json!({ "name": "fake", "version": "1.2.3", "title": "Fake" });
    let described = json!({ "name": "fake", "version": "1.2.3", "title": "Fake", "description": "A fake" });
    for (asked, expected) in [
        ("2025-06-18", introduction("2025-06-18", titled)),
        ("2025-11-25", introduction("2025-11-25", described.clone())),
        ("2024-11-05", introduction("2025-11-25", described.clone())),
        ("tomorrow", introduction("2025-11-25", described)),
    ] {
        let mut client = Client::new(&endpoint, "me");
        // The revision header counts only once a session is open.
        client.set("mcp-protocol-version", "2030-01-01");
        let answer = client.post(&initialize(asked)).await;
        let id = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(parsed(&text(answer).await), expected);
    }
    assert_eq!(endpoint.session_count(), 4);
}

#[tokio::test]
async fn requests_are_answered_in_both_revisions() {
    let endpoint = endpoint(echo(), EndpointOptions::default());
    let result = |json: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{json}}}"#);
    let error = |code: i32, message: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"{message}"}}}}"#)
    };
    let ask = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    };
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(), result("{}")),
        (CALL.to_owned(), result(r#"{"x" : 1.0}"#)),
        (ask("tools/call", r#"{"name":"a__b"}"#), result("{}")),
        (ask("tools/call", r#"{"name":"a__b","arguments":null,"task":{"ttl":1}}"#), result("{}")),
        (
            ask("tools/list", "{}"),
            result(
                r#"{"tools":[{"name":"a__b","inputSchema":{"type":"object"},"x-odd": 1.0}],"nextCursor":"two \"2\""}"#,
            ),
        ),
        (ask("tools/list", r#"{"cursor":"two \"2\""}"#), result(r#"{"tools":[]}"#)),
        (ask("tools/list", r#"{"cursor":"zzz"}"#), error(-32602, "cursor is unknown")),
        (ask("resources/list", "{}"), error(-32601, "method `resources/list` is not supported")),
        (ask("prompts/get", "{}"), error(-32601, "method `prompts/get` is not supported")),
        (ask("logging/setLevel", "{}"), error(-32601, "method `logging/setLevel` is not supported")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.to_owned(),
            error(-32602, "params are not valid: they are missing"),
        ),
        (ask("tools/call", r#"["a__b",{}]"#), error(-32602, "params are not valid: it is not an object")),
        (
            ask("tools/call", r#"{"name":"a__b","arguments":[1]}"#),
            error(-32602, "params are not valid: `arguments` is not an object"),
        ),
        (
            ask("tools/call", r#"{"name":"a__b","arguments":{"path":"/ok","path":"/etc"}}"#),
            error(-32602, "params are not valid: `arguments`: key `path` stands twice in one object"),
        ),
        (
            ask("tools/call", r#"{"name":"a__b","name":"c__d"}"#),
            error(-32602, "params are not valid: duplicate field `name` at line 1 column 21"),
        ),
        (
            ask("tools/call", r#"{"name":"a__b","arguments":{},"argum\u0065nts":{"x":1}}"#),
            error(-32602, "params are not valid: duplicate field `arguments` at line 1 column 46"),
        ),
        (
            ask("tools/call", r#"{"name":"a__b","_meta":{"progressToken":{}}}"#),
            error(
                -32602,
                "params are not valid: `_meta.progressToken` is not a string or a number of at most 256 bytes",
            ),
        ),
    ];
    for revision in ["2025-06-18", "2025-11-25"] {
        let mut client = Client::open(&endpoint, "me", revision).await;
        for (request, expected) in &cases {
            client.set("accept", BOTH);
            let answer = client.post(request).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(&text(answer).await, expected, "{request}");
            // A client that takes only events gets the same as one.
            client.set("accept", "text/event-stream");
            let answer = client.post(request).await;
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert_eq!(text(answer).await, format!("event: message\ndata: {expected}\n\n"), "{request}");
        }
    }
}

/// A header, and its new value or none.
type HeaderChange = (&'static str, Option<&'static str>);

/// Method, headers, body; status and the code of the error in the answer.
type HttpCase = (Method, &'static [HeaderChange], String, u16, Option<i64>);

#[tokio::test]
async fn http_says_no_where_the_protocol_does() {
    let small = EndpointOptions { max_message_bytes: 2000, max_depth: 20, ..EndpointOptions::default() };
    let endpoint = endpoint(echo(), small);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#,
        "[".repeat(30),
        "]".repeat(30)
    );
    let none: &[HeaderChange] = &[];
    let cases: Vec<HttpCase> = vec![
        (Method::POST, none, ping.clone(), 200, None),
        (Method::POST, &[("content-type", Some("text/plain"))], ping.clone(), 415, Some(-32000)),
        (Method::POST, &[("content-type", None)], ping.clone(), 415, Some(-32000)),
        (Method::POST, &[("accept", Some("text/html"))], ping.clone(), 406, Some(-32000)),
        (Method::POST, &[("accept", Some("application/json"))], ping.clone(), 200, None),
        (Method::POST, &[("accept", None)], ping.clone(), 200, None),
        (Method::POST, &[("mcp-protocol-version", Some("2024-11-05"))], ping.clone(), 400, Some(-32000)),
        (Method::POST, &[("mcp-protocol-version", Some("nonsense"))], ping.clone(), 400, Some(-32000)),
        (Method::POST, &[("mcp-protocol-version", None)], ping.clone(), 200, None),
        (Method::POST, &[("mcp-session-id", None)], ping.clone(), 400, Some(-32000)),
        (Method::POST, &[("mcp-session-id", Some("nonsense"))], ping.clone(), 404, Some(-32000)),
        (
            Method::POST,
            &[("mcp-session-id", Some("ffffffffffffffffffffffffffffffff"))],
            ping.clone(),
            404,
            Some(-32000),
        ),
        (Method::POST, none, initialize("2025-11-25"), 400, Some(-32600)),
        (Method::POST, none, "{".to_owned(), 400, Some(-32700)),
        (Method::POST, none, String::new(), 400, Some(-32700)),
        (Method::POST, none, format!("[{ping}]"), 400, Some(-32600)),
        (Method::POST, none, "{}".to_owned(), 400, Some(-32600)),
        (Method::POST, none, ping.replace("1,", "null,"), 400, Some(-32600)),
        (Method::POST, none, ping.replace("\"method\"", "\"method\":\"x\",\"method\""), 400, Some(-32600)),
        (Method::POST, none, deep, 400, Some(-32600)),
        (Method::POST, none, " ".repeat(2001), 413, Some(-32600)),
        (
            Method::POST,
            none,
            r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#.to_owned(),
            202,
            None,
        ),
        (
            Method::POST,
            none,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}"#.to_owned(),
            202,
            None,
        ),
        (Method::POST, none, r#"{"jsonrpc":"2.0","id":5,"result":{}}"#.to_owned(), 202, None),
        (Method::GET, &[("accept", Some("application/json"))], String::new(), 406, Some(-32000)),
        (Method::GET, &[("mcp-session-id", None)], String::new(), 400, Some(-32000)),
        (Method::DELETE, &[("mcp-session-id", None)], String::new(), 400, Some(-32000)),
        (Method::PUT, none, ping.clone(), 405, None),
        (Method::OPTIONS, none, String::new(), 405, None),
    ];
    for (method, changes, body, status, code) in cases {
        let mut client = Client::open(&endpoint, "me", "2025-11-25").await;
        for (name, value) in changes {
            match (*name, value) {
                ("mcp-session-id", value) => client.session = value.map(str::to_owned),
                (name, Some(value)) => client.set(name, value),
                (name, None) => client.unset(name),
            }
        }
        let answer = client.send(method.clone(), body.clone()).await;
        assert_eq!(answer.status(), status, "{method} {changes:?} {body}");
        if status == 405 {
            assert_eq!(answer.headers()["allow"], "GET, POST, DELETE");
        }
        if let Some(code) = code {
            let answer = parsed(&text(answer).await);
            assert_eq!(answer["error"]["code"], code, "{method} {changes:?} {body}: {answer}");
            assert_eq!(answer["id"], Value::Null);
        } else if status != 200 {
            assert_eq!(text(answer).await, "");
        }
    }
}

#[tokio::test]
async fn a_session_of_somebody_else_does_not_exist() {
    let endpoint = endpoint(echo(), EndpointOptions::default());
    let mine = Client::open(&endpoint, "me", "2025-11-25").await;
    let mut thief = Client::open(&endpoint, "thief", "2025-11-25").await;
    thief.session.clone_from(&mine.session);
    for method in [Method::POST, Method::GET, Method::DELETE] {
        assert_eq!(thief.send(method.clone(), CALL).await.status(), 404, "{method}");
    }
    assert_eq!(mine.post(CALL).await.status(), 200);
    assert_eq!(mine.send(Method::DELETE, "").await.status(), 204);
    assert_eq!(mine.post(CALL).await.status(), 404);
    assert_eq!(mine.send(Method::DELETE, "").await.status(), 404);
}

#[tokio::test]
async fn the_service_is_given_what_the_client_said() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service({
        let seen = Arc::clone(&seen);
        move |caller, call| {
            let line = format!(
                "{caller} {} {:?} {:?} {}",
                call.name,
                call.arguments.map(|json| json.get().to_owned()),
                call.meta.map(|json| json.get().to_owned()),
                if call.progress.is_some() { "reports" } else { "quiet" },
            );
            seen.lock().unwrap().push(line);
            async { Ok(raw("{}")) }
        }
    });
    let mut client = Client::open(&endpoint(service, EndpointOptions::default()), "me", "2025-11-25").await;
    client.ask(CALL).await;
    let with_meta = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0061","_meta":{"trace":[ 1 ],"progressToken":7}}}"#;
    client.ask(with_meta).await;
    client.set("accept", "application/json");
    client.ask(with_meta).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            r#"me a__b Some("{\"x\" : 1.0}") None quiet"#,
            r#"me a None Some("{\"trace\":[ 1 ]}") reports"#,
            r#"me a None Some("{\"trace\":[ 1 ]}") quiet"#,
        ]
    );
}

#[tokio::test]
async fn progress_turns_the_answer_into_events() {
    let go = Arc::new(Notify::new());
    let service = service({
        let go = Arc::clone(&go);
        move |_, call| {
            let go = Arc::clone(&go);
            async move {
                let sink = call.progress.unwrap();
                sink.send(Progress::new(1.0, Some(2.0), Some("half")));
                go.notified().await;
                sink.send(Progress::new(2.0, Some(2.0), None));
                Ok(raw("{\n\"done\": true}"))
            }
        }
    });
    let client = Client::open(&endpoint(service, EndpointOptions::default()), "me", "2025-11-25").await;
    let answer = client.post(CALL_WITH_PROGRESS).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-cache, no-transform");
    let mut body = Box::pin(answer.into_body());
    let report = |rest: &str| {
        format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":\"tok\",{rest}}}}}\n\n"
        )
    };
    assert_eq!(piece(&mut body).await.unwrap(), report(r#""progress":1.0,"total":2.0,"message":"half""#));
    go.notify_one();
    let rest = {
        let mut rest = String::new();
        while let Some(piece) = piece(&mut body).await {
            rest.push_str(&piece);
        }
        rest
    };
    let result = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{ \"done\": true}}\n\n";
    assert_eq!(rest, format!("{}{result}", report(r#""progress":2.0,"total":2.0"#)));
}

#[tokio::test(start_paused = true)]
async fn a_long_call_turns_into_events_and_shows_that_it_is_alive() {
    let options = EndpointOptions {
        stream_after: Duration::from_secs(5),
        keep_alive: Duration::from_secs(10),
        ..EndpointOptions::default()
    };
    let (finish, finished) = oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let service = service(move |_, _| {
        let finished = finished.lock().unwrap().take().unwrap();
        async move {
            finished.await.unwrap();
            Ok(raw("{}"))
        }
    });
    let client = Client::open(&endpoint(service, options), "me", "2025-11-25").await;
    let started = tokio::time::Instant::now();
    let mut body = Box::pin(client.post(CALL).await.into_body());
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
    assert_eq!(started.elapsed().as_secs(), 15);
    finish.send(()).unwrap();
    assert_eq!(
        piece(&mut body).await.unwrap(),
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"
    );
    assert_eq!(piece(&mut body).await, None);
}

#[tokio::test]
async fn a_cancelled_call_is_not_answered_even_when_the_service_does_not_listen() {
    let service = service(|_, _| std::future::pending::<Outcome>());
    for (accept, expected) in [
        (BOTH, ""),
        ("text/event-stream", ""),
        (
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32800,"message":"call was cancelled"}}"#,
        ),
    ] {
        let mut client =
            Client::open(&endpoint(Arc::clone(&service), EndpointOptions::default()), "me", "2025-11-25")
                .await;
        client.set("accept", accept);
        let cancel = async {
            // The call must be running before it can be cancelled, and its id is taken until then.
            while !client.ask(CALL).await.contains("still running") {
                tokio::task::yield_now().await;
            }
            client.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"x"}}"#).await
        };
        let (answer, _) = tokio::join!(client.ask(CALL), cancel);
        assert_eq!(answer, expected, "{accept}");
    }
}

#[tokio::test]
async fn a_call_goes_on_when_its_client_is_gone() {
    let (go, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = service({
        let (go, ended) = (Arc::clone(&go), Arc::clone(&ended));
        move |_, _| {
            let (go, ended) = (Arc::clone(&go), Arc::clone(&ended));
            async move {
                go.notified().await;
                ended.notify_one();
                Ok(raw("{}"))
            }
        }
    });
    let client = Client::open(&endpoint(service, EndpointOptions::default()), "me", "2025-11-25").await;
    {
        let mut posting = Box::pin(client.post(CALL));
        assert!(futures::poll!(&mut posting).is_pending());
    }
    go.notify_one();
    ended.notified().await;
}

#[tokio::test]
async fn a_panic_is_our_failure_and_only_of_that_call() {
    let service = service(|_, call| async move {
        assert!(call.arguments.is_none(), "boom");
        Ok(raw("{}"))
    });
    let client = Client::open(&endpoint(service, EndpointOptions::default()), "me", "2025-11-25").await;
    let expected =
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the call failed inside the host"}}"#;
    assert_eq!(client.ask(CALL).await, expected);
    let fine = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
    assert_eq!(client.ask(fine).await, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

#[tokio::test]
async fn failures_reach_the_client_in_their_kind() {
    let service = service(|_, call| async move {
        Err(match call.name.as_str() {
            "unknown" => ToolFailure::UnknownTool { name: call.name },
            _ => ToolFailure::Broke {
                reason: hayloft_mcp::service::BreakReason::Quarantined,
                message: "held back".into(),
                retry_after: None,
            },
        })
    });
    let client = Client::open(&endpoint(service, EndpointOptions::default()), "me", "2025-11-25").await;
    for (name, code) in [("unknown", -32602), ("broken", -32050)] {
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
        assert_eq!(parsed(&client.ask(&call).await)["error"]["code"], code);
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_tells_what_changes_and_that_it_lives() {
    let service = echo();
    let options = EndpointOptions {
        keep_alive: Duration::from_secs(10),
        session_idle: Duration::from_secs(15),
        ..EndpointOptions::default()
    };
    let endpoint = endpoint(Arc::clone(&service), options);
    let client = Client::open(&endpoint, "me", "2025-11-25").await;
    let answer = client.send(Method::GET, "").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let mut body = Box::pin(answer.into_body());
    assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
    for _ in 0..10 {
        service.changes.send(Change::Tools).unwrap();
    }
    let changed =
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
    assert_eq!(piece(&mut body).await.unwrap(), changed);
    // Ten changes are one notice, so what comes next is the sign of life. The session is not idle meanwhile.
    for _ in 0..3 {
        assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
    }
    assert_eq!(client.post(CALL).await.status(), 200);
    // A second stream takes the place of the first.
    let mut second = Box::pin(client.send(Method::GET, "").await.into_body());
    assert_eq!(piece(&mut body).await, None);
    drop(body);
    assert_eq!(piece(&mut second).await.unwrap(), ":\n\n");
    service.changes.send(Change::Tools).unwrap();
    assert_eq!(piece(&mut second).await.unwrap(), changed);
    assert_eq!(client.send(Method::DELETE, "").await.status(), 204);
    assert_eq!(piece(&mut second).await, None);
}

#[tokio::test]
async fn sessions_end_with_their_rights_and_with_the_server() {
    let cancelled = Arc::new(AtomicBool::new(false));
    let service = service({
        let cancelled = Arc::clone(&cancelled);
        move |_, call| {
            let cancelled = Arc::clone(&cancelled);
            async move {
                call.cancelled.cancelled().await;
                cancelled.store(true, Ordering::Relaxed);
                Err(ToolFailure::Cancelled)
            }
        }
    });
    let endpoint = endpoint(service, EndpointOptions::default());
    let revoked = Client::open(&endpoint, "revoked", "2025-11-25").await;
    let other = Client::open(&endpoint, "other", "2025-11-25").await;
    let mut posting = Box::pin(revoked.ask(CALL));
    assert!(futures::poll!(&mut posting).is_pending());
    endpoint.end_sessions_of(&hayloft_mcp::Principal::new("revoked"));
    assert_eq!(posting.await, "");
    assert!(cancelled.load(Ordering::Relaxed));
    assert_eq!(revoked.post(CALL).await.status(), 404);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(other.post(ping).await.status(), 200);
    endpoint.close();
    assert_eq!(other.post(ping).await.status(), 404);
    let late = Client::new(&endpoint, "late").ask(&initialize("2025-11-25")).await;
    assert_eq!(parsed(&late)["error"]["message"], "too many sessions are in use");
}
