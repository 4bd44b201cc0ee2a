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
    /// Once `shutdown` was sent: the process may go on until then.
    pub(super) kill_at: Option<Instant>,
}

impl Unit {
    pub(super) fn begin_drain(&mut self, calls: Duration, reason: String) -> Step {
        let calls_until = Instant::now() + calls;
        match &mut self.drain {
            Some(drain) => drain.calls_until = drain.calls_until.min(calls_until),
            None => {
                self.drain = Some(Drain { reason, calls_until, kill_at: None });
                // What comes too late for its introduction is ended by the drain's own deadline.
                self.introduction = None;
                if self.life.drain() {
                    self.show_state();
                }
            }
        }
        ON
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
