//! A plugin's routes: streamed, bounded, and over when the worker is.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use hayloft_workers::{ProxyError, RouteLimits, Worker};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::sync::mpsc;

use crate::support::{House, SOON};

const ROUTES: &str = r#"
    let connections = new Set();
    exports.route = (req, res) => {
      connections.add(req.socket);
      const paths = {
        '/echo': () => { res.writeHead(201, { 'x-seen': JSON.stringify([req.method, req.url, req.headers.host, req.headers.connection ?? null, req.headers['x-hop'] ?? null, req.headers['x-end'] ?? null]), 'x-hop-back': '1', connection: 'keep-alive, x-hop-back' }); req.pipe(res); },
        '/connections': () => res.end(String(connections.size)),
        '/silent': () => {},
        '/exit': () => process.exit(1),
        '/half': () => { res.writeHead(200); res.write('half'); setTimeout(() => process.exit(1), 50); },
        '/stall': () => { res.writeHead(200); res.write('some'); },
        '/drip': () => { res.writeHead(200); let n = 0; const t = setInterval(() => { res.write('x'); if (++n === 6) { clearInterval(t); res.end(); } }, 60); },
        '/endless': () => { res.writeHead(200); setInterval(() => res.write('x'), 20); },
        '/large': () => { res.writeHead(200); (function more() { while (res.write(Buffer.alloc(65536))); res.once('drain', more); })(); },
        '/announced': () => { res.writeHead(200, { 'content-length': 1e12 }); res.write('x'); },
        '/heads': () => { for (let i = 0; i < 90; i++) res.setHeader('h' + i, 'x'.repeat(2000)); res.end(); },
        '/many': () => { req.socket.write('HTTP/1.1 200 OK\r\n' + 'a: b\r\n'.repeat(100000)); },
        '/garbage': () => { req.socket.end('SSH-2.0-OpenSSH\r\n\r\n'); },
        '/short': () => { req.socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort'); },
      };
      (paths[new URL(req.url, 'http://x').pathname] ?? (() => { res.statusCode = 404; res.end(); }))();
    };"#;

fn limits() -> RouteLimits {
    RouteLimits {
        first_byte: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        response: 1 << 20,
        head: 64 << 10,
    }
}

async fn worker(house: &House) -> Worker {
    let instance = house.plugin(ROUTES);
    house.workers.ensure(&instance).await.unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

async fn fetch(worker: &Worker, path: &str) -> Result<Bytes, ProxyError> {
    let answer = tokio::time::timeout(SOON, worker.proxy(get(path))).await.unwrap()?;
    tokio::time::timeout(SOON, answer.into_body().collect()).await.unwrap().map(|body| body.to_bytes())
}

#[tokio::test]
async fn a_request_passes_whole_and_without_what_belongs_to_a_connection() {
    let house = House::new();
    let worker = worker(&house).await;
    let body = Bytes::from((0..=255).cycle().take(300_000).collect::<Vec<u8>>());
    let request = Request::put("/echo?a=%20b")
        .header("host", "shop.example")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-end", "2")
        .body(Full::new(body.clone()))
        .unwrap();
    let answer = worker.proxy(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["x-seen"], r#"["PUT","/echo?a=%20b","shop.example",null,null,"2"]"#);
    assert!(!answer.headers().contains_key("x-hop-back") && !answer.headers().contains_key("connection"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    assert_eq!(fetch(&worker, "/nowhere").await.unwrap(), "");
    house.close().await;
}

#[tokio::test]
async fn bodies_are_streamed_both_ways_and_connections_kept() {
    let house = House::new();
    let worker = worker(&house).await;
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let body = StreamBody::new(futures::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    }));
    let request = Request::post("/echo").body(body).unwrap();
    sender.send(Ok(Frame::data(Bytes::from_static(b"one")))).await.unwrap();
    // The answer begins while the request is still being sent.
    let mut answer = worker.proxy(request).await.unwrap().into_body().into_data_stream();
    assert_eq!(answer.next().await.unwrap().unwrap(), "one");
    assert_eq!(house.workers.statuses().await[0].in_flight, 1);
    sender.send(Ok(Frame::data(Bytes::from_static(b"two")))).await.unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "two");
    drop(sender);
    assert!(answer.next().await.is_none());
    drop(answer);
    assert_eq!(house.workers.statuses().await[0].in_flight, 0);
    for _ in 0..50 {
        let seen = fetch(&worker, "/connections").await.unwrap();
        assert!(seen == "1" || seen == "2", "{seen:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn answers_are_bounded_in_time_and_size() {
    let house = House::with(|settings| settings.routes = limits());
    let worker = worker(&house).await;
    assert!(matches!(fetch(&worker, "/silent").await, Err(ProxyError::FirstByteTimeout { .. })));
    assert!(matches!(fetch(&worker, "/stall").await, Err(ProxyError::IdleTimeout { .. })));
    // Slower than the deadline altogether, but never silent for so long.
    assert_eq!(fetch(&worker, "/drip").await.unwrap(), "xxxxxx");
    assert!(matches!(fetch(&worker, "/large").await, Err(ProxyError::ResponseTooLarge { .. })));
    assert!(matches!(fetch(&worker, "/announced").await, Err(ProxyError::ResponseTooLarge { .. })));
    assert_eq!(fetch(&worker, "/connections").await.unwrap().len(), 1);
    assert!(worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let house = House::with(|settings| settings.routes = limits());
    let worker = worker(&house).await;
    for path in ["/heads", "/many", "/garbage"] {
        let answer = fetch(&worker, path).await;
        assert!(matches!(answer, Err(ProxyError::BadAnswer(_))), "{path}: {answer:?}");
    }
    let short = fetch(&worker, "/short").await;
    assert!(matches!(short, Err(ProxyError::WorkerGone)), "{short:?}");
    assert!(fetch(&worker, "/connections").await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn a_dying_worker_ends_its_answers() {
    for (path, expected) in [("/exit", "before"), ("/half", "in the middle")] {
        let house = House::new();
        let worker = worker(&house).await;
        let answer = fetch(&worker, path).await;
        assert!(matches!(answer, Err(ProxyError::WorkerGone)), "{expected}: {answer:?}");
        house.observer.event("crashed").await;
        assert!(matches!(fetch(&worker, "/echo").await, Err(ProxyError::WorkerGone)));
        house.close().await;
    }
}

#[tokio::test]
async fn a_failing_upload_is_the_clients_failure() {
    let house = House::new();
    let worker = worker(&house).await;
    let broken =
        futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"x"))), Err("the client went away")]);
    let request = Request::post("/silent").body(StreamBody::new(broken)).unwrap();
    let answer = worker.proxy(request).await;
    assert!(
        matches!(&answer, Err(ProxyError::Request(error)) if error.to_string() == "the client went away"),
        "{answer:?}"
    );
    house.close().await;
}

#[tokio::test]
async fn an_endless_answer_of_a_worker_that_was_replaced_ends_in_time_and_is_not_taken_for_whole() {
    let (short, long) = (Duration::from_millis(300), 10 * SOON);
    for recycled in [false, true] {
        let house = House::with(|settings| {
            settings.deadlines.drain = if recycled { long } else { short };
            settings.deadlines.recycle_drain = if recycled { short } else { long };
        });
        let instance = house.plugin(ROUTES);
        let worker = house.workers.ensure(&instance).await.unwrap();
        let mut body = worker.proxy(get("/endless")).await.unwrap().into_body();
        assert!(body.frame().await.unwrap().is_ok());
        let launch = house.source.launch_of(&instance);
        let candidate = house.workers.replacement(&instance, launch).await.unwrap();
        let next = match recycled {
            true => candidate.relieve("it had grown".into()).await.unwrap(),
            false => candidate.promote().await.unwrap(),
        };
        let ends = async {
            loop {
                match body.frame().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error,
                    None => panic!("it looks whole"),
                }
            }
        };
        let error = tokio::time::timeout(SOON, ends).await.expect("it ends");
        assert!(matches!(error, ProxyError::WorkerGone), "{error}");
        house.observer.end_of(worker.id()).await;
        assert!(next.is_alive());
        house.close().await;
    }
}
