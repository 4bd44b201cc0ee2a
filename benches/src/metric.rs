//! One measured figure.

use std::time::Duration;

use serde::Serialize;

use crate::load::{Burst, quantile};

/// A figure with what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metric {
    /// Its name in `budgets.toml`.
    pub(crate) name: &'static str,
    /// What a person reads.
    pub(crate) title: &'static str,
    /// What the figure is.
    pub(crate) unit: Unit,
    /// The figure: the median of all rounds, unless the worst one counts.
    pub(crate) value: f64,
    /// What each round gave, sorted.
    pub(crate) rounds: Vec<f64>,
    /// Which of them decide.
    pub(crate) judged: Judged,
    /// What it was made of.
    pub(crate) sides: Option<Sides>,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    /// Hayloft through its baseline: less is better.
    Ratio,
    /// Less is better.
    Microseconds,
    /// Less is better.
    Kibibytes,
    /// How many. Less is better, where there is a limit.
    Count,
}

/// Which rounds decide whether a figure is beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Judged {
    /// At least three quarters of them are beyond it: what a slow moment of the machine did to a few is no regression.
    ByMost,
    /// One is: the limit is a promise about every single answer.
    ByWorst,
}

/// The two sides of a ratio or a difference, each as the median of all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sides {
    /// What both are.
    pub(crate) unit: Unit,
    pub(crate) hayloft: f64,
    pub(crate) baseline: f64,
}

impl Metric {
    /// A ratio of what each round measured on both sides.
    pub(crate) fn ratio(
        name: &'static str,
        title: &'static str,
        hayloft: &[Burst],
        baseline: &[Burst],
        measure: impl Fn(&Burst) -> Duration,
    ) -> Self {
        let side = |bursts: &[Burst]| bursts.iter().map(&measure).collect::<Vec<_>>();
        Self::ratio_of(name, title, &side(hayloft), &side(baseline))
    }

    /// A ratio of durations that belong together pair by pair.
    pub(crate) fn ratio_of(
        name: &'static str,
        title: &'static str,
        hayloft: &[Duration],
        baseline: &[Duration],
    ) -> Self {
        let pairs = hayloft.iter().zip(baseline);
        let rounds = pairs.map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64());
        Self::new(name, title, Unit::Ratio, rounds, Some(Sides::of(hayloft, baseline)))
    }

    /// What durations are longer than those that belong to them.
    pub(crate) fn difference_of(
        name: &'static str,
        title: &'static str,
        hayloft: &[Duration],
        baseline: &[Duration],
    ) -> Self {
        let pairs = hayloft.iter().zip(baseline);
        let rounds = pairs.map(|(ours, theirs)| microseconds(*ours) - microseconds(*theirs));
        Self::new(name, title, Unit::Microseconds, rounds, Some(Sides::of(hayloft, baseline)))
    }

    /// How much more memory is used than by what belongs to it, in KiB.
    pub(crate) fn memory_of(
        name: &'static str,
        title: &'static str,
        hayloft: &[f64],
        baseline: &[f64],
    ) -> Self {
        let rounds = hayloft.iter().zip(baseline).map(|(ours, theirs)| ours - theirs);
        Self::new(name, title, Unit::Kibibytes, rounds, Some(Sides::new(Unit::Kibibytes, hayloft, baseline)))
    }

    /// A ratio of what is no time, pair by pair.
    pub(crate) fn quotient(
        name: &'static str,
        title: &'static str,
        unit: Unit,
        hayloft: &[f64],
        baseline: &[f64],
    ) -> Self {
        let rounds = hayloft.iter().zip(baseline).map(|(ours, theirs)| ours / theirs);
        Self::new(name, title, Unit::Ratio, rounds, Some(Sides::new(unit, hayloft, baseline)))
    }

    /// What each round gave, with nothing beside it.
    pub(crate) fn plain(name: &'static str, title: &'static str, unit: Unit, rounds: &[f64]) -> Self {
        Self::new(name, title, unit, rounds.iter().copied(), None)
    }

    /// How many, over all rounds.
    pub(crate) fn count(name: &'static str, title: &'static str, count: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "nothing here counts beyond 2^52")]
        let count = count as f64;
        Self::plain(name, title, Unit::Count, &[count])
    }

    /// A ratio that stands for all rounds at once.
    pub(crate) fn share(name: &'static str, title: &'static str, value: f64) -> Self {
        Self::new(name, title, Unit::Ratio, [value].into_iter(), None)
    }

    /// A time of each round.
    pub(crate) fn time(
        name: &'static str,
        title: &'static str,
        bursts: &[Burst],
        measure: impl Fn(&Burst) -> Duration,
    ) -> Self {
        let times: Vec<_> = bursts.iter().map(measure).collect();
        Self::time_of(name, title, &times)
    }

    /// Times, one of each round.
    pub(crate) fn time_of(name: &'static str, title: &'static str, times: &[Duration]) -> Self {
        Self::new(name, title, Unit::Microseconds, times.iter().copied().map(microseconds), None)
    }

    fn new(
        name: &'static str,
        title: &'static str,
        unit: Unit,
        rounds: impl Iterator<Item = f64>,
        sides: Option<Sides>,
    ) -> Self {
        let rounds = sorted(rounds);
        Self { name, title, unit, value: quantile(&rounds, 0.5), rounds, judged: Judged::ByMost, sides }
    }

    /// The same with the worst round as the figure, which decides alone: for what may not happen once.
    pub(crate) fn by_worst_round(self) -> Self {
        Self { value: quantile(&self.rounds, 1.0), judged: Judged::ByWorst, ..self }
    }

    /// Whether the rounds that decide are beyond a limit.
    pub(crate) fn exceeds(&self, limit: f64) -> bool {
        match self.judged {
            Judged::ByMost => quantile(&self.rounds, 0.25) > limit,
            Judged::ByWorst => quantile(&self.rounds, 1.0) > limit,
        }
    }
}

