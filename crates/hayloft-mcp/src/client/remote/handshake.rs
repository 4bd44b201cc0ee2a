//! How a WebSocket is asked for: a request like any other, whose response must follow RFC 6455, section 4.1.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::client::transport::TransportError;

use super::request::{Ask, Requests};
use super::{Remote, refusal};

const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("mcp");

/// A connection that has become a WebSocket.
pub(super) async fn open(remote: &Remote) -> Result<TokioIo<Upgraded>, TransportError> {
    let requests = Requests::new(remote);
    // The library draws this and the masks of frames by itself: they keep caches apart and protect nothing here.
    let key = generate_key();
    let accept = derive_accept_key(key.as_bytes());
    let ask = Ask { method: Method::GET, uri: remote.url.uri(), headers: headers(&key)?, body: Bytes::new() };
    let answered = requests.send_soon(&ask).await?;
    let status = answered.response.status();
    if status.is_success() {
        let message = format!("it answered HTTP {} instead of opening a WebSocket", status.as_u16());
        return Err(TransportError::Protocol(message));
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal::read(answered).await.error);
    }
    check(answered.response.headers(), &accept)
        .map_err(|why| TransportError::Protocol(format!("it opened a WebSocket wrongly: {why}")))?;
    let within = remote.limits.exchange_within;
    let upgraded = tokio::time::timeout(within, hyper::upgrade::on(answered.response)).await;
    match upgraded {
        Ok(Ok(upgraded)) => Ok(TokioIo::new(upgraded)),
        Ok(Err(error)) => Err(TransportError::Broken(error.to_string())),
        Err(_) => Err(TransportError::Slow(within)),
    }
}

fn headers(key: &str) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    let key = HeaderValue::from_str(key).map_err(|error| TransportError::Protocol(error.to_string()))?;
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    Ok(headers)
}

fn check(headers: &HeaderMap, accept: &str) -> Result<(), &'static str> {
    let says = |name, expected: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(expected))
    };
    if !says(header::UPGRADE, "websocket") || !says(header::CONNECTION, "upgrade") {
        return Err("its response is no upgrade");
    }
    if headers.get(header::SEC_WEBSOCKET_ACCEPT).is_none_or(|value| value.as_bytes() != accept.as_bytes()) {
        return Err("its `Sec-WebSocket-Accept` does not fit the request");
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it uses an extension that nobody asked for");
    }
    if headers.get(header::SEC_WEBSOCKET_PROTOCOL) != Some(&SUBPROTOCOL) {
        return Err("it does not speak the subprotocol `mcp`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let right = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", "abc="),
            ("sec-websocket-protocol", "mcp"),
        ];
        let with = |name: &'static str, value: Option<&'static str>| {
            let mut headers: HeaderMap = right
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            headers.remove(name);
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
            check(&headers, "abc=").err()
        };
        assert_eq!(with("x-other", None), None);
        assert_eq!(with("upgrade", None), Some("its response is no upgrade"));
        assert_eq!(with("connection", Some("close")), Some("its response is no upgrade"));
        let key = Some("its `Sec-WebSocket-Accept` does not fit the request");
        assert_eq!(with("sec-websocket-accept", None), key);
        assert_eq!(with("sec-websocket-accept", Some("ABC=")), key);
        let extension = Some("it uses an extension that nobody asked for");
        assert_eq!(with("sec-websocket-extensions", Some("permessage-deflate")), extension);
        let subprotocol = Some("it does not speak the subprotocol `mcp`");
        assert_eq!(with("sec-websocket-protocol", None), subprotocol);
        assert_eq!(with("sec-websocket-protocol", Some("chat")), subprotocol);
    }
}
