//! WebSocket: one message per text frame.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use hayloft_mcp::client::remote::{Remote, RemoteKind};
use hayloft_mcp::client::{CallDeadline, CloseReason, TransportError};
use hayloft_mcp::{Upstream, UpstreamOptions};
use serde_json::{Value, json};
use tokio::io::{BufReader, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::support::*;
use crate::support::*;

const KIND: RemoteKind = RemoteKind::WebSocket;

type Socket = WebSocketStream<BufReader<DuplexStream>>;

/// Becomes a WebSocket, as a server that does right.
async fn accept(asked: &Asked, mut wire: Wire) -> Socket {
    let accept = derive_accept_key(asked.header("sec-websocket-key").as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: mcp\r\n\r\n"
    );
    wire.raw(head).await.unwrap();
    WebSocketStream::from_raw_socket(wire.stream, Role::Server, None).await
}

/// The next message of the client.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn reply(socket: &mut Socket, request: &Value, result: &Value) {
    let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    // The client may have turned away.
    drop(socket.send(Message::text(answer.to_string())).await);
}

/// Opens the session, then does `then` with the first call.
fn playing<F, R>(then: F) -> Host
where
    F: Fn(Socket, Value) -> R + Send + Sync + Clone + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    host(move |asked, wire| {
        let then = then.clone();
        async move {
            let mut socket = accept(&asked, wire).await;
            while let Some(message) = next(&mut socket).await {
                match message["method"].as_str() {
                    Some("initialize") => {
                        let details =
                            json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} } });
                        reply(&mut socket, &message, &details).await;
                    }
                    Some("tools/call") => {
                        then(socket, message).await;
                        return None;
                    }
                    _ => {}
                }
            }
            None
        }
    })
}

