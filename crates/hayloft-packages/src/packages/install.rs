//! Make a package ready, once however many ask.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hayloft_model::OrganizationId;
use hayloft_model::plugin::Package;
use tokio_util::sync::CancellationToken;

use super::{Inner, Key, MOST_ENDED, Outcome, Packages, Progress, Run, Running};
use crate::bundle::Bundled;
use crate::error::{Fault, InstallError};
use crate::log::RunLog;
use crate::progress::InstallEvent;
use crate::shelf::{Closed, Failure};
use crate::{Phase, install};

impl Packages {
    /// Makes a package ready, unless it is. However many ask at the same time, it is done once, and goes on when they
    /// go away.
    ///
    /// # Errors
    /// See [`InstallError`]. What was there before stays as it was.
    pub async fn install(&self, package: &Package) -> Outcome {
        self.install_for(None, package).await
    }

    /// The same for an organization that a package belongs to, and which waits for its turn with the others.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub async fn install_for(&self, owner: Option<OrganizationId>, package: &Package) -> Outcome {
        let key = (package.descriptor.id.clone(), package.content_hash);
        let running = {
            let mut all = self.running();
            match all.get(&key) {
                Some(running) => running.clone(),
                None => {
                    let running = self.begin(owner, package.clone());
                    all.insert(key, running.clone());
                    // Who waits for it looks for it now.
                    self.0.runs.send_modify(|runs| *runs += 1);
                    tokio::spawn(running.outcome.clone());
                    running
                }
            }
        };
        running.outcome.await
    }

    fn begin(&self, owner: Option<OrganizationId>, package: Package) -> Running {
        let (log, progress) = (Arc::new(RunLog::default()), Arc::<Mutex<Progress>>::default());
        let inner = Arc::clone(&self.0);
        let number = *self.0.runs.borrow();
        let called_off = CancellationToken::new();
        let outcome = {
            let (log, progress) = (Arc::clone(&log), Arc::clone(&progress));
            let called_off = called_off.clone();
            async move {
                let work = {
                    let (inner, package) = (Arc::clone(&inner), package.clone());
                    let (log, progress) = (Arc::clone(&log), Arc::clone(&progress));
                    async move { inner.install(owner, &package, &log, &progress).await }
                };
                let outcome = unless(&called_off, work.boxed()).await;
                inner.remember(&package, &log, &outcome).await;
                log.told.tell(match &outcome {
                    Ok(_) => InstallEvent::Done {},
                    Err(error) => InstallEvent::Failed { problems: error.problems() },
                });
                let key = (package.descriptor.id.clone(), package.content_hash);
                inner.retire(key, Run { number, log });
                outcome
            }
        };
        Running { number, outcome: outcome.boxed().shared(), log, progress, called_off }
    }
}

