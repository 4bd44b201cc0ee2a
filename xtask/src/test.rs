//! Every test, in the order in which a failure is cheapest to find.

use std::num::NonZero;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::command::Run;
use crate::npm::{self, Package};
use crate::tidy;
use crate::workspace::Workspace;

/// Which tests to run.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only these steps, by the names that the summary shows (`build` always runs)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// One kind of test.
struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<Outcome>,
}

enum Outcome {
    Passed,
    /// Not run on this machine, and why.
    Skipped(&'static str),
}

const STEPS: [Step; 10] = [
    Step { name: "format", run: format },
    Step { name: "tidy", run: |workspace| tidy::run(workspace).map(|()| Outcome::Passed) },
    Step { name: "clippy", run: clippy },
    Step { name: "rust", run: rust },
    Step { name: "security", run: security },
    Step { name: "doc-tests", run: doc_tests },
    Step { name: "typescript-lint", run: |workspace| root_script(workspace, "lint") },
    Step { name: "typescript", run: |workspace| root_script(workspace, "test") },
    Step { name: "sample-plugins", run: sample_plugins },
    Step { name: "dependencies", run: dependencies },
];

/// Runs the steps one after the other, all of them even if one fails, and prints a summary.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
    if let Some(unknown) =
        options.only.iter().find(|name| *name != "build" && !names.contains(&name.as_str()))
    {
        bail!("there is no step `{unknown}`; the steps are {}", names.join(", "));
    }
    let mut summary = Summary::default();
    // The end-to-end tests need all of it, so without it nothing else is worth its time.
    summary.step("build", || build::everything(workspace, Profile::Dev).map(|_| Outcome::Passed));
    if summary.failed == 0 {
        for step in STEPS
            .iter()
            .filter(|step| options.only.is_empty() || options.only.iter().any(|name| name == step.name))
        {
            summary.step(step.name, || (step.run)(workspace));
        }
    }
    summary.finish()
}

#[derive(Default)]
struct Summary {
    lines: Vec<String>,
    failed: usize,
    total: Duration,
}

impl Summary {
    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = run();
        let took = start.elapsed();
        self.total += took;
        let line = match outcome {
            Ok(Outcome::Passed) => String::from("passed"),
            Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
            Err(error) => {
                self.failed += 1;
                eprintln!("{error:#}");
                String::from("FAILED")
            }
        };
        self.lines.push(format!("{name:<16} {:>7.1} s  {line}", took.as_secs_f64()));
    }

    fn finish(self) -> Result<()> {
        println!("\n== summary, {:.1} s", self.total.as_secs_f64());
        for line in &self.lines {
            println!("{line}");
        }
        match self.failed {
            0 => Ok(()),
            1 => bail!("one step failed"),
            failed => bail!("{failed} steps failed"),
        }
    }
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<Outcome> {
    let binary = workspace.target("debug/hayloft");
    let run = Run::new("cargo", arguments).folder(workspace.root()).environment("HAYLOFT_BIN", binary);
    run.stream().map(|()| Outcome::Passed)
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    cargo(workspace, &["fmt", "--all", "--check"])
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    cargo(workspace, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

fn rust(workspace: &Workspace) -> Result<Outcome> {
    if Run::new("cargo", ["nextest", "--version"]).succeeds() {
        let arguments = "nextest run --workspace --profile ci --test-threads";
        let threads = threads().to_string();
        let filter = [threads.as_str(), "--filter-expr", "not binary(=security)"];
        cargo(workspace, &arguments.split(' ').chain(filter).collect::<Vec<_>>())
    } else {
        let others = "test --workspace --exclude hayloft-tests --lib --bins --tests";
        cargo(workspace, &others.split(' ').collect::<Vec<_>>())?;
        cargo(workspace, &["test", "--package", "hayloft-tests", "--test", "functional"])
    }
}

/// How many tests run at once. More than there are processors, since they also wait: for deadlines, and for programs that
/// start and end.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    processors + processors.div_ceil(2)
}

/// The attacks. As root they run where nothing that is mounted reaches the rest of the machine; they refuse to run
/// elsewhere.
fn security(workspace: &Workspace) -> Result<Outcome> {
    // Of the whole workspace, so that what was built for the other tests serves.
    let nextest = "cargo nextest run --workspace --profile ci --filter-expr binary(=security)";
    let plain = "cargo test --package hayloft-tests --test security";
    let tests = if Run::new("cargo", ["nextest", "--version"]).succeeds() { nextest } else { plain };
    let protected = if is_root() { "unshare --mount --propagation private --" } else { "env" };
    let mut words = protected.split(' ').chain(tests.split(' '));
    let program = words.next().unwrap_or("env");
    let run = Run::new(program, words).folder(workspace.root());
    run.environment("HAYLOFT_BIN", workspace.target("debug/hayloft")).stream().map(|()| Outcome::Passed)
}

/// Whether this process has the rights of root, by the owner of what belongs to it.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// nextest leaves the examples in documentation out.
fn doc_tests(workspace: &Workspace) -> Result<Outcome> {
    cargo(workspace, &["test", "--quiet", "--workspace", "--doc"])
}

fn root_script(workspace: &Workspace, name: &str) -> Result<Outcome> {
    let run = npm::script(workspace, workspace.root(), name);
    // Some of the tests drive the binary, which `build` has made.
    run.environment("HAYLOFT_BIN", workspace.target("debug/hayloft")).stream().map(|()| Outcome::Passed)
}

fn sample_plugins(workspace: &Workspace) -> Result<Outcome> {
    let mut failed = Vec::new();
    for folder in workspace.example_plugins()? {
        if !Package::read(&folder)?.has_script("test") {
            bail!("`{}` has no test", npm::shown(workspace, &folder));
        }
        println!("-- {}", npm::shown(workspace, &folder));
        if let Err(error) = npm::script(workspace, &folder, "test").stream() {
            failed.push(format!("{}: {error}", npm::shown(workspace, &folder)));
        }
    }
    if failed.is_empty() { Ok(Outcome::Passed) } else { bail!("{}", failed.join("\n")) }
}

fn dependencies(workspace: &Workspace) -> Result<Outcome> {
    if !Run::new("cargo", ["deny", "--version"]).succeeds() {
        return Ok(Outcome::Skipped("cargo-deny is not installed (`cargo install --locked cargo-deny`)"));
    }
    cargo(workspace, &["deny", "check", "bans", "licenses", "sources"])
}
