//! Whether anybody uses the worker: it says when nobody has for long, and when nobody does right now, if it was asked to.

use tokio::time::Instant;

use super::{ON, Step, Unit};
use crate::activity::Activity;
use crate::events::Event;

/// When the unit looks whether its worker is used.
pub(super) struct Idleness {
    /// Whether nobody has used it for long.
    check: Instant,
    quiet: Quiet,
}

/// Whether somebody waits for the moment in which nobody uses the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Unasked,
    /// Until the calls in flight have ended.
    Calls,
    /// It was used, or has asked the host for something, so somebody may come, or it may be at work, until then.
    Unsettled(Instant),
}

impl Idleness {
    pub(super) const fn new(check: Instant) -> Self {
        Self { check, quiet: Quiet::Unasked }
    }

    pub(super) fn due(&self) -> Instant {
        match self.quiet {
            Quiet::Unsettled(until) => self.check.min(until),
            Quiet::Unasked | Quiet::Calls => self.check,
        }
    }

    /// Whether the end of the calls in flight is to be noticed.
    pub(super) fn waits_for_calls(&self) -> bool {
        self.quiet == Quiet::Calls
    }
}

impl Unit {
    /// Somebody would like to have this worker's place.
    pub(super) fn tell_quiet(&mut self) {
        self.idleness.quiet = Quiet::Calls;
    }

    /// No call is in flight.
    pub(super) fn on_quiet(&mut self) -> Step {
        let settled = self.activity.settled_at();
        self.idleness.quiet = if settled > Instant::now() {
            Quiet::Unsettled(settled)
        } else {
            self.report(Event::Quiet);
            Quiet::Unasked
        };
        ON
    }

    pub(super) fn begin_idleness(&mut self) {
        self.idleness.check = Instant::now() + self.shared.settings.deadlines.idle;
    }

    pub(super) fn check_idle(&mut self, now: Instant) {
        if matches!(self.idleness.quiet, Quiet::Unsettled(until) if until <= now) {
            self.idleness.quiet = Quiet::Calls;
        }
        let idle = self.shared.settings.deadlines.idle;
        if self.idleness.check > now {
            return;
        }
        if self.activity.is_idle(idle) {
            self.report(Event::Idle);
            self.idleness.check = now + idle;
        } else {
            let last = if self.activity.in_flight() > 0 { now } else { self.activity.last() };
            let busy = self.activity.busy_until().unwrap_or(now);
            // Never the same moment again, whatever the order in which times were noted.
            self.idleness.check = (last + idle).max(busy).max(now + Activity::PRECISION);
        }
    }
}
