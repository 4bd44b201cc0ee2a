//! What is told of a run while it makes a package: which step began, what its programs write, how it ended.
//!
//! What was told is kept within bounds for those who come late or lost the thread. Nobody who listens holds the run up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hayloft_model::Problems;
use serde::Serialize;
use tokio::sync::watch;

/// Most that is kept, in bytes.
const MOST: usize = 512 << 10;

/// What an event costs beside its text, in bytes.
const EACH: usize = 64;

/// Something that happened while a package was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum InstallEvent {
    /// A step began.
    Step {
        /// Which, from 1 on.
        step: usize,
        /// How many there are.
        steps: usize,
        /// How much is done by now, in percent of the steps.
        percent: usize,
        /// What runs, for people.
        title: String,
    },
    /// A program wrote a line.
    Line {
        /// What it wrote, made harmless.
        text: String,
    },
    /// The package is ready.
    Done {},
    /// The package could not be made.
    Failed {
        /// Why.
        problems: Problems,
    },
}

impl InstallEvent {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Step { .. } => "step",
            Self::Line { .. } => "line",
            Self::Done {} => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Done {} | Self::Failed { .. })
    }

    fn size(&self) -> usize {
        EACH + match self {
            Self::Step { title: text, .. } | Self::Line { text } => text.len(),
            Self::Done {} | Self::Failed { .. } => 0,
        }
    }
}

/// A place in what was told of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which run.
    pub run: u64,
    /// Which of its events, from 0 on.
    pub event: u64,
}

/// What was told of one run.
#[derive(Debug)]
pub(crate) struct Told {
    kept: Mutex<Kept>,
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the first event that is kept.
    first: u64,
    events: VecDeque<InstallEvent>,
    bytes: usize,
}

impl Default for Told {
    fn default() -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Told {
    pub(crate) fn tell(&self, event: InstallEvent) {
        {
            let mut kept = self.kept();
            kept.bytes += event.size();
            kept.events.push_back(event);
            while kept.bytes > MOST
                && let Some(oldest) = kept.events.pop_front()
            {
                kept.bytes -= oldest.size();
                kept.first += 1;
            }
        }
        self.count.send_modify(|count| *count += 1);
    }

    /// What was told from an event on, as far as it is kept, with the number of each.
    pub(crate) fn since(&self, event: u64) -> Vec<(u64, InstallEvent)> {
        let kept = self.kept();
        let numbered =
            kept.events.iter().enumerate().map(|(index, event)| (kept.first + index as u64, event));
        numbered
            .filter(|(number, _)| *number >= event)
            .map(|(number, event)| (number, event.clone()))
            .collect()
    }

    /// Whether nothing more follows.
    pub(crate) fn is_over(&self) -> bool {
        self.kept().events.back().is_some_and(InstallEvent::is_last)
    }

    /// What says that more was told.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: impl Into<String>) -> InstallEvent {
        InstallEvent::Line { text: text.into() }
    }

    #[test]
    fn what_was_told_is_numbered_and_bounded() {
        let told = Told::default();
        let watch = told.watch();
        for number in 0..3 {
            told.tell(line(number.to_string()));
        }
        assert!(watch.has_changed().unwrap());
        assert_eq!(told.since(1), [(1, line("1")), (2, line("2"))]);
        assert!(told.since(3).is_empty());
        let long = "x".repeat(100 << 10);
        for _ in 0..20 {
            told.tell(line(&*long));
        }
        told.tell(InstallEvent::Done {});
        let kept = told.since(0);
        assert!(kept.len() < 8, "{}", kept.len());
        assert_eq!(kept.last(), Some(&(23, InstallEvent::Done {})), "numbers go on over what was dropped");
    }
}
