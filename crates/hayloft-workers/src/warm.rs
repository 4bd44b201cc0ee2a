//! Which plugins have workers ready for whoever needs one next, and how many.
//!
//! A *warm* worker has loaded its plugin and belongs to nobody. As many are kept of a plugin as were started of it
//! lately, within one budget of memory for the whole host; plugins that were asked for last come first. What is kept here
//! are numbers and names: it starts nothing, ends nothing and measures nothing, so that every order can be tried.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use hayloft_model::plugin::{Package, Runtime};
use hayloft_model::{InstanceKey, PluginId, WorkerId};
use tokio::time::Instant;

/// Starts within that time are taken for one rush, after which the next one is prepared for.
const RUSH: Duration = Duration::from_secs(60);

/// What a worker is taken to hold that was never measured, in bytes.
const UNMEASURED: u64 = 64 << 20;

/// A start for the pool waits until nobody has been started for so long: it takes nothing from those who wait for theirs.
const QUIET: Duration = Duration::from_millis(100);

/// A start for the pool that takes longer waits for something, or never ends: those of other plugins go on beside it.
const SLOW: Duration = Duration::from_secs(1);

/// So many that take longer are a machine that is too slow for more.
const MOST_UNFINISHED: usize = 4;

/// The pause after a worker ended before anybody needed it, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Of so many plugins it is remembered that they were asked for.
const REMEMBERED: usize = 256;

/// How many workers are kept ready for nobody in particular.
#[derive(Clone, Copy, Debug)]
pub struct WarmLimits {
    /// What all of them may hold together, in bytes. With zero there are none.
    pub memory: u64,
    /// Of one plugin at most so many.
    pub of_plugin: NonZeroUsize,
    /// A plugin that nobody has started for so long has none.
    pub recent: Duration,
    /// An instance that took one takes no other for so long: who restarts without end leaves them to the others.
    pub pause: Duration,
}

impl Default for WarmLimits {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            of_plugin: const { NonZeroUsize::new(4).unwrap() },
            recent: Duration::from_secs(15 * 60),
            pause: Duration::from_secs(1),
        }
    }
}

impl WarmLimits {
    /// None at all.
    #[must_use]
    pub fn off() -> Self {
        Self { memory: 0, ..Self::default() }
    }
}

/// Whether workers of a plugin may be started before it is known for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Whoever gets one is given what it gets from every start.
    #[default]
    Allowed,
    /// It belongs to one organization, or asks for its organization before it has one.
    Never,
}

impl Pooling {
    /// Allowed only if both allow it.
    pub(crate) const fn and(self, other: Self) -> Self {
        match self {
            Self::Allowed => other,
            Self::Never => Self::Never,
        }
    }
}

/// What is to be done so that the right workers are kept.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// These are of no use any more, or there is no room for them.
    pub(crate) stop: Vec<WorkerId>,
    /// One is to be started of this.
    pub(crate) start: Option<Package>,
}

/// All plugins that were asked for lately.
#[derive(Debug)]
pub(crate) struct WarmPool {
    limits: WarmLimits,
    wanted: Vec<Wanted>,
    /// Those that were told to end and hold their memory still.
    leaving: HashMap<WorkerId, u64>,
    /// When an instance took one last.
    taken: HashMap<InstanceKey, Instant>,
    /// When somebody who waited for a worker got one last.
    last_start: Option<Instant>,
}

/// A plugin as one kind of worker runs it. A worker is given only to who wants exactly this: the same files, grants that
/// make the same jail, and the same ways to start fast.
#[derive(Debug)]
struct Wanted {
    package: Package,
    /// The last starts, the newest one at the end.
    starts: Vec<Instant>,
    workers: Vec<Member>,
    /// The most that a worker of it was seen to hold: what loads its plugin still holds less than it will.
    memory: u64,
    failures: u32,
    /// None is started before that.
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    id: WorkerId,
    state: MemberState,
    memory: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberState {
    Starting { since: Instant },
    Warm,
}

impl Wanted {
    fn new(package: Package) -> Self {
        Self {
            package,
            starts: Vec::new(),
            workers: Vec::new(),
            memory: UNMEASURED,
            failures: 0,
            paused_until: None,
        }
    }

    fn last_start(&self) -> Option<Instant> {
        self.starts.last().copied()
    }

    /// How many there should be.
    fn target(&self, limits: &WarmLimits, now: Instant) -> usize {
        if self.last_start().is_none_or(|last| last + limits.recent <= now) {
            return 0;
        }
        let rush = self.starts.iter().filter(|start| **start + RUSH > now).count();
        rush.clamp(1, limits.of_plugin.get())
    }

    /// The next one waits, twice as long each time.
    fn pause(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(now + pause.min(LONGEST_PAUSE));
    }

