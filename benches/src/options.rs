//! The command line.

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use hayloft_testkit::workspace;

/// Measures Hayloft beside its baselines and compares the ratios with their budgets.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hayloft-bench",
    after_help = "Exit code 1: a ratio is beyond its budget. 2: it could not be measured."
)]
pub(crate) struct Options {
    /// A few short rounds: whether everything runs, not what it costs. Budgets are shown and not enforced.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these suites.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Suite>,
    /// Only these attacks of the suite `neighbours`, such as `connections`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) attacks: Vec<String>,
    /// Print JSON in place of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// The `hayloft` binary; the one built with the same profile if absent.
    #[arg(long, default_value_os_t = workspace::hayloft_binary())]
    pub(crate) hayloft: PathBuf,
    /// The ratios that must not be exceeded.
    #[arg(long, default_value_os_t = workspace::root().join("benches/budgets.toml"))]
    pub(crate) budgets: PathBuf,
    /// Where the JSON is written.
    #[arg(long, default_value_os_t = workspace::root().join("target/bench.json"))]
    pub(crate) output: PathBuf,
}

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// What the generator itself can do.
    Generator,
    /// Tool calls through the MCP endpoint.
    ToolCall,
    /// Many callers and sessions at once, and what they leave behind.
    Crowd,
    /// Requests to a plugin's route.
    Route,
    /// Starts of workers.
    Start,
    /// First calls to plugins of which a worker is ready before it is known for whom.
    Warm,
    /// Workers in jails of each tier, beside the same worker without a jail.
    Jail,
    /// Tool calls of one organization while a plugin of another does its worst.
    Neighbours,
    /// The way out of a jail.
    Egress,
    /// Starts of a plugin with real dependencies, bundled and from its files.
    Packages,
    /// Starts of Hayloft itself.
    Launch,
    /// What is saved in a plugin's folder until it serves.
    Reload,
    /// What idle workers hold.
    Idle,
    /// Many starts at once.
    Storm,
    /// What comes back after a worker or the host was killed, and how soon.
    Recovery,
    /// Many organizations with many plugins, all running.
    Tenants,
    /// Calls and memory as organizations become many.
    Growth,
    /// Ten thousand starts and stops.
    Cycles,
    /// An hour of everything at once. Only when it is asked for.
    Soak,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("a suite", |value| value.get_name()))
    }
}

impl Suite {
    /// Whether it takes so long that it is only run when it is asked for.
    const fn is_long(self) -> bool {
        matches!(self, Self::Soak)
    }
}

impl Options {
    /// Whether a suite was asked for.
    pub(crate) fn wants(&self, suite: Suite) -> bool {
        if self.only.is_empty() { !suite.is_long() } else { self.only.contains(&suite) }
    }

    /// Whether the figure of this name is measured.
    pub(crate) fn measures(&self, figure: &str) -> bool {
        let suite = figure.split_once('.').and_then(|(suite, _)| Suite::from_str(suite, false).ok());
        suite.is_none_or(|suite| self.wants(suite))
    }

    /// How often each subject takes its turn.
    pub(crate) const fn rounds(&self) -> usize {
        if self.quick { 3 } else { 9 }
    }

    /// How many rounds there are of what takes long.
    pub(crate) const fn long_rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// A number of things, or few enough of them to see that it works.
    pub(crate) const fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// A number of calls, or enough of them to see that it works.
    pub(crate) const fn calls(&self, full: usize) -> usize {
        if self.quick { full / 20 } else { full }
    }
}
