//! Follow how a package is made, while it is made.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use futures::Stream;
use hayloft_model::plugin::Package;

use super::{InstallState, Packages, Run};
use crate::progress::{InstallEvent, Position};

impl Packages {
    /// What happens while a package is made, from a place on that somebody heard already. It waits for somebody to ask
    /// for the package, and ends when it is ready or cannot be made.
    pub fn follow(
        &self,
        package: Package,
        after: Option<Position>,
    ) -> impl Stream<Item = (Position, InstallEvent)> + Send + 'static {
        let listener = Listener {
            packages: self.clone(),
            package,
            after,
            begun: *self.0.runs.borrow(),
            run: None,
            heard: VecDeque::new(),
            is_over: false,
        };
        futures::stream::unfold(listener, async |mut listener| {
            let event = listener.next().await?;
            Some((event, listener))
        })
    }

    fn run_of(&self, package: &Package, after: Option<Position>, since: u64) -> Option<Run> {
        let key = (package.descriptor.id.clone(), package.content_hash);
        if let Some(running) = self.running().get(&key) {
            return Some(Run { number: running.number, log: Arc::clone(&running.log) });
        }
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // What is over is told to its end to those who know its beginning, or waited for it. To others its outcome is
        // enough.
        let is_wanted = |run: &Run| run.number >= since || after.is_some_and(|at| at.run == run.number);
        let mut known = ended.iter().filter(|(of, run)| *of == key && is_wanted(run));
        known.next().map(|(_, run)| run.clone())
    }
}

/// Somebody who wants to hear how a package is made.
struct Listener {
    packages: Packages,
    package: Package,
    after: Option<Position>,
    /// The number of the first run that begins while it listens.
    begun: u64,
    run: Option<Run>,
    heard: VecDeque<(Position, InstallEvent)>,
    is_over: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<(Position, InstallEvent)> {
        loop {
            if let Some(event) = self.heard.pop_front() {
                self.is_over = event.1.is_last();
                self.after = Some(event.0);
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            // Watched before it is looked at, so that nothing comes between.
            let mut begun = self.packages.0.runs.subscribe();
            if self.run.is_none() {
                self.run = self.packages.run_of(&self.package, self.after, self.begun);
            }
            let Some(run) = &self.run else {
                // What is only read from the shelf is of no run that could be taken up again.
                let position = Position { run: u64::MAX, event: 0 };
                match self.packages.state(&self.package) {
                    InstallState::Installed => self.heard.push_back((position, InstallEvent::Done {})),
                    InstallState::InstallError { problems } | InstallState::BuildError { problems } => {
                        self.heard.push_back((position, InstallEvent::Failed { problems }));
                    }
                    InstallState::Waiting | InstallState::Installing { .. } => begun.changed().await.ok()?,
                }
                continue;
            };
            let mut told = run.log.told.watch();
            let from = self.after.filter(|after| after.run == run.number).map_or(0, |after| after.event + 1);
            let number = run.number;
            let events = run.log.told.since(from);
            self.heard
                .extend(events.into_iter().map(|(event, what)| (Position { run: number, event }, what)));
            if self.heard.is_empty() {
                if run.log.told.is_over() {
                    return None;
                }
                told.changed().await.ok()?;
            }
        }
    }
}
