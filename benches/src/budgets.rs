//! What the figures may be: `budgets.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// All budgets by the figure's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Budgets(BTreeMap<String, Budget>);

/// What one figure may be.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Budget {
    /// More than this is a regression.
    pub(crate) limit: f64,
    /// What it should become.
    pub(crate) goal: Option<f64>,
}

impl Budgets {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("failed to parse {}", path.display()))
    }

    /// The names that no figure has: a budget that would never be looked at.
    pub(crate) fn without_figure(&self, metrics: &[Metric]) -> Vec<&str> {
        let measured = |name: &str| metrics.iter().any(|metric| metric.name == name);
        self.0.keys().map(String::as_str).filter(|name| !measured(name)).collect()
    }

    /// The budget of a figure, if it has one.
    pub(crate) fn of(&self, name: &str) -> Option<Budget> {
        self.0.get(name).copied()
    }
}
