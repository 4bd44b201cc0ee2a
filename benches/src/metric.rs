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
    /// The figure: the median of all rounds.
    pub(crate) value: f64,
    /// What each round gave, sorted.
    pub(crate) rounds: Vec<f64>,
    /// The two sides of a ratio, in microseconds.
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
}

/// The two sides of a ratio, each as the median of all rounds, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sides {
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
        let rounds = sorted(pairs.map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()));
        let median = |side: &[Duration]| quantile(&sorted(side.iter().copied().map(microseconds)), 0.5);
        let sides = Sides { hayloft: median(hayloft), baseline: median(baseline) };
        Self { name, title, unit: Unit::Ratio, value: quantile(&rounds, 0.5), rounds, sides: Some(sides) }
    }

    /// A time of each round.
    pub(crate) fn time(
        name: &'static str,
        title: &'static str,
        bursts: &[Burst],
        measure: impl Fn(&Burst) -> Duration,
    ) -> Self {
        let rounds = sorted(bursts.iter().map(|burst| microseconds(measure(burst))));
        Self { name, title, unit: Unit::Microseconds, value: quantile(&rounds, 0.5), rounds, sides: None }
    }

    /// Whether the figure is beyond a limit even with the noise of the machine taken off: at least three quarters of
    /// the rounds were.
    pub(crate) fn exceeds(&self, limit: f64) -> bool {
        quantile(&self.rounds, 0.25) > limit
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
        assert_eq!(metric.sides, Some(Sides { hayloft: 6.0, baseline: 1.0 }));
    }

    #[test]
    fn one_bad_round_is_noise_and_most_of_them_are_not() {
        assert!(!metric(&[90, 90, 90, 500]).exceeds(1.0));
        assert!(!metric(&[90, 110, 120, 500]).exceeds(1.0));
        assert!(metric(&[110, 110, 120, 500]).exceeds(1.0));
    }
}