    fn holds(&self) -> u64 {
        self.workers.iter().map(|member| self.memory_of(member)).sum()
    }

    /// Since when those of it have been starting that are not ready yet.
    fn unfinished(&self) -> impl Iterator<Item = Instant> {
        self.workers.iter().filter_map(|member| match member.state {
            MemberState::Starting { since } => Some(since),
            MemberState::Warm => None,
        })
    }

    fn memory_of(&self, member: &Member) -> u64 {
        member.memory.unwrap_or(self.memory)
    }
}

impl WarmPool {
    pub(crate) fn new(limits: WarmLimits) -> Self {
        Self { limits, wanted: Vec::new(), leaving: HashMap::new(), taken: HashMap::new(), last_start: None }
    }

    /// Notes that a worker is started for somebody who waits for it, or given to one.
    pub(crate) fn note_start(&mut self, now: Instant) {
        self.last_start = Some(now);
    }

    /// When to ask again, if nothing may be started for the pool now: somebody is being started, or was a moment ago.
    pub(crate) fn wait(&self, nobody_starts: bool, now: Instant) -> Option<Instant> {
        let quiet = self.last_start.map(|last| last + QUIET).filter(|quiet| *quiet > now);
        if nobody_starts { quiet } else { quiet.or(Some(now + QUIET)) }
    }

    /// Notes that somebody needs a worker of this, or just had one.
    pub(crate) fn note(&mut self, package: &Package, now: Instant) {
        // A jail around servers is there as soon as one looks, and what its servers get is one organization's.
        if self.limits.memory == 0 || package.descriptor.runtime == Runtime::Servers {
            return;
        }
        let most = self.limits.of_plugin.get();
        let wanted = match self.wanted.iter().position(|wanted| wanted.package == *package) {
            Some(known) => self.wanted.remove(known),
            None => Wanted::new(package.clone()),
        };
        // Those that were asked for last stand at the end.
        self.wanted.push(wanted);
        if let Some(wanted) = self.wanted.last_mut() {
            wanted.starts.push(now);
            let older = wanted.starts.len().saturating_sub(most);
            wanted.starts.drain(..older);
        }
        if self.wanted.len() > REMEMBERED
            && let Some(forgotten) = self.wanted.iter().position(|wanted| wanted.workers.is_empty())
        {
            self.wanted.remove(forgotten);
        }
    }

    /// Whether a warm worker is there for this instance.
    pub(crate) fn has(&self, key: &InstanceKey, package: &Package, now: Instant) -> bool {
        let took_one = self.taken.get(key).is_some_and(|taken| *taken + self.limits.pause > now);
        !took_one && self.find(package).is_some()
    }

    fn find(&self, package: &Package) -> Option<(usize, usize)> {
        let of = self.wanted.iter().position(|wanted| wanted.package == *package)?;
        let warm = |member: &Member| member.state == MemberState::Warm;
        Some((of, self.wanted.get(of)?.workers.iter().position(warm)?))
    }

    /// Takes a warm worker for this instance out of the pool, for good.
    pub(crate) fn take(&mut self, key: &InstanceKey, package: &Package, now: Instant) -> Option<WorkerId> {
        if !self.has(key, package, now) {
            return None;
        }
        let (of, which) = self.find(package)?;
        let wanted = self.wanted.get_mut(of)?;
        let member = wanted.workers.remove(which);
        let pause = self.limits.pause;
        self.taken.retain(|_, taken| *taken + pause > now);
        self.taken.insert(key.clone(), now);
        Some(member.id)
    }

    /// Notes that a worker of this is being started for the pool.
    pub(crate) fn joins(&mut self, package: &Package, worker: WorkerId, now: Instant) {
        let member = Member { id: worker, state: MemberState::Starting { since: now }, memory: None };
        match self.wanted.iter_mut().find(|wanted| wanted.package == *package) {
            Some(wanted) => wanted.workers.push(member),
            None => {
                self.leaving.insert(worker, UNMEASURED);
            }
        }
    }

    /// Notes that it has loaded its plugin.
    pub(crate) fn is_ready(&mut self, worker: WorkerId) {
        if let Some(member) = self.member(worker) {
            member.state = MemberState::Warm;
        }
    }

    /// Notes what a worker holds, in bytes.
    pub(crate) fn measured(&mut self, worker: WorkerId, memory: u64) {
        for wanted in &mut self.wanted {
            if let Some(member) = wanted.workers.iter_mut().find(|member| member.id == worker) {
                member.memory = Some(memory);
                wanted.memory = wanted.memory.max(memory);
            }
        }
    }

    fn member(&mut self, worker: WorkerId) -> Option<&mut Member> {
        self.wanted.iter_mut().flat_map(|wanted| &mut wanted.workers).find(|member| member.id == worker)
    }