impl Sides {
    fn of(hayloft: &[Duration], baseline: &[Duration]) -> Self {
        let side = |side: &[Duration]| side.iter().copied().map(microseconds).collect::<Vec<_>>();
        Self::new(Unit::Microseconds, &side(hayloft), &side(baseline))
    }

    fn new(unit: Unit, hayloft: &[f64], baseline: &[f64]) -> Self {
        let median = |side: &[f64]| quantile(&sorted(side.iter().copied()), 0.5);
        Self { unit, hayloft: median(hayloft), baseline: median(baseline) }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(hayloft: &[u64]) -> Metric {
        let side = |values: &[u64]| values.iter().copied().map(Duration::from_micros).collect::<Vec<_>>();
        Metric::ratio_of("x", "x", &side(hayloft), &side(&[100; 4]))
    }

    #[test]
    fn a_ratio_pairs_what_was_measured_in_the_same_round() {
        let metric = Metric::ratio_of(
            "x",
            "x",
            &[2, 40, 6].map(Duration::from_micros),
            &[1, 10, 1].map(Duration::from_micros),
        );
        assert_eq!(metric.rounds, [2.0, 4.0, 6.0]);
        assert!((metric.value - 4.0).abs() < f64::EPSILON);
        assert_eq!(metric.sides, Some(Sides { unit: Unit::Microseconds, hayloft: 6.0, baseline: 1.0 }));
    }

    #[test]
    fn a_difference_may_be_a_gain() {
        let metric = Metric::difference_of(
            "x",
            "x",
            &[5, 7, 30].map(Duration::from_micros),
            &[4, 9, 10].map(Duration::from_micros),
        );
        assert_eq!(metric.rounds, [-2.0, 1.0, 20.0]);
        assert_eq!(metric.sides, Some(Sides { unit: Unit::Microseconds, hayloft: 7.0, baseline: 9.0 }));
    }

    #[test]
    fn one_bad_round_is_noise_and_most_of_them_are_not() {
        assert!(!metric(&[90, 90, 90, 500]).exceeds(1.0));
        assert!(!metric(&[90, 110, 120, 500]).exceeds(1.0));
        assert!(metric(&[110, 110, 120, 500]).exceeds(1.0));
    }

    #[test]
    fn one_bad_round_counts_where_the_worst_one_does() {
        let metric = metric(&[90, 90, 90, 500]).by_worst_round();
        assert!((metric.value - 5.0).abs() < f64::EPSILON);
        assert!(metric.exceeds(4.9));
        assert!(!metric.exceeds(5.0));
    }
}
