//! The life of a worker process as pure steps: what it may say, and when.
//!
//! It holds no socket, process or clock, so that every order of events can be tried.

use hayloft_model::WorkerState;

use crate::protocol::VERSION;

/// Where a worker is and what it has said so far.
#[derive(Debug)]
pub(crate) struct Life {
    state: WorkerState,
    heard: Heard,
    /// Whether it ever took an organization.
    belongs: bool,
}

/// How far the worker's introduction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Hello,
    Metadata,
    Ready,
}

/// Something that a worker may not do in its present state. The worker is killed for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("the worker sent `{message}` out of turn")]
    OutOfTurn { message: &'static str },
    #[error("the worker speaks version {theirs} of the protocol, not {VERSION}")]
    Version { theirs: u32 },
}

impl Life {
    pub(crate) const fn new() -> Self {
        Self { state: WorkerState::Starting, heard: Heard::Nothing, belongs: false }
    }

    pub(crate) const fn state(&self) -> WorkerState {
        self.state
    }

    pub(crate) fn greeted(&self) -> bool {
        self.heard != Heard::Nothing
    }

    pub(crate) fn registered(&self) -> bool {
        matches!(self.heard, Heard::Metadata | Heard::Ready)
    }

    pub(crate) fn hello(&mut self, version: u32) -> Result<(), Breach> {
        if version != VERSION {
            return Err(Breach::Version { theirs: version });
        }
        self.hear(Heard::Nothing, Heard::Hello, "hello")
    }

    pub(crate) fn metadata(&mut self) -> Result<(), Breach> {
        self.hear(Heard::Hello, Heard::Metadata, "metadata")
    }

    /// Gives whether the worker is warm now; one that is on its way out stays there.
    pub(crate) fn ready(&mut self) -> Result<bool, Breach> {
        self.hear(Heard::Metadata, Heard::Ready, "ready")?;
        Ok(self.enter(WorkerState::Warm))
    }

    /// The worker is told its organization. Gives whether it may be.
    pub(crate) fn bind(&mut self) -> bool {
        self.enter(WorkerState::Binding)
    }

    /// It took its organization. Gives whether it serves now.
    pub(crate) fn bound(&mut self) -> bool {
        let bound = self.enter(WorkerState::Bound);
        self.belongs |= bound;
        bound
    }

    /// Whether it works for an organization: from the moment when it took one, until it is gone.
    pub(crate) fn belongs(&self) -> bool {
        self.belongs && self.state != WorkerState::Gone
    }

    /// It takes nothing new. Gives whether that is news.
    pub(crate) fn drain(&mut self) -> bool {
        self.enter(WorkerState::Draining)
    }

    /// It is no more. Gives whether that is news.
    pub(crate) fn end(&mut self) -> bool {
        self.enter(WorkerState::Gone)
    }

    fn hear(&mut self, before: Heard, now: Heard, message: &'static str) -> Result<(), Breach> {
        if self.heard != before || self.state == WorkerState::Gone {
            return Err(Breach::OutOfTurn { message });
        }
        self.heard = now;
        Ok(())
    }

    fn enter(&mut self, to: WorkerState) -> bool {
        match self.state.step(to) {
            Ok(state) => {
                self.state = state;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Hello(u32),
        Metadata,
        Ready,
        Bind,
        Bound,
        Drain,
        End,
    }

    fn apply(life: &mut Life, event: Event) -> bool {
        match event {
            Event::Hello(version) => life.hello(version).is_ok(),
            Event::Metadata => life.metadata().is_ok(),
            Event::Ready => life.ready().is_ok(),
            Event::Bind => life.bind(),
            Event::Bound => life.bound(),
            Event::Drain => life.drain(),
            Event::End => life.end(),
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..3_u32).prop_map(Event::Hello),
            Just(Event::Metadata),
            Just(Event::Ready),
            Just(Event::Bind),
            Just(Event::Bound),
            Just(Event::Drain),
            Just(Event::End),
        ]
    }

    #[test]
    fn a_life_in_order() {
        let mut life = Life::new();
        for event in
            [Event::Hello(VERSION), Event::Metadata, Event::Ready, Event::Bind, Event::Bound, Event::Drain]
        {
            assert!(apply(&mut life, event), "{event:?}");
        }
        assert!(apply(&mut life, Event::End));
        assert_eq!(life.state(), WorkerState::Gone);
    }

    #[test]
    fn a_worker_is_given_to_one_organization() {
        let mut life = Life::new();
        assert!(!life.bind(), "it has not loaded its plugin");
        for event in [Event::Hello(VERSION), Event::Metadata, Event::Ready, Event::Bind] {
            assert!(apply(&mut life, event), "{event:?}");
        }
        assert!(!life.bind(), "it is being told its organization");
        assert!(life.bound() && !life.bind(), "it has one");
        assert!(life.drain() && !life.bind(), "it had one");
        assert!(life.end() && !life.bind() && !life.bound());
    }

    proptest! {
        #[test]
        fn any_order_of_events_ends_in_a_legal_state(events in prop::collection::vec(event(), 0..40)) {
            let mut life = Life::new();
            let (mut introduced, mut binds) = (false, 0);
            for event in events {
                let before = life.state();
                let accepted = apply(&mut life, event);
                let after = life.state();
                prop_assert!(before == after || before.step(after).is_ok(), "{event:?}: {before} to {after}");
                prop_assert!(accepted || before == after, "{event:?} was refused and changed {before} to {after}");
                introduced |= matches!(event, Event::Ready) && accepted;
                binds += usize::from(matches!(event, Event::Bind) && accepted);
                if matches!(after, WorkerState::Warm | WorkerState::Binding | WorkerState::Bound) {
                    prop_assert!(introduced);
                }
                prop_assert!(before != WorkerState::Gone || after == WorkerState::Gone);
            }
            prop_assert!(binds <= 1, "a worker was given to {binds} organizations");
            life.end();
            prop_assert_eq!(life.state(), WorkerState::Gone);
        }
    }
}