impl Inner {
    async fn install(
        self: &Arc<Self>,
        owner: Option<OrganizationId>,
        package: &Package,
        log: &Arc<RunLog>,
        progress: &Arc<Mutex<Progress>>,
    ) -> Outcome {
        // A version that was touched is made anew from the folder, which is what a person would do.
        let there = self.blocking(package, |inner, package| Ok(inner.ready(package).ok().flatten())).await?;
        if let Some(ready) = there {
            return Ok(ready);
        }
        let turn = self.turns.take(owner).await;
        let _turn = turn.ok_or_else(|| InstallError::Host {
            what: String::from("wait for a turn to install"),
            reason: String::from("the line has ended"),
        })?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (staging, copied) =
            self.blocking(package, move |inner, package| inner.copy(package, number)).await?;
        let last = copied.steps.last().map_or(Phase::Install, |step| step.phase);
        let (result, bundled) = if copied.steps.is_empty() && self.to_bundle(&copied, package).is_none() {
            (copied.root(), None)
        } else {
            match self.make(&copied, package, &staging, number, log, progress).await {
                Ok(made) => made,
                // It is whole, and what only makes it start faster keeps nobody from having it.
                Err(error) if copied.steps.is_empty() => {
                    (copied.root(), Some(Bundled::Not(error.to_string())))
                }
                Err(error) => return Err(error),
            }
        };
        let log = Arc::clone(log);
        let (whole, at) = self
            .blocking(package, move |inner, package| {
                install::check(package, &result, last)?;
                let judged = inner.judge(package, &result, bundled, &log);
                let whole = judged.and_then(|()| Closed::of(result.clone()));
                let whole = whole.map_err(Fault::host("keep", &result)).map_err(|fault| fault.in_phase(last));
                Ok((whole?, result))
            })
            .await?;
        let allowed = match (owner, self.allowance.get()) {
            (Some(owner), Some(allowance)) => {
                let allowed = allowance.allow(owner, &package.descriptor.id, whole.bytes()).await;
                Some(allowed.map_err(|problem| Fault::Wrong(problem).in_phase(last))?)
            }
            _ => None,
        };
        self.blocking(package, move |inner, package| {
            let (plugin, hash) = (&package.descriptor.id, package.content_hash);
            let kept = inner.exchange(plugin, hash, |shelf| shelf.publish(plugin, hash, &whole));
            kept.map_err(Fault::host("keep", &at)).map_err(|fault| fault.in_phase(last))?;
            drop((allowed, staging));
            let ready = inner.ready(package).ok().flatten();
            ready.ok_or_else(|| InstallError::Host {
                what: String::from("keep the package"),
                reason: String::from("it changed when it was kept"),
            })
        })
        .await
    }

    async fn remember(self: &Arc<Self>, package: &Package, log: &Arc<RunLog>, outcome: &Outcome) {
        let text = log.text();
        let failure = match outcome {
            Ok(_) => {
                let warnings = log.warnings();
                (!warnings.is_empty()).then_some(Failure { phase: Phase::Build, problems: warnings })
            }
            Err(InstallError::CalledOff) => return,
            Err(error @ (InstallError::Refused { phase, .. } | InstallError::Unavailable { phase, .. })) => {
                Some(Failure { phase: *phase, problems: error.problems() })
            }
            Err(error) => {
                tracing::error!(plugin = %package.descriptor.id, %error, "failed to install a package");
                Some(Failure { phase: Phase::Install, problems: error.problems() })
            }
        };
        let noted = self
            .blocking(package, move |inner, package| {
                let (plugin, hash) = (&package.descriptor.id, package.content_hash);
                let failed = |error: io::Error| {
                    Fault::host("note in", &inner.options.shelf)(error).in_phase(Phase::Install)
                };
                if !text.is_empty() {
                    inner.shelf.keep_log(plugin, hash, &text).map_err(failed)?;
                }
                match &failure {
                    Some(failure) => inner.shelf.note_failure(plugin, hash, failure).map_err(failed),
                    None => Ok(()),
                }
            })
            .await;
        if let Err(error) = noted {
            tracing::error!(plugin = %package.descriptor.id, %error, "failed to note how an installation went");
        }
    }

    /// A run is over: it is no longer one that goes on, and among the last ones that did.
    fn retire(&self, key: Key, run: Run) {
        let number = run.number;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push_back((key.clone(), run));
        while ended.len() > MOST_ENDED {
            ended.pop_front();
        }
        drop(ended);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was called off may have a successor.
        if running.get(&key).is_some_and(|running| running.number == number) {
            running.remove(&key);
        }
    }
}

/// Does some work, unless it is called off before it is done. Then nothing of it is left when this returns.
async fn unless(called_off: &CancellationToken, mut work: BoxFuture<'static, Outcome>) -> Outcome {
    tokio::select! {
        biased;
        outcome = &mut work => outcome,
        () = called_off.cancelled() => {
            // What it was working on is many files, and goes with it.
            let gone = tokio::task::spawn_blocking(move || drop(work)).await;
            if let Err(error) = gone {
                tracing::error!(%error, "failed to end an installation");
            }
            Err(InstallError::CalledOff)
        }
    }
}
