//! A caller that sends the same request over and over.

use std::net::SocketAddr;

use anyhow::ensure;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;

use super::connection::Connection;

/// A caller.
#[derive(Debug)]
pub(crate) struct RouteCaller {
    connection: Connection,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl RouteCaller {
    pub(crate) async fn open(
        address: SocketAddr,
        method: Method,
        path: &str,
        more: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Self> {
        let connection = Connection::open(address).await?;
        let mut headers = HeaderMap::new();
        headers.insert("host", address.to_string().parse()?);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in more {
            headers.insert(*name, value.parse()?);
        }
        Ok(Self { connection, method, path: path.to_owned(), headers, body })
    }

    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        self.connection.reopen().await
    }

    pub(crate) async fn call(&mut self) -> anyhow::Result<()> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse()?;
        *request.headers_mut() = self.headers.clone();
        let (status, _, body) = self.connection.send(request).await?;
        ensure!(
            status == StatusCode::OK,
            "{} answered {status}: {}",
            self.path,
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}
