//! `hayloft-bench`: what Hayloft costs, as ratios to baselines of the same run.
//!
//! A closed-loop generator drives Hayloft and, interleaved with it, the same work served without Hayloft. Absolute
//! times move with the machine; ratios of one run and processor time for each call hardly do, so those have budgets.
//! It starts everything that it measures itself, knows Hayloft only from outside, and must not reach into any of its
//! crates but the one that starts processes.

mod budgets;
mod callers;
mod cores;
mod cpu;
mod direct_worker;
mod echo;
mod forwarder;
mod ground;
mod load;
mod memory;
mod metric;
mod options;
mod programs;
mod report;
mod suites;

use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser as _, ValueEnum as _};

use crate::budgets::Budgets;
use crate::options::{Options, Suite};
use crate::report::Report;

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread: the generator must take as little as it can from what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(measure(&options)));
    match measured {
        Ok(within_budgets) => ExitCode::from(u8::from(!within_budgets)),
        Err(error) => {
            eprintln!("failed to measure: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Gives whether all figures are within their budgets. What was measured is written down after each suite, so that one
/// that fails costs none of the others.
async fn measure(options: &Options) -> anyhow::Result<bool> {
    let budgets = Budgets::read(&options.budgets)?;
    let (mut metrics, mut failed) = (Vec::new(), Vec::new());
    for suite in Suite::value_variants().iter().copied().filter(|suite| options.wants(*suite)) {
        eprintln!("measuring {suite}");
        match suites::run(suite, options).await {
            Ok(measured) => {
                metrics.extend(measured);
                Report::new(metrics.clone(), &budgets).write_json(&options.output)?;
            }
            Err(error) => {
                eprintln!("failed to measure {suite}: {error:#}");
                failed.push(suite.to_string());
            }
        }
    }
    let mut unknown = budgets.without_figure(&metrics);
    unknown.retain(|name| options.measures(name));
    let report = Report::new(metrics.clone(), &budgets);
    if options.json {
        println!("{}", report.json()?);
    } else {
        println!("{report}");
        println!("written to {}", options.output.display());
    }
    ensure!(failed.is_empty(), "without these suites: {}", failed.join(", "));
    ensure!(
        !options.only.is_empty() || unknown.is_empty(),
        "there are budgets for what is not measured: {}",
        unknown.join(", ")
    );
    // A few short rounds tell nothing about a regression.
    Ok(options.quick || report.within_budgets())
}
