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
            Ok(change) => told(&[change], &mut state.changes),
            // What was missed may have been anything.
            Err(RecvError::Lagged(_)) => told(&Change::ALL, &mut state.changes),
            Err(RecvError::Closed) => return None,
        },
        _ = state.keep_alive.tick() => sse::KEEP_ALIVE,
    };
    Some((event, state))
}

/// The news of changes, and of all that came meanwhile: many of one kind are one reason to list again.
fn told(first: &[Change], more: &mut Receiver<Change>) -> Bytes {
    let mut changed = first.to_vec();
    loop {
        match more.try_recv() {
            Ok(change) => changed.push(change),
            Err(TryRecvError::Lagged(_)) => changed.extend(Change::ALL),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    let mut events = Vec::new();
    for kind in Change::ALL.into_iter().filter(|kind| changed.contains(kind)) {
        sse::push_event(&mut events, &write::notification(kind.notification(), None));
    }
    events.into()
}

/// Ticks that start one period from now.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
