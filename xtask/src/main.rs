//! The menu behind `make`: what builds, checks, tests and shows the project.
//!
//! Only this program, the test kit and the jail start processes. It must not hold anything that the product itself
//! needs when it runs.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod codegen;
mod command;
mod demo;
mod fix;
mod isolates;
mod npm;
mod runtime;
mod stamp;
mod test;
mod tidy;
mod workspace;

use build::Profile;
use workspace::Workspace;

/// Builds, checks, tests and shows Hayloft.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what compilers do not: the arrows between crates, who may name what, module docs, fresh schemas
    Tidy,
    /// Write the generated contracts in `schemas/` anew
    Codegen {
        /// Write nothing and fail if a file is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Put the program that runs in every worker, and its Node, into `target/runtime`
    Runtime,
    /// Build the `hayloft` binary, what its workers need, and the sample plugins
    Build {
        /// How to compile the binary
        #[arg(long, value_enum, default_value_t = Profile::Dev)]
        profile: Profile,
    },
    /// Start Hayloft with the sample plugins and two organizations
    Demo(demo::Options),
    /// Run every test
    Test(test::Options),
    /// Measure this machine against the budgets; arguments go to the load generator
    Bench {
        /// What to measure, as `hayloft-bench` takes it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Format everything and mend what the linters can mend
    Fix,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of reasons says it all; a trace through this program would only hide it.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Tidy => tidy::run(&workspace),
        Task::Codegen { check: false } => codegen::write(&workspace),
        Task::Codegen { check: true } => codegen::check(&workspace),
        Task::Runtime => runtime::assemble(&workspace),
        Task::Build { profile } => build::everything(&workspace, profile).map(|_| ()),
        Task::Demo(options) => demo::run(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Bench { arguments } => bench::run(&workspace, &arguments),
        Task::Fix => fix::run(&workspace),
    }
}