    /// Notes that a worker is gone. One that nobody told to end failed: the next one waits.
    pub(crate) fn gone(&mut self, worker: WorkerId, now: Instant) {
        if self.leaving.remove(&worker).is_some() {
            return;
        }
        for wanted in &mut self.wanted {
            if let Some(which) = wanted.workers.iter().position(|member| member.id == worker) {
                wanted.workers.remove(which);
                wanted.pause(now);
            }
        }
    }

    /// Notes that a worker that was taken did not take its organization.
    pub(crate) fn failed(&mut self, package: &Package, now: Instant) {
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.package == *package) {
            wanted.pause(now);
        }
    }

    /// Notes that one did.
    pub(crate) fn served(&mut self, package: &Package) {
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.package == *package) {
            wanted.failures = 0;
            wanted.paused_until = None;
        }
    }

    /// Forgets a plugin. Gives its workers, which are to end.
    pub(crate) fn forget(&mut self, plugin: &PluginId) -> Vec<WorkerId> {
        let (gone, kept) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition::<Vec<_>, _>(|wanted| wanted.package.descriptor.id == *plugin);
        self.wanted = kept;
        gone.into_iter().flat_map(|mut wanted| self.dismiss(&mut wanted, 0)).collect()
    }

    /// Lets all but so many of a plugin's workers go; those that are ready longest stay.
    fn dismiss(&mut self, wanted: &mut Wanted, kept: usize) -> Vec<WorkerId> {
        let kept = kept.min(wanted.workers.len());
        let memory: Vec<_> = wanted.workers.iter().map(|member| wanted.memory_of(member)).collect();
        let leaving = wanted.workers.drain(kept..).map(|member| member.id);
        let leaving: Vec<_> = leaving.collect();
        self.leaving.extend(leaving.iter().copied().zip(memory.into_iter().skip(kept)));
        leaving
    }

    /// What is to be done now. One is started at a time, unless the others have not come up in a while, and only when there
    /// is room for it in the memory that is held at this moment.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let limits = self.limits;
        let counts = self.counts(now);
        let mut turn = Turn::default();
        let mut all = std::mem::take(&mut self.wanted);
        for (wanted, count) in all.iter_mut().zip(&counts) {
            turn.stop.extend(self.dismiss(wanted, *count));
        }
        let held: u64 = all.iter().map(Wanted::holds).chain(self.leaving.values().copied()).sum();
        let unfinished: Vec<_> = all.iter().flat_map(Wanted::unfinished).collect();
        if unfinished.len() < MOST_UNFINISHED && unfinished.iter().all(|since| *since + SLOW <= now) {
            let mut may = all.iter().zip(&counts).rev().filter(|(wanted, count)| {
                wanted.workers.len() < **count
                    // A second one of what does not come up would not come up either.
                    && wanted.unfinished().next().is_none()
                    && wanted.paused_until.is_none_or(|until| until <= now)
                    && held.saturating_add(wanted.memory) <= limits.memory
            });
            turn.start = may.next().map(|(wanted, _)| wanted.package.clone());
        }
        all.retain(|wanted| !wanted.workers.is_empty() || wanted.target(&limits, now) > 0);
        self.wanted = all;
        turn
    }

    /// How many of each plugin there is room for: one of each first, of those that were asked for last, then more.
    fn counts(&self, now: Instant) -> Vec<usize> {
        let mut counts = vec![0; self.wanted.len()];
        let mut left = self.limits.memory;
        for round in 1..=self.limits.of_plugin.get() {
            for (wanted, count) in self.wanted.iter().zip(&mut counts).rev() {
                let memory = wanted.workers.get(round - 1).map_or(wanted.memory, |one| wanted.memory_of(one));
                if *count == round - 1 && wanted.target(&self.limits, now) >= round && memory <= left {
                    left -= memory;
                    *count = round;
                }
            }
        }
        counts
    }

    /// When to look again although nothing happens.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let pauses = self.wanted.iter().filter_map(|wanted| wanted.paused_until);
        let ends = self.wanted.iter().filter_map(|wanted| Some(wanted.last_start()? + self.limits.recent));
        let slow = self.wanted.iter().flat_map(Wanted::unfinished).map(|since| since + SLOW);
        let rushes = self.wanted.iter().filter(|wanted| wanted.workers.len() > 1);
        let rushes = rushes.flat_map(|wanted| wanted.starts.iter().map(|start| *start + RUSH));
        pauses.chain(ends).chain(slow).chain(rushes).filter(|due| *due > now).min()
    }

    /// Whether there is any worker to measure.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.iter().all(|wanted| wanted.workers.is_empty())
    }
}

#[cfg(test)]
mod tests;
