//! The closed loop: so many callers, each starting its next call when the last was answered; and the interleaving of
//! several subjects, so that a slow moment of the machine meets all of them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;

use crate::callers::{Caller, Target};
use crate::cpu;

/// Something to call and whose processor time to count.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What it is called in errors.
    pub(crate) name: &'static str,
    /// What is called.
    pub(crate) target: Target,
    /// The process that is charged.
    pub(crate) pid: Option<u32>,
}

/// What some calls of one subject took.
#[derive(Clone, Debug)]
pub(crate) struct Burst {
    /// Each call, sorted.
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu: Duration,
}

impl Burst {
    /// The time that this share of the calls did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        quantile(&self.latencies, share)
    }

    /// Wall time for each call.
    pub(crate) fn time_per_call(&self) -> Duration {
        self.elapsed / u32::try_from(self.latencies.len()).unwrap_or(u32::MAX)
    }

    /// How many calls there were. All of them were answered.
    pub(crate) fn calls(&self) -> usize {
        self.latencies.len()
    }

    /// Processor time of the subject's process for each call.
    pub(crate) fn cpu_per_call(&self) -> Duration {
        self.cpu / u32::try_from(self.latencies.len()).unwrap_or(u32::MAX)
    }
}

/// The value in sorted values that this share of them does not exceed.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> T {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    sorted[place - 1]
}

/// Lets each subject take its turn, `rounds` times: `calls` calls by `callers` callers. Gives for each subject its
/// bursts, one a round.
pub(crate) async fn interleaved(
    subjects: &[Subject],
    callers: usize,
    calls: usize,
    rounds: usize,
) -> anyhow::Result<Vec<Vec<Burst>>> {
    let mut crowds = Vec::new();
    for subject in subjects {
        let crowd = try_join_all((0..callers).map(|_| subject.target.connect())).await;
        let mut crowd = crowd.with_context(|| format!("failed to connect to {}", subject.name))?;
        // Nobody pays for what is only done once: compiling, filling caches, growing buffers.
        burst(subject.name, subject.pid, &mut crowd, calls.div_ceil(4)).await?;
        crowds.push(crowd);
    }
    let mut bursts = vec![Vec::with_capacity(rounds); subjects.len()];
    for _ in 0..rounds {
        for ((subject, crowd), bursts) in subjects.iter().zip(&mut crowds).zip(&mut bursts) {
            bursts.push(burst(subject.name, subject.pid, crowd, calls).await?);
        }
    }
    Ok(bursts)
}

/// So many calls by these callers at once, who share them equally; `pid` is charged.
pub(crate) async fn burst(
    name: &str,
    pid: Option<u32>,
    callers: &mut [Caller],
    calls: usize,
) -> anyhow::Result<Burst> {
    // While others took their turn, a server may have closed connections that nobody used.
    try_join_all(callers.iter_mut().map(Caller::reopen)).await?;
    let each = calls.div_ceil(callers.len());
    let latencies = RefCell::new(Vec::with_capacity(each * callers.len()));
    let cpu_time = || pid.map_or(Ok(Duration::ZERO), cpu::time_of);
    let cpu_before = cpu_time()?;
    let start = Instant::now();
    let loops = callers.iter_mut().map(async |caller| {
        for _ in 0..each {
            let start = Instant::now();
            caller.call().await?;
            latencies.borrow_mut().push(start.elapsed());
        }
        anyhow::Ok(())
    });
    try_join_all(loops).await.with_context(|| format!("a call to {name} failed"))?;
    let elapsed = start.elapsed();
    let cpu = cpu_time()?.saturating_sub(cpu_before);
    let mut latencies = latencies.into_inner();
    latencies.sort_unstable();
    Ok(Burst { latencies, elapsed, cpu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<u32> = (1..=100).collect();
        for (share, expected) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(quantile(&values, share), expected, "{share}");
        }
        assert_eq!(quantile(&[7], 0.5), 7);
    }
}
