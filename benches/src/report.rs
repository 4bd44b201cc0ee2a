//! What was measured, against what it may be, for people and for programs.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::budgets::{Budget, Budgets};
use crate::metric::{Metric, Sides, Unit};

/// All figures with their verdicts.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    metrics: Vec<Line>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(flatten)]
    metric: Metric,
    budget: Option<Budget>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    /// As good as it should become.
    Goal,
    /// Within its budget.
    Within,
    /// Beyond its budget.
    Beyond,
    /// Only shown.
    Shown,
}

impl Report {
    pub(crate) fn new(metrics: Vec<Metric>, budgets: &Budgets) -> Self {
        let line = |metric: Metric| {
            let budget = budgets.of(metric.name);
            let verdict = match budget {
                None => Verdict::Shown,
                Some(budget) if metric.exceeds(budget.limit) => Verdict::Beyond,
                Some(budget) if budget.goal.is_some_and(|goal| metric.value <= goal) => Verdict::Goal,
                Some(_) => Verdict::Within,
            };
            Line { metric, budget, verdict }
        };
        Self { metrics: metrics.into_iter().map(line).collect() }
    }

    /// Whether no figure is beyond its budget.
    pub(crate) fn within_budgets(&self) -> bool {
        self.metrics.iter().all(|line| line.verdict != Verdict::Beyond)
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, self.json()? + "\n").with_context(|| format!("failed to write {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table
            .set_header(["measured", "Hayloft", "baseline", "figure", "rounds", "budget", "goal", "verdict"]);
        for Line { metric, budget, verdict } in &self.metrics {
            let figure = |value: f64| shown(metric.unit, value);
            let side = |of: fn(&Sides) -> f64| {
                metric.sides.as_ref().map(|sides| shown(sides.unit, of(sides))).unwrap_or_default()
            };
            let range = match metric.rounds.as_slice() {
                [first, .., last] => format!("{} – {}", figure(*first), figure(*last)),
                _ => String::new(),
            };
            table.add_row([
                format!("{} ({})", metric.title, metric.name),
                side(|sides| sides.hayloft),
                side(|sides| sides.baseline),
                figure(metric.value),
                range,
                budget.map(|budget| figure(budget.limit)).unwrap_or_default(),
                budget.and_then(|budget| budget.goal).map(figure).unwrap_or_default(),
                match verdict {
                    Verdict::Goal => "goal reached",
                    Verdict::Within => "within",
                    Verdict::Beyond => "BEYOND",
                    Verdict::Shown => "",
                }
                .to_owned(),
            ]);
        }
        for column in 1..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.fmt(f)
    }
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Ratio => format!("{value:.2} ×"),
        Unit::Microseconds => time(value),
        Unit::Kibibytes => memory(value),
        Unit::Count => format!("{value:.0}"),
    }
}

fn time(microseconds: f64) -> String {
    if microseconds.abs() < 1000.0 {
        format!("{microseconds:.1} µs")
    } else {
        format!("{:.2} ms", microseconds / 1000.0)
    }
}

fn memory(kibibytes: f64) -> String {
    format!("{:.2} MiB", kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_figure_beyond_its_budget_is_told_and_others_pass() {
        let budgets: Budgets = toml::from_str("[a]\nlimit = 2.0\ngoal = 1.0\n[b]\nlimit = 1.5").unwrap();
        let metric = |name, hayloft| {
            Metric::ratio_of(name, "t", &[Duration::from_micros(hayloft)], &[Duration::from_micros(100)])
        };
        let verdicts = |metrics: Vec<Metric>| {
            let report = Report::new(metrics, &budgets);
            (report.metrics.iter().map(|line| line.verdict).collect::<Vec<_>>(), report.within_budgets())
        };
        let good = vec![metric("a", 100), metric("b", 120), metric("c", 900)];
        assert_eq!(verdicts(good), (vec![Verdict::Goal, Verdict::Within, Verdict::Shown], true));
        let bad = vec![metric("a", 150), metric("b", 160)];
        assert_eq!(verdicts(bad), (vec![Verdict::Within, Verdict::Beyond], false));
    }
}
