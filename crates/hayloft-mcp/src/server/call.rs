//! A running tool call on its way to an answer: JSON when the result comes soon and alone, events when the client asked
//! for progress and there is some, or when the call takes long.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::Response;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Receiver;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::ids::RequestId;
use crate::message::write;
use crate::progress::Progress;
use crate::service::ToolFailure;

use super::body::ResponseBody;
use super::negotiate::Accepts;
use super::notify::ticks;
use super::session::RunningCall;
use super::{dispatch, sse};

/// What a call ends with.
pub(super) type Outcome = Result<Box<RawValue>, ToolFailure>;

/// A call and all that is needed to answer it.
pub(super) struct Answering {
    pub(super) id: RequestId,
    pub(super) work: Work,
    pub(super) cancelled: CancellationToken,
    /// Where reports come from, and the client's token as JSON.
    pub(super) progress: Option<(Receiver<Progress>, String)>,
}

/// When an answer turns into events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) stream_after: Duration,
    pub(super) keep_alive: Duration,
}

impl Answering {
    /// Waits for what comes first and answers in the form that it asks for.
    pub(super) async fn answer(mut self, accepts: Accepts, pace: Pace) -> Response<ResponseBody> {
        match accepts {
            Accepts::Events => self.stream(None, pace),
            Accepts::Json | Accepts::Nothing => tokio::select! {
                biased;
                outcome = &mut self.work => answer_json(&self.id, outcome),
                () = self.cancelled.cancelled() => answer_json(&self.id, Err(ToolFailure::Cancelled)),
            },
            Accepts::Both => tokio::select! {
                biased;
                progress = next_progress(&mut self.progress) => self.stream(Some(progress), pace),
                outcome = &mut self.work => self.answer_done(outcome),
                () = self.cancelled.cancelled() => self.stream(None, pace),
                () = tokio::time::sleep(pace.stream_after) => self.stream(None, pace),
            },
        }
    }

    /// The last step of the call may have reported progress, which then stands before the result.
    fn answer_done(mut self, outcome: Outcome) -> Response<ResponseBody> {
        let mut events = self.reported();
        if events.is_empty() && !self.is_given_up(&outcome) {
            return answer_json(&self.id, outcome);
        }
        self.push_outcome(&mut events, outcome);
        dispatch::events(ResponseBody::whole(events))
    }

    fn stream(self, first: Option<Bytes>, pace: Pace) -> Response<ResponseBody> {
        let state = Streaming { answering: self, first, keep_alive: ticks(pace.keep_alive), done: false };
        dispatch::events(ResponseBody::events(futures::stream::unfold(state, Streaming::next)))
    }

    /// A cancelled request is not answered, says the protocol. One that was cancelled by somebody else is.
    fn is_given_up(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Err(ToolFailure::Cancelled)) && self.cancelled.is_cancelled()
    }

    fn push_outcome(&self, events: &mut Vec<u8>, outcome: Outcome) {
        if self.is_given_up(&outcome) {
            return;
        }
        match outcome {
            Ok(result) => sse::push_event(events, &write::result(&self.id, result.get())),
            Err(failure) => sse::push_event(events, &Fault::from(&failure).to_message(Some(&self.id))),
        }
    }

    /// All reports that are there already, as events.
    fn reported(&mut self) -> Vec<u8> {
        let mut events = Vec::new();
        if let Some((reports, token)) = &mut self.progress {
            while let Ok(progress) = reports.try_recv() {
                sse::push_event(&mut events, &progress.notification(token));
            }
        }
        events
    }
}

/// An answer that became events.
struct Streaming {
    answering: Answering,
    first: Option<Bytes>,
    keep_alive: Interval,
    done: bool,
}

impl Streaming {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.done {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        let event = tokio::select! {
            biased;
            progress = next_progress(&mut self.answering.progress) => progress,
            outcome = &mut self.answering.work => {
                self.done = true;
                let mut events = self.answering.reported();
                self.answering.push_outcome(&mut events, outcome);
                events.into()
            }
            // The stream just ends, as nothing is to be said any more.
            () = self.answering.cancelled.cancelled() => return None,
            _ = self.keep_alive.tick() => sse::KEEP_ALIVE,
        };
        Some((event, self))
    }
}

/// The next report as an event. Waits for ever when there is nobody left to report.
async fn next_progress(progress: &mut Option<(Receiver<Progress>, String)>) -> Bytes {
    if let Some((reports, token)) = progress {
        if let Some(report) = reports.recv().await {
            return sse::event(&report.notification(token));
        }
        *progress = None;
    }
    std::future::pending().await
}

fn answer_json(id: &RequestId, outcome: Outcome) -> Response<ResponseBody> {
    match outcome {
        Ok(result) => {
            let result: Box<str> = result.into();
            let result = Bytes::from(String::from(result));
            dispatch::json(ResponseBody::around(write::result_head(id), result, write::RESULT_TAIL))
        }
        Err(failure) => dispatch::json(ResponseBody::whole(Fault::from(&failure).to_message(Some(id)))),
    }
}

/// The work of a call. It is polled by the answer; when the answer is dropped before the work is done (a client that
/// went away has not cancelled, says the protocol), it goes on alone, so that whoever does the work sees its end.
pub(super) struct Work(Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>);

impl Work {
    /// Work that runs in a session; a panic in it is our failure and nobody else's.
    pub(super) fn new(work: impl Future<Output = Outcome> + Send + 'static, running: RunningCall) -> Self {
        Self(Some(Box::pin(async move {
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            // A client may use its id again as soon as it has the answer.
            drop(running);
            outcome.unwrap_or_else(|panic| Err(panicked(&*panic)))
        })))
    }
}

fn panicked(panic: &(dyn Any + Send)) -> ToolFailure {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("unknown"), "a tool call panicked");
    ToolFailure::Internal("the call failed inside the host".to_owned())
}

impl Future for Work {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        let outcome = std::task::ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(work));
        }
    }
}
