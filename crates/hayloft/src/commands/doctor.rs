//! `hayloft doctor`

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hayloft_sandbox::{Limits, Spawner, Spec, Stdio};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;

use super::Context;
use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::{output, runtime_files};

/// The oldest Node that workers run on.
const OLDEST_NODE: u32 = 20;

/// How long Node may take to say its version.
const NODE_WITHIN: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Serialize)]
struct Report {
    tier: String,
    isolation: Vec<LayerLine>,
    checks: Vec<Check>,
}

/// A measure of the jail.
#[derive(Serialize)]
struct LayerLine {
    name: &'static str,
    on: bool,
    adds: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

/// Something that a server needs on this machine.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), fix: None }
    }

    fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Says what is enforced on this machine and what a server would miss. The exit code is 1 when something is missing
/// that `serve` needs.
///
/// # Errors
/// When the configuration is wrong.
pub(crate) async fn run(context: &Context<'_>, args: DoctorArgs) -> Result<ExitCode, Failure> {
    let config = context.load(args.settings.flags())?.config;
    let executable = std::env::current_exe()
        .map_err(|error| Failure::caused("failed to find this program's own file", &error))?;
    let isolation = hayloft_sandbox::isolation();
    let mut checks = Vec::new();
    let folders = runtime_files::folders(&config.runtime, &executable);
    checks.push(match runtime_files::runner(&folders) {
        Some(runner) => Check::good("runner", runner.display().to_string()),
        None => {
            Check::bad("runner", "not found", "make it with `cargo xtask runtime`, or name `--runtime-dir`")
        }
    });
    checks.push(match runtime_files::node(&config.runtime, &folders, context.environment) {
        Some(node) => check_node(&node, node_version(&node).await),
        None => Check::bad("node", "not found", "install Node 20 or newer, or name it with `--node`"),
    });
    checks.push(data_dir(&config.storage.data_dir));
    checks.extend(plugin_dirs(&config));
    let report = Report {
        tier: isolation.tier.to_string(),
        isolation: isolation
            .layers
            .into_iter()
            .map(|layer| LayerLine {
                name: layer.name,
                on: layer.on,
                adds: layer.adds,
                missing: layer.missing,
                fix: layer.fix,
            })
            .collect(),
        checks,
    };
    let good = report.checks.iter().all(|check| check.ok);
    if args.format.json {
        output::json(&report)?
    } else {
        print(report)?
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: Report) -> Result<(), Failure> {
    output::line(format_args!("isolation: {}", report.tier))?;
    output::table(
        ["measure", "in force", "what it gives, or what is open without it"],
        report.isolation.iter().map(|layer| {
            [layer.name.to_owned(), yes_or_no(layer.on), layer.missing.unwrap_or(layer.adds).to_owned()]
        }),
    )?;
    output::table(
        ["needed", "there", "found"],
        report.checks.iter().map(|check| [check.name.to_owned(), yes_or_no(check.ok), check.found.clone()]),
    )?;
    // Several measures may have the same remedy.
    let mut fixes: Vec<&str> = report.isolation.iter().filter_map(|layer| layer.fix).collect();
    fixes.extend(report.checks.iter().filter_map(|check| check.fix.as_deref()));
    fixes.dedup();
    for fix in fixes {
        output::line(format_args!("hint: {fix}"))?;
    }
    Ok(())
}

fn yes_or_no(yes: bool) -> String {
    String::from(if yes { "yes" } else { "no" })
}

/// What Node says of itself, like every process started through the sandbox.
async fn node_version(node: &Path) -> Result<String, String> {
    let spawner = Spawner::start().map_err(|error| chain(&error))?;
    let mut process = spawner
        .spawn(Spec {
            program: node.to_owned(),
            arguments: vec![OsString::from("--version")],
            working_directory: "/".into(),
            environment: Vec::new(),
            marker: String::from("doctor/node"),
            descriptors: Vec::new(),
            stdin: Stdio::Null,
            stdout: Stdio::Piped,
            stderr: Stdio::Null,
            limits: Limits::default(),
            label: String::from("node --version"),
        })
        .await
        .map_err(|error| chain(&error))?;
    let mut said = String::new();
    if let Some(stdout) = process.take_stdout() {
        // A version is short; anything longer is not Node.
        let mut stdout = stdout.take(100);
        tokio::time::timeout(NODE_WITHIN, stdout.read_to_string(&mut said))
            .await
            .map_err(|_| String::from("it says nothing"))?
            .map_err(|error| chain(&error))?;
    }
    Ok(said.trim().to_owned())
}

fn check_node(node: &Path, version: Result<String, String>) -> Check {
    let fix = || format!("install Node {OLDEST_NODE} or newer, or name it with `--node`");
    match version {
        Err(error) => Check::bad("node", format!("{}: {error}", node.display()), fix()),
        Ok(version) => {
            let major =
                version.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
            let found = format!("{} {version}", node.display());
            match major {
                Some(major) if major >= OLDEST_NODE => Check::good("node", found),
                Some(_) | None => Check::bad("node", found, fix()),
            }
        }
    }
}

fn data_dir(path: &Path) -> Check {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            Check::bad("data folder", format!("{shown}: not a folder"), "name another one with `--data-dir`")
        }
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 == 0 {
                Check::good("data folder", format!("{shown} (mode {mode:03o})"))
            } else {
                let found = format!("{shown}: its mode is {mode:03o}, so others may look into it");
                Check::bad("data folder", found, format!("run `chmod 700 {shown}`"))
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check::good("data folder", format!("{shown}: will be made"))
        }
        Err(error) => {
            Check::bad("data folder", format!("{shown}: {error}"), "name another one with `--data-dir`")
        }
    }
}

fn plugin_dirs(config: &Config) -> Vec<Check> {
    config
        .plugins
        .dirs
        .iter()
        .map(|path| {
            if path.is_dir() {
                let found = hayloft_manifest::discover(path);
                let usable = found.iter().filter(|plugin| plugin.result.0.is_some()).count();
                Check::good("plugins", format!("{}: {usable} of {} can be used", path.display(), found.len()))
            } else {
                let found = format!("{}: not a folder", path.display());
                Check::bad("plugins", found, "name a folder with plugins with `--plugins-dir`")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_silent_nodes_are_not_good_enough() {
        for (version, ok) in
            [("v24.1.0", true), ("v20.0.0", true), ("v18.19.0", false), ("", false), ("24", false)]
        {
            assert_eq!(check_node(Path::new("/node"), Ok(version.to_owned())).ok, ok, "{version}");
        }
        assert!(!check_node(Path::new("/node"), Err("no".to_owned())).ok);
    }

    #[test]
    fn an_open_data_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!data_dir(folder.path()).ok);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(data_dir(folder.path()).ok);
        assert!(data_dir(&folder.path().join("later")).ok);
    }
}
