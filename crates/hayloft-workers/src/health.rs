//! Whether a worker's event loop turns. It is asked by pings; a missing answer is shown, and ends nothing by itself.

use std::time::Duration;

use tokio::time::Instant;

/// The pings of one worker.
#[derive(Debug)]
pub(crate) struct Health {
    interval: Duration,
    deadline: Duration,
    nonce: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The last ping was answered; the next one is due then.
    Well(Instant),
    /// A ping is out since then.
    Asked(Instant),
    /// The ping of then was not answered in time; nothing more is asked until it is.
    Stalled(Instant),
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checkup {
    Ping(u64),
    Stalled,
    Nothing,
}

impl Health {
    pub(crate) fn new(interval: Duration, deadline: Duration) -> Self {
        Self { interval, deadline, nonce: 0, state: State::Well(Instant::now() + interval) }
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Well(next) => Some(next),
            State::Asked(since) => Some(since + self.deadline),
            State::Stalled(_) => None,
        }
    }

    pub(crate) fn check(&mut self, now: Instant) -> Checkup {
        match self.state {
            State::Well(next) if next <= now => {
                self.nonce += 1;
                self.state = State::Asked(now);
                Checkup::Ping(self.nonce)
            }
            State::Asked(since) if since + self.deadline <= now => {
                self.state = State::Stalled(since);
                Checkup::Stalled
            }
            State::Well(_) | State::Asked(_) | State::Stalled(_) => Checkup::Nothing,
        }
    }

    /// Gives how long the event loop took to answer, if the answer is the one that was waited for.
    pub(crate) fn answered(&mut self, nonce: u64, now: Instant) -> Option<Duration> {
        match self.state {
            State::Asked(since) | State::Stalled(since) if nonce == self.nonce => {
                self.state = State::Well(now + self.interval);
                Some(now.saturating_duration_since(since))
            }
            State::Well(_) | State::Asked(_) | State::Stalled(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_noticed_once_and_ends_with_the_answer() {
        let (interval, deadline) = (Duration::from_secs(15), Duration::from_secs(5));
        let start = Instant::now();
        let mut health = Health::new(interval, deadline);
        assert_eq!(health.check(start), Checkup::Nothing);
        let asked = start + interval;
        assert_eq!(health.check(asked), Checkup::Ping(1));
        assert_eq!(health.check(asked), Checkup::Nothing);
        assert_eq!(health.check(asked + deadline), Checkup::Stalled);
        assert_eq!((health.due(), health.check(asked + deadline)), (None, Checkup::Nothing));
        assert_eq!(health.answered(7, asked), None);
        assert_eq!(health.answered(1, asked + deadline), Some(deadline));
        assert_eq!(health.due(), Some(asked + deadline + interval));
        assert_eq!(health.answered(1, asked + deadline), None);
    }
}
