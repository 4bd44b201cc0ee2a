//! How a unit is told to end: it takes nothing new, its calls have their time, then its process has.

use std::time::Duration;

use tokio::time::Instant;

use super::{LAST_WORDS, ON, Step, Unit};
use crate::launch;
use crate::protocol::HostMessage;

/// An end in order.
pub(super) struct Drain {
    pub(super) reason: String,
    /// Calls may go on until then.
    pub(super) calls_until: Instant,
    /// None is in flight, but until then another one may begin.
    pub(super) settles: Option<Instant>,
    /// Once `shutdown` was sent: the process may go on until then.
    pub(super) kill_at: Option<Instant>,
}

impl Drain {
    /// When something is due.
    pub(super) fn due(&self) -> Instant {
        let calls = self.settles.map_or(self.calls_until, |settles| settles.min(self.calls_until));
        self.kill_at.unwrap_or(calls)
    }

    /// Whether the end of the calls in flight is to be noticed.
    pub(super) fn waits_for_calls(&self) -> bool {
        self.takes_calls() && self.settles.is_none()
    }

    /// Whether it still answers those who found it before it was told to end.
    pub(super) fn takes_calls(&self) -> bool {
        self.kill_at.is_none()
    }
}

impl Unit {
    pub(super) fn begin_drain(&mut self, calls: Duration, reason: String) -> Step {
        let calls_until = Instant::now() + calls;
        match &mut self.drain {
            Some(drain) => drain.calls_until = drain.calls_until.min(calls_until),
            None => {
                self.drain = Some(Drain { reason, calls_until, settles: None, kill_at: None });
                // What comes too late for its introduction is ended by the drain's own deadline.
                self.introduction = None;
                if self.life.drain() {
                    self.show_state();
                }
            }
        }
        ON
    }

    /// No call is in flight. Whoever was given the worker just now begins one in a moment, and what was answered just now
    /// may still be at work.
    pub(super) fn calls_ended(&mut self) -> Step {
        let free = self.activity.free_at();
        match &mut self.drain {
            Some(drain) if free > Instant::now() => {
                drain.settles = Some(free);
                ON
            }
            _ => self.send_shutdown(),
        }
    }

    pub(super) fn send_shutdown(&mut self) -> Step {
        let stop = self.shared.settings.deadlines.stop;
        if let Some(drain) = &mut self.drain {
            // The worker gets the whole time that it was told, and its farewell a moment more.
            drain.kill_at = Some(Instant::now() + stop + LAST_WORDS);
        }
        self.stop_kept();
        self.when_servers_ended()?;
        self.send(&HostMessage::Shutdown { deadline_ms: launch::milliseconds(stop) })
    }
}
