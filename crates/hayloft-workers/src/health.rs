//! Whether a worker's event loop turns. It is asked by pings; a missing answer is shown, and one that is missing for
//! longer than any call may take ends the worker.

use std::time::Duration;

use tokio::time::Instant;

/// The pings of one worker.
#[derive(Debug)]
pub(crate) struct Health {
    interval: Duration,
    deadline: Duration,
    patience: Duration,
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
    /// Whoever could have waited for it has given up.
    Unresponsive,
    Nothing,
}

impl Health {
    pub(crate) fn new(interval: Duration, deadline: Duration, patience: Duration) -> Self {
        Self {
            interval,
            deadline,
            patience: patience.max(deadline),
            nonce: 0,
            state: State::Well(Instant::now() + interval),
        }
    }

    /// When to look again. A hook that may take until `hooks_until` is waited for.
    pub(crate) fn due(&self, hooks_until: Option<Instant>) -> Instant {
        match self.state {
            State::Well(next) => next,
            State::Asked(since) => since + self.deadline,
            State::Stalled(since) => self.given_up(since, hooks_until),
        }
    }

    fn given_up(&self, since: Instant, hooks_until: Option<Instant>) -> Instant {
        let given_up = since + self.patience;
        hooks_until.map_or(given_up, |until| until.max(given_up))
    }

    pub(crate) fn check(&mut self, now: Instant, hooks_until: Option<Instant>) -> Checkup {
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
            State::Stalled(since) if self.given_up(since, hooks_until) <= now => Checkup::Unresponsive,
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
        let patience = Duration::from_secs(75);
        let mut health = Health::new(interval, deadline, patience);
        assert_eq!(health.check(start, None), Checkup::Nothing);
        let asked = start + interval;
        assert_eq!(health.check(asked, None), Checkup::Ping(1));
        assert_eq!(health.check(asked, None), Checkup::Nothing);
        assert_eq!(health.check(asked + deadline, None), Checkup::Stalled);
        assert_eq!(health.due(None), asked + patience);
        assert_eq!(health.check(asked + deadline, None), Checkup::Nothing);
        assert_eq!(health.answered(7, asked), None);
        assert_eq!(health.answered(1, asked + deadline), Some(deadline));
        assert_eq!(health.due(None), asked + deadline + interval);
        assert_eq!(health.answered(1, asked + deadline), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_is_given_up_once_no_hook_can_be_the_reason() {
        let [interval, deadline, patience] = [1, 2, 10].map(Duration::from_secs);
        let mut health = Health::new(interval, deadline, patience);
        let asked = Instant::now() + interval;
        assert_eq!(health.check(asked, None), Checkup::Ping(1));
        assert_eq!(health.check(asked + deadline, None), Checkup::Stalled);
        let given_up = asked + patience;
        let before = given_up - Duration::from_millis(1);
        assert_eq!(health.check(before, None), Checkup::Nothing);
        assert_eq!(health.check(given_up, None), Checkup::Unresponsive);
        let hook = given_up + deadline;
        assert_eq!((health.due(Some(hook)), health.check(given_up, Some(hook))), (hook, Checkup::Nothing));
        assert_eq!(health.check(hook, Some(hook)), Checkup::Unresponsive);
        assert_eq!(
            (health.due(Some(asked)), health.check(before, Some(asked))),
            (given_up, Checkup::Nothing)
        );
    }
}