/// Answers each call with its arguments until the client leaves; whether it said so.
async fn echo(mut socket: Socket, first: Value) -> bool {
    let mut message = first;
    loop {
        if message["method"] == "tools/call" {
            reply(&mut socket, &message, &message["params"]["arguments"]).await;
        }
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    message = serde_json::from_str(&text).unwrap();
                    break;
                }
                Some(Ok(Message::Close(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_asked_for_and_said_goodbye_to() {
    let (left, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let host = playing(move |socket, first| {
        let left = left.clone();
        async move { left.send(echo(socket, first).await).unwrap() }
    });
    let remote = host.remote(KIND);
    let remote = Remote { url: "wss://host/mcp".parse().unwrap(), ..remote };
    let upstream = Upstream::open(remote, options()).await.unwrap();
    assert_eq!(call(&upstream, "{\"a\":\n1}").await.unwrap().get(), r#"{"a":1}"#);
    let calls = (0..200).map(|n| {
        let upstream = upstream.clone();
        async move {
            let arguments = format!(r#"{{"n":{n}}}"#);
            assert_eq!(call(&upstream, &arguments).await.unwrap().get(), arguments);
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(host.connections(), 1);
    let asked = &host.asked()[0];
    assert_eq!((&*asked.method, &*asked.target, asked.header("host")), ("GET", "/mcp", "host"));
    assert_eq!((asked.header("upgrade"), asked.header("sec-websocket-protocol")), ("websocket", "mcp"));
    drop(upstream);
    assert!(seen.recv().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_is_named() {
    let cases = [
        (
            "200 OK",
            "content-type: text/html\r\n",
            "the server does not keep to the protocol: it answered HTTP 200 instead of opening a WebSocket",
        ),
        ("404 Not Found", "", "the server answered with HTTP 404"),
        (
            "302 Found",
            "location: http://169.254.169.254/\r\n",
            "the server redirects to `http://169.254.169.254`, which is not followed (HTTP 302)",
        ),
        (
            "101 Switching Protocols",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\nsec-websocket-protocol: mcp\r\n",
            "the server does not keep to the protocol: it opened a WebSocket wrongly: its `Sec-WebSocket-Accept` does not fit the request",
        ),
        (
            "101 Switching Protocols",
            "connection: upgrade\r\nupgrade: h2c\r\n",
            "the server does not keep to the protocol: it opened a WebSocket wrongly: its response is no upgrade",
        ),
    ];
    for (status, headers, expected) in cases {
        let host = host(move |_, mut wire| async move {
            if status.starts_with("101") {
                wire.raw(format!("HTTP/1.1 {status}\r\n{headers}\r\n")).await.ok()?;
                return wire.hang().await;
            }
            wire.respond(status, headers, "").await
        });
        let error = host.open(KIND).await.unwrap_err();
        assert_eq!(error.to_string(), format!("failed to open a session: {expected}"));
    }
    let silent = host(|_, wire| wire.hang());
    let error = silent.open(KIND).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to open a session: the server did not "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_closes_ends_the_session_with_its_calls() {
    for said in [true, false] {
        let host = playing(move |mut socket, _| async move {
            if said {
                socket.close(None).await.unwrap();
            }
        });
        let upstream = host.open(KIND).await.unwrap();
        assert_eq!(failure(call(&upstream, "{}").await), "crashed: the server ended");
        assert_eq!(upstream.closed().await, CloseReason::Ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_cap_ends_the_session_however_it_is_cut() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    for pieces in [1, 50] {
        let host = playing(move |mut socket, _| async move {
            let piece = "x".repeat(5000 / pieces);
            for n in 0..pieces {
                let kind = if n == 0 { Data::Text } else { Data::Continue };
                let frame = Frame::message(piece.clone(), OpCode::Data(kind), n + 1 == pieces);
                drop(socket.send(Message::Frame(frame)).await);
            }
            while next(&mut socket).await.is_some() {}
        });
        let small = UpstreamOptions { max_message_bytes: 1000, ..options() };
        let upstream = host.open_with(KIND, small).await.unwrap();
        let expected = "too_large: the connection to the server broke: a message is longer than 1000 bytes";
        assert_eq!(failure(call(&upstream, "{}").await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_says_it_is_endless_is_not_waited_for() {
    let host = playing(|socket, _| async move {
        let mut stream = socket.into_inner();
        let mut head = vec![0x81, 0x7f];
        head.extend_from_slice(&(1_u64 << 40).to_be_bytes());
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, &head).await);
        std::future::pending::<()>().await;
    });
    let small = UpstreamOptions { max_message_bytes: 1000, ..options() };
    let upstream = host.open_with(KIND, small).await.unwrap();
    let expected = "too_large: the connection to the server broke: a message is longer than 1000 bytes";
    assert_eq!(failure(call(&upstream, "{}").await), expected);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_any_more_is_given_up_and_a_quiet_one_is_not() {
    let host = playing(|socket, _| async move {
        // It reads nothing, so it answers no ping either.
        let _held = socket;
        std::future::pending::<()>().await;
    });
    let upstream = host.open(KIND).await.unwrap();
    let deadline = CallDeadline::fixed(Duration::from_secs(300));
    let expected = "crashed: the connection to the server broke: the server has been silent for 60s";
    assert_eq!(failure(call_within(&upstream, "{}", deadline).await), expected);

    let quiet = playing(|socket, first| async move {
        echo(socket, first).await;
    });
    let upstream = quiet.open(KIND).await.unwrap();
    call(&upstream, "{}").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(600), upstream.closed()).await;
    assert!(waited.is_err());
    assert!(call(&upstream, "{}").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_skipped_and_slowed() {
    let host = playing(|mut socket, first| async move {
        drop(
            socket
                .send(Message::binary(&b"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"binary\":true}}"[..]))
                .await,
        );
        for _ in 0..50 {
            drop(socket.send(Message::Ping(Vec::new().into())).await);
        }
        drop(socket.send(Message::text("noise")).await);
        reply(&mut socket, &first, &json!({ "text": true })).await;
        while next(&mut socket).await.is_some() {}
    });
    let few = UpstreamOptions { unasked_per_second: 10, ..options() };
    let upstream = host.open_with(KIND, few).await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(call(&upstream, "{}").await.unwrap().get(), r#"{"text":true}"#);
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(upstream.counters().noise, 1);
}

#[tokio::test(start_paused = true)]
async fn frames_that_break_the_rules_end_the_session() {
    let host = playing(|socket, _| async move {
        let mut stream = socket.into_inner();
        // A masked frame, as only clients may send.
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, &[0x81, 0x81, 1, 2, 3, 4, 0x7a]).await);
        std::future::pending::<()>().await;
    });
    let upstream = host.open(KIND).await.unwrap();
    assert!(failure(call(&upstream, "{}").await).starts_with(
        "failed: the connection to the server broke: the server does not keep to the protocol: "
    ));
    assert!(matches!(upstream.closed().await, CloseReason::Transport(TransportError::Protocol(_))));
}
