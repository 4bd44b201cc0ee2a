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
use clap::Parser as _;

use crate::budgets::Budgets;
use crate::options::Options;
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

async fn measure(options: &Options) -> anyhow::Result<bool> {
    let budgets = Budgets::read(&options.budgets)?;
    let metrics = suites::run(options).await?;
    let mut unknown = budgets.without_figure(&metrics);
    unknown.retain(|name| options.measures(name));
    ensure!(
        !options.only.is_empty() || unknown.is_empty(),
        "there are budgets for what is not measured: {}",
        unknown.join(", ")
    );
    let report = Report::new(metrics, &budgets);
    report.write_json(&options.output)?;
    if options.json {
        println!("{}", report.json()?);
    } else {
        println!("{report}");
        println!("written to {}", options.output.display());
    }
    // A few short rounds tell nothing about a regression.
    Ok(options.quick || report.within_budgets())
}
