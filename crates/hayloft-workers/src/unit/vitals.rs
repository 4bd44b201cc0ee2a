//! Whether the worker's event loop turns: it is asked now and then, a silence is shown, and one without end ends it.

use std::time::Duration;

use metrics::{counter, histogram};
use tokio::time::Instant;

use super::{ON, Step, Unit};
use crate::health::Checkup;
use crate::logs::Level;
use crate::protocol::HostMessage;

impl Unit {
    /// Nobody waits for a new delay, so nobody is woken for it; the end of a stall is told.
    pub(super) fn note_delay(&self, delay: Duration) {
        let plugin = self.package.descriptor.id.to_string();
        histogram!("hayloft_worker_event_loop_delay_seconds", "plugin" => plugin).record(delay.as_secs_f64());
        self.facts.send_if_modified(|facts| {
            facts.event_loop_delay = Some(delay);
            facts.stalled_since.take().is_some()
        });
    }

    pub(super) fn check_health(&mut self, now: Instant) -> Step {
        match self.health.check(now, self.hooks_until()) {
            Checkup::Nothing => ON,
            Checkup::Ping(nonce) => self.send(&HostMessage::Ping { nonce }),
            Checkup::Stalled => {
                let since = self.shared.settings.clock.now();
                self.facts.send_modify(|facts| {
                    facts.stalled_since = Some(since);
                    facts.event_loop_stalls = facts.event_loop_stalls.saturating_add(1);
                });
                let plugin = self.package.descriptor.id.to_string();
                counter!("hayloft_worker_event_loop_stalls_total", "plugin" => plugin).increment(1);
                self.log.host(Level::Warn, "the event loop does not answer");
                ON
            }
            Checkup::Unresponsive => {
                let after = self.shared.settings.deadlines.unresponsive.as_secs_f64();
                self.failed(&format!("its event loop did not answer for {after:.1} s"))
            }
        }
    }
}
