//! The stream of a session: what changes, told to the client as it happens.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::message::write;
use crate::service::Change;

use super::session::OpenStream;
use super::sse;

struct State {
    changes: Receiver<Change>,
    stream: OpenStream,
    keep_alive: Interval,
}

/// Events until the session ends, another stream takes its place, or nobody announces changes any more.
pub(super) fn changes(
    changes: Receiver<Change>,
    stream: OpenStream,
    keep_alive: Duration,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let state = State { changes, stream, keep_alive: ticks(keep_alive) };
    // The first comment tells a client behind a buffering proxy that the stream is open.
    let opening = futures::stream::iter([sse::KEEP_ALIVE]);
    futures::StreamExt::chain(opening, futures::stream::unfold(state, next))
}

async fn next(mut state: State) -> Option<(Bytes, State)> {
    let event = tokio::select! {
        biased;
        () = state.stream.over.cancelled() => return None,
        change = state.changes.recv() => match change {
            // Many changes at once, even some that were missed, are one reason to list again.
            Ok(Change::Tools) | Err(RecvError::Lagged(_)) => {
                while matches!(state.changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
                sse::event(&write::notification("notifications/tools/list_changed", None))
            }
            Err(RecvError::Closed) => return None,
        },
        _ = state.keep_alive.tick() => sse::KEEP_ALIVE,
    };
    Some((event, state))
}

/// Ticks that start one period from now.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
