//! An MCP server in Rust that only echoes: the floor of what the generator can measure.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// Starts it on a thread of its own, which ends with the process.
pub(crate) fn start() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || runtime.block_on(serve(listener)))
        .context("failed to start a thread")?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut response = Response::new(Full::default());
    match serde_json::from_slice::<Message>(&body) {
        Ok(Message { id: Some(id), method, params }) => {
            let result = match method {
                "initialize" => r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1.0.0"}}"#.to_owned(),
                _ => format!(r#"{{"content":[],"_meta":{{"params":{}}}}}"#, params.map_or("null", RawValue::get)),
            };
            *response.body_mut() = Full::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("echo"));
        }
        Ok(_) => *response.status_mut() = http::StatusCode::ACCEPTED,
        Err(_) => *response.status_mut() = http::StatusCode::BAD_REQUEST,
    }
    Ok(response)
}
