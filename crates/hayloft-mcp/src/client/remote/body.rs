//! Bodies of responses that are one text.

use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::client::transport::TransportError;

use super::inbox::{Inlet, SMALL, Text};
use super::request;

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn gather(mut body: Incoming, limit: usize, inlet: &Inlet) -> Result<Text, TransportError> {
    let too_long = TransportError::TooLong { limit };
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > limit {
        return Err(too_long);
    }
    let (mut gathered, mut room) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|error| request::broken(&error))?.into_data() else { continue };
        if gathered.len() + chunk.len() > limit {
            return Err(too_long);
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() > SMALL && room.is_none() {
            room = inlet.room().await;
        }
    }
    Ok(Text { bytes: gathered.freeze(), room })
}

/// The beginning of a body that says why a request was refused; what comes late is not waited for.
pub(super) async fn beginning(mut body: Incoming) -> Vec<u8> {
    const ENOUGH: usize = 8 * 1024;
    const WITHIN: Duration = Duration::from_secs(2);
    let mut gathered = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(chunk) = frame.into_data() {
                gathered.extend_from_slice(&chunk);
            }
            if gathered.len() >= ENOUGH {
                break;
            }
        }
    };
    drop(tokio::time::timeout(WITHIN, reading).await);
    gathered.truncate(ENOUGH);
    gathered
}

/// Reads what is left of a body that nobody wants, so that its connection can be used again. One that has more than a
/// little is let go of together with its connection.
pub(super) async fn discard(body: Incoming) {
    drop(beginning(body).await);
}
