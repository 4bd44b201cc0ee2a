//! `hayloft plugin check`

use std::path::Path;
use std::process::ExitCode;

use hayloft_manifest::Report;
use hayloft_packages::{InstallLimits, archive};
use serde_json::json;

use super::Context;
use crate::cli::{CheckArgs, FormatArgs};
use crate::failure::Failure;
use crate::output;

mod differences;
mod trial;

use trial::Tried;

/// Checks a folder, or the folder that an archive holds, and prints everything that is wrong with it; and what it
/// registers, if it is to be run.
///
/// # Errors
/// When the plugin cannot be used, or nobody reads the report.
pub(crate) async fn run(context: &Context<'_>, args: CheckArgs) -> Result<ExitCode, Failure> {
    if !args.plugin.is_file() {
        let folder = args.plugin.clone();
        return check(context, &folder, args).await;
    }
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::caused("failed to make a folder to unpack in", &error))?;
    let into = scratch.path().join("package");
    let folder = archive::unpack(&args.plugin, &into, InstallLimits::default().room)?;
    check(context, &folder, args).await
}

async fn check(context: &Context<'_>, folder: &Path, args: CheckArgs) -> Result<ExitCode, Failure> {
    let CheckArgs { plugin: named, run, settings, format } = args;
    let report = hayloft_manifest::check(folder);
    let tried = match &report.descriptor {
        Some(descriptor) if run && report.is_usable() => {
            let config = context.load(settings.flags())?.config;
            Some(trial::run(&config, context.environment, folder, descriptor).await?)
        }
        _ => None,
    };
    print(&report, tried.as_ref(), format)?;
    let is_good = tried.as_ref().is_none_or(|tried| !tried.problems.has_errors());
    if report.is_usable() && is_good {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!("the plugin in `{}` cannot be used", named.display())))
}

fn print(report: &Report, tried: Option<&Tried>, format: FormatArgs) -> Result<(), Failure> {
    if format.json {
        let mut all = json!({
            "usable": report.is_usable(),
            "format": report.evidence.as_ref().map(|evidence| evidence.format.to_string()),
            "descriptor": report.descriptor,
            "problems": report.problems,
        });
        if let Some(tried) = tried {
            all["usable"] = (!tried.problems.has_errors()).into();
            all["run"] = json!({ "registration": tried.registration, "problems": tried.problems });
        }
        return output::json(&all);
    }
    output::line(output::plain(&report.to_string()))?;
    let Some(tried) = tried else { return Ok(()) };
    if let Some(registration) = &tried.registration {
        let rows = differences::registered(registration);
        match rows.is_empty() {
            true => output::line("it registers nothing before an organization has it")?,
            false => output::table(["registers", "", ""], rows)?,
        }
    }
    if tried.problems.is_empty() {
        return Ok(());
    }
    output::line(output::plain(tried.problems.to_string().trim_end()))
}
