//! What the worker says, and what is said to it: every frame of the channel passes here.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::start::Runner;
use super::{HANGS_UP, LAST_WORDS, ON, Step, Unit};
use crate::channel::{self, ChannelError, Frame};
use crate::events::{Event, Report};
use crate::logs::Level;
use crate::protocol::{FailureReason, FatalStage, HostMessage, WireError, WorkerMessage};
use crate::{Fault, StartFailure, StartStage};

/// Frames that are read before orders and deadlines are looked at again.
const FRAMES_AT_ONCE: usize = 64;

/// How long a worker that asks for too much is not read at least, so that few pauses are made.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

impl Unit {
    pub(super) fn read(&mut self, frame: Option<Result<Frame, ChannelError>>) -> Step {
        let (mut next, mut read) = (frame, 0);
        loop {
            match next {
                Some(Ok(frame)) => self.on_frame(frame)?,
                Some(Err(ChannelError::Broken(_))) | None => {
                    // The process is ending, or about to be ended for having closed its channel.
                    self.last_words = Some(Instant::now() + HANGS_UP);
                    return ON;
                }
                Some(Err(error)) => return self.broke_protocol(&error),
            }
            read += 1;
            if self.blocked.is_some() || self.paused.is_some() || read == FRAMES_AT_ONCE {
                return ON;
            }
            match next_frame(self.process.runner.as_mut()).now_or_never() {
                Some(frame) => next = frame,
                None => return ON,
            }
        }
    }

    pub(super) fn on_frame(&mut self, frame: Frame) -> Step {
        match frame {
            Frame::Control(payload) => match WorkerMessage::read(&payload) {
                Ok(message) => self.on_message(message),
                Err(error) => self.broke_protocol(&error),
            },
            Frame::Mcp(payload) => match channel::open_envelope(&payload) {
                Ok((server, message)) => {
                    self.deliver(&server, message);
                    ON
                }
                Err(error) => self.broke_protocol(&error),
            },
        }
    }

    /// Takes a message on account that nobody waited for.
    pub(super) fn charge(&mut self) {
        let (next, now) = (self.pace.took_one(), Instant::now());
        if next > now {
            self.paused = Some(next.max(now + SHORTEST_PAUSE));
        }
    }

    fn on_message(&mut self, message: WorkerMessage) -> Step {
        let deadlines = self.shared.settings.deadlines;
        // Whether these were waited for is seen where they are taken.
        if !matches!(
            message,
            WorkerMessage::Pong { .. } | WorkerMessage::Result { .. } | WorkerMessage::Failure { .. }
        ) {
            self.charge();
        }
        // What it says of itself, its MCP servers above all, is said at every start and is no sign of work.
        if matches!(message, WorkerMessage::Kv { .. }) {
            self.activity.asked();
        }
        match message {
            WorkerMessage::Hello(hello) => {
                if let Err(breach) = self.life.hello(hello.protocol) {
                    return self.broke_protocol(&breach);
                }
                tracing::debug!(worker = %self.worker, node = hello.node, runner = hello.runner, sdk = hello.sdk, "a worker runs");
                self.introduction = Some(Instant::now() + deadlines.on_initialize + deadlines.grace);
                ON
            }
            WorkerMessage::Metadata { registration } => {
                if let Err(breach) = self.life.metadata() {
                    return self.broke_protocol(&breach);
                }
                self.registration = Some(registration);
                ON
            }
            WorkerMessage::Ready {} => match self.life.ready() {
                Ok(warm) => {
                    self.introduction = None;
                    if let Some(registration) = self.registration.take().filter(|_| warm) {
                        self.show_state();
                        self.report(Event::Warm(registration));
                    }
                    ON
                }
                Err(breach) => self.broke_protocol(&breach),
            },
            WorkerMessage::Fatal { stage, error } => self.on_fatal(stage, error),
            WorkerMessage::Pong { nonce } => {
                match self.health.answered(nonce, Instant::now()) {
                    Some(delay) => self.note_delay(delay),
                    None => self.charge(),
                }
                ON
            }
            WorkerMessage::Result { id, value } => self.on_answer(id, Ok(value)),
            WorkerMessage::Failure { id, error } => self.on_answer(id, Err(error)),
            WorkerMessage::OpenMcp { id, server } => self.open_server(id, server),
            WorkerMessage::CloseMcp { id, server_id } => self.close_on_request(id, &server_id),
            WorkerMessage::UpdateAuth { id, method_id, credentials } => {
                self.update_auth(id, method_id, credentials)
            }
            WorkerMessage::UpdateRegistration { id, registration } => {
                self.update_registration(id, registration)
            }
            WorkerMessage::RegisterMcp { id, server } => self.register_server(id, server),
            WorkerMessage::Kv { id, operation } => self.kv(id, operation),
            WorkerMessage::ReportUse { id, since: _, uses } => self.report_use(id, uses),
        }
    }

    fn on_fatal(&mut self, stage: FatalStage, error: WireError) -> Step {
        let stage = match stage {
            FatalStage::Load => StartStage::Load,
            FatalStage::Initialize => StartStage::Initialize,
            FatalStage::Register => StartStage::Register,
            FatalStage::Protocol => StartStage::Protocol,
        };
        if let Some(stack) = &error.stack {
            self.log.host(Level::Error, format!("failed to {stage}: {stack}"));
        }
        let Fault { message, problems, .. } = self.log.masked_error(error).into();
        self.fatal = Some(StartFailure { stage, message, problems, hint: None });
        // It says that it ends; it has a moment to write its last lines.
        self.introduction = Some(Instant::now() + 2 * LAST_WORDS);
        ON
    }

    pub(super) fn send(&self, message: &HostMessage) -> Step {
        let Some(runner) = &self.process.runner else { return ON };
        match runner.writer.send(message) {
            Ok(()) => ON,
            // The process is ending, and its end says why.
            Err(channel::SendError::Closed) => ON,
            Err(error) => self.failed(&format!("it {error}")),
        }
    }

    pub(super) fn refuse(&self, id: u64, reason: FailureReason, message: impl Into<String>) -> Step {
        self.send(&HostMessage::Failure { id, error: WireError::of_host(reason, message) })
    }

    pub(super) fn report(&self, event: Event) {
        let _ = self.reports.send(Report { worker: self.worker, event });
    }
}

/// What the runner says next; a worker without one says nothing.
pub(super) async fn next_frame(runner: Option<&mut Runner>) -> Option<Result<Frame, ChannelError>> {
    match runner {
        Some(runner) => runner.reader.next().await,
        None => std::future::pending().await,
    }
}
