//! The stream on which a server of Streamable HTTP sends what belongs to no request. Servers need not have one.

use std::time::Duration;

use crate::client::transport::TransportError;

use super::event::EventType;
use super::events::Events;
use super::exchange;
use super::refusal;
use super::streamable::Server;

/// The longest pause before the stream is asked for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Listens to each session once it is open, one after the other.
pub(super) async fn listen(server: &Server) {
    let mut opened = server.session.follow();
    let mut is_new = opened.changed().await.is_ok();
    while is_new {
        opened.mark_unchanged();
        is_new = tokio::select! {
            changed = opened.changed() => changed.is_ok(),
            () = listen_to_one(server) => opened.changed().await.is_ok(),
        };
    }
}

/// Listens to the session of the moment until the server will not have it.
async fn listen_to_one(server: &Server) {
    let known = server.session.known();
    let (mut after, mut told, mut failures) = (None::<String>, None, 0_u32);
    loop {
        match ask(server, &known, after.as_deref()).await {
            Ok(mut events) => {
                let heard = hear(server, &mut events).await;
                failures = if heard { 0 } else { failures.saturating_add(1) };
                after = events.last_id().map(str::to_owned).or(after);
                told = events.retry().or(told);
            }
            Err(error @ TransportError::Unreachable(_)) if !server.requests.is_connected() => {
                server.inlet.broke(error).await;
                return;
            }
            Err(TransportError::Unreachable(_) | TransportError::Broken(_)) => {
                failures = failures.saturating_add(1);
            }
            Err(TransportError::Status { status: 429 | 500..=599, retry_after, .. }) => {
                told = retry_after.or(told);
                failures = failures.saturating_add(1);
            }
            Err(error) => {
                tracing::debug!(%error, "a server has no stream of its own messages");
                return;
            }
        }
        let pause = exchange::pause(told);
        let longer = pause.saturating_mul(1 << failures.saturating_sub(1).min(6));
        tokio::time::sleep(longer.min(LONGEST_PAUSE.max(pause))).await;
    }
}

async fn ask(
    server: &Server,
    known: &super::session::Known,
    after: Option<&str>,
) -> Result<Events, TransportError> {
    let response = refusal::must_stream(server.get(known, after).await?).await?;
    Ok(Events::new(response.into_body(), server.message_bytes))
}

/// Hears a stream to its end; whether any message came.
async fn hear(server: &Server, events: &mut Events) -> bool {
    let mut heard = false;
    loop {
        match events.next(&server.inlet).await {
            Ok(Some((EventType::Message, text))) => {
                heard = true;
                server.inlet.message(text).await;
            }
            Ok(Some(_)) => server.inlet.chatter().await,
            Ok(None) => return heard,
            Err(error) => {
                tracing::debug!(%error, "a server's stream of its own messages broke");
                return heard;
            }
        }
    }
}
