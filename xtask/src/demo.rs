//! The demonstration: Hayloft on SQLite with the sample plugins and two organizations, ready to be called.
//!
//! It uses the server as everybody can: its command line, its `ready` line, its administrator's token file and REST.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::workspace::Workspace;

mod keep;
mod page;
mod prepare;
mod rest;
mod server;

use prepare::Organization;
use server::{Event, Server};

/// Where the demonstration listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:3001";

/// How long the server may take until it is ready.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How the demonstration runs.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where to listen; a free port if 3001 is taken
    #[arg(long)]
    listen: Option<String>,
    /// Where the data stays between two runs
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How to compile the binary
    #[arg(long, value_enum, default_value_t = Profile::Fast)]
    profile: Profile,
    /// Prepare and print everything, then stop at once; fails if a plugin is not as it should be
    #[arg(long)]
    once: bool,
}

/// Builds what is missing, starts the server, prepares two organizations, prints how to use them, and stays until
/// somebody presses Ctrl-C.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let binary = build::everything(workspace, options.profile)?;
    let data = options.data_dir.clone().unwrap_or_else(|| workspace.target("demo-data"));
    fs::create_dir_all(&data).with_context(|| format!("failed to make `{}`", data.display()))?;
    let listen = options.listen.clone().unwrap_or_else(free_address);
    let log = data.join("server.log");

    let mut server = Server::start(&binary, &listen, &data, &workspace.path("plugins/examples"), &log)?;
    let address = match server.next_event(Some(START_DEADLINE)) {
        Some(Event::Ready(address)) => address,
        Some(Event::Interrupted) => return server.stop(),
        Some(Event::Ended(status)) => bail!("the server ended before it was ready: {status}\n{}", tail(&log)),
        None => {
            server.stop()?;
            bail!("the server was not ready within {} s\n{}", START_DEADLINE.as_secs(), tail(&log));
        }
    };
    let failures: Vec<String> =
        match prepare::organizations(&address, &data, &workspace.path("plugins/examples")) {
            Ok(organizations) => {
                print!("{}", page::text(&address, &organizations, &workspace.node_folder(), &data, &log));
                organizations.iter().flat_map(Organization::failures).collect()
            }
            Err(error) => {
                server.stop()?;
                return Err(error.context(format!("failed to prepare the demonstration\n{}", tail(&log))));
            }
        };
    if !options.once {
        for failure in &failures {
            eprintln!("{failure}");
        }
        if let Some(Event::Ended(status)) = server.next_event(None) {
            bail!("the server ended: {status}\n{}", tail(&log));
        }
    }
    println!("\nstopping");
    server.stop()?;
    if options.once && !failures.is_empty() {
        bail!("not every plugin is as it should be:\n{}", failures.join("\n"));
    }
    Ok(())
}

fn free_address() -> String {
    match TcpListener::bind(LISTEN) {
        Ok(_) => LISTEN.to_owned(),
        Err(_) => String::from("127.0.0.1:0"),
    }
}

/// The last lines of the log, for whoever must find out what went wrong.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
    format!("the last lines of `{}`:\n{}", log.display(), last.join("\n"))
}
