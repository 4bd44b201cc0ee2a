//! `hayloft doctor`

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use hayloft_sandbox::{IsolationReport, Tier};
use serde::Serialize;

use super::Context;
use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::isolation::open_without;
use crate::ports::SystemEntropy;
use crate::{output, runtime_files, wire};

mod canary;
mod checks;
mod limits;

use canary::{Act, Attack, Findings};
use checks::Check;
use limits::LimitLine;

/// The AppArmor profile that lets Hayloft make user namespaces. An operator may have nothing but the program.
const APPARMOR_PROFILE: &str = include_str!("../../../../docs/operate/hayloft.apparmor");

/// The program that it is for, where it is installed as a rule.
const USUAL_STAGE: &str = "/usr/local/bin/hayloft-stage";

/// What was found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    tier: &'static str,
    /// The weakest tier that `serve` accepts.
    minimum: &'static str,
    isolation: Vec<LayerLine>,
    /// The control groups of a worker, as the kernel names them; empty when there are none.
    control_groups: Vec<String>,
    limits: Vec<LimitLine>,
    checks: Vec<Check>,
    /// What the canary tried; absent when it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    attack: Option<Attack>,
}

/// A measure of the jail.
#[derive(Serialize)]
struct LayerLine {
    name: &'static str,
    on: bool,
    adds: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Says what is enforced on this machine, tries to break it, and says what a server would miss. The exit code is 1
/// when something is missing that `serve` needs, and when the attack succeeded.
///
/// # Errors
/// When the configuration is wrong.
pub(crate) async fn run(context: &Context<'_>, args: DoctorArgs) -> Result<ExitCode, Failure> {
    let config = context.load(args.settings.flags())?.config;
    let executable = std::env::current_exe()
        .map_err(|error| Failure::caused("failed to find this program's own file", &error))?;
    let folders = runtime_files::folders(&config.runtime, &executable);
    let node = runtime_files::node(&config.runtime, &folders, context.environment);
    let programs = node.iter().cloned().collect();
    let stage = runtime_files::stage(&executable)?;
    // Two of them must not take each other's control groups for leftovers.
    let owner = format!("doctor-{}", std::process::id());
    let sandbox = wire::sandbox(&config, programs, stage.clone(), owner).await?;
    let isolation = sandbox.isolation().clone();
    let mut checks = vec![tier(&isolation, config.runtime.isolation)];
    checks.push(match runtime_files::runner(&folders) {
        Some(runner) => Check::good("runner", runner.display().to_string()),
        None => {
            Check::bad("runner", "not found", "make it with `cargo xtask runtime`, or name `--runtime-dir`")
        }
    });
    let (mut attack, mut control_groups) = (None, Vec::new());
    match node {
        Some(node) => {
            let limits = config.limits.resources.of_jail();
            let findings = canary::examine(&sandbox, &node, limits, &SystemEntropy::default()).await;
            let Findings { node: version, attack: outcome, groups } = findings;
            checks.push(checks::node(&node, version));
            checks.push(canary_check(&outcome));
            attack = outcome.ok();
            if has_groups(&isolation) {
                control_groups = groups;
            }
        }
        None => {
            checks.push(Check::bad(
                "node",
                "not found",
                "install Node 20 or newer, or name it with `--node`",
            ));
        }
    }
    checks.push(checks::data_dir(&config.storage.data_dir));
    checks.extend(checks::plugin_dirs(&config));
    let report = Report {
        tier: isolation.tier.as_str(),
        minimum: config.runtime.isolation.as_str(),
        isolation: layers(&isolation),
        control_groups,
        limits: limits::lines(&config, &isolation),
        checks,
        attack,
    };
    let good = report.checks.iter().all(|check| check.ok);
    if args.format.json {
        output::json(&report)?
    } else {
        print(&report, &stage)?
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tier(isolation: &IsolationReport, minimum: Tier) -> Check {
    // Tiers are ordered from the strongest to none.
    if isolation.tier <= minimum {
        Check::good("isolation", format!("`{}`, and at least `{minimum}` is demanded", isolation.tier))
    } else {
        Check::bad(
            "isolation",
            format!("`{}`, and at least `{minimum}` is demanded: no plugin starts", isolation.tier),
            format!("mend what is missing, or accept it with `--isolation {}`", isolation.tier),
        )
    }
}

fn has_groups(isolation: &IsolationReport) -> bool {
    isolation.layers.iter().any(|layer| layer.on && layer.tier() == Some(Tier::A))
}

fn canary_check(outcome: &Result<Attack, String>) -> Check {
    const NAME: &str = "canary";
    let fix = "start no plugin that you do not trust; if the layers above are in force, report this as in SECURITY.md";
    match outcome {
        Ok(attack) if attack.is_held() => {
            Check::good(NAME, format!("all {} acts were refused", attack.acts.len()))
        }
        Ok(attack) if attack.proves() => {
            let succeeded = attack.acts.iter().filter(|act| act.succeeded).count();
            Check::bad(NAME, format!("{succeeded} of {} acts SUCCEEDED", attack.acts.len()), fix)
        }
        Ok(_) => Check::bad(
            NAME,
            "it cannot do what every plugin must be able to, so its refusals prove nothing",
            "see which of its first acts failed, and why",
        ),
        Err(why) => {
            Check::bad(NAME, format!("not tried: {why}"), "mend what keeps Node from running in a jail")
        }
    }
}

fn layers(isolation: &IsolationReport) -> Vec<LayerLine> {
    let line = |layer: &hayloft_sandbox::Layer| LayerLine {
        name: layer.name,
        on: layer.on,
        adds: layer.adds,
        missing: open_without(layer),
        fix: layer.fix.clone(),
    };
    isolation.layers.iter().map(line).collect()
}

fn print(report: &Report, stage: &Path) -> Result<(), Failure> {
    output::line(format_args!("isolation: {}", report.tier))?;
    output::table(
        ["measure", "in force", "what it gives, or what is open without it"],
        report.isolation.iter().map(|layer| {
            let told = layer.missing.clone().unwrap_or_else(|| layer.adds.to_owned());
            [layer.name.to_owned(), yes_or_no(layer.on), told]
        }),
    )?;
    output::table(
        ["limit of a worker", "value", "setting", "kept by"],
        report
            .limits
            .iter()
            .map(|limit| [limit.what, &limit.value, limit.setting, limit.kept_by].map(str::to_owned)),
    )?;
    for group in &report.control_groups {
        output::line(format_args!("control group of the canary: {group}"))?;
    }
    output::table(
        ["needed", "there", "found"],
        report.checks.iter().map(|check| [check.name.to_owned(), yes_or_no(check.ok), check.found.clone()]),
    )?;
    if let Some(attack) = &report.attack {
        print_attack(attack, report.tier == Tier::Off.as_str())?;
    }
    // Several measures may have the same remedy.
    let mut told = BTreeSet::new();
    let fixes = report.isolation.iter().filter_map(|layer| layer.fix.as_deref());
    for fix in fixes.chain(report.checks.iter().filter_map(|check| check.fix.as_deref())) {
        if told.insert(fix) {
            output::line(format_args!("hint: {fix}"))?;
        }
    }
    if told.iter().any(|fix| fix.contains("apparmor_parser")) {
        let profile = APPARMOR_PROFILE.replace(USUAL_STAGE, &stage.display().to_string());
        output::line(format_args!("\n/etc/apparmor.d/hayloft:\n{profile}"))?;
    }
    Ok(())
}

fn print_attack(attack: &Attack, off: bool) -> Result<(), Failure> {
    let rows = |acts: &[Act], good: &'static str, bad: &'static str| -> Vec<[String; 3]> {
        let told = |succeeded| String::from(if succeeded { good } else { bad });
        acts.iter()
            .map(|act| [act.name.clone(), told(act.succeeded), act.why.clone().unwrap_or_default()])
            .collect()
    };
    output::table(["the canary must be able to", "did it", "why not"], rows(&attack.controls, "yes", "NO"))?;
    output::table(
        ["the canary must not be able to", "came of it", "by"],
        rows(&attack.acts, "SUCCEEDED", "refused"),
    )?;
    if off {
        output::line("Nothing keeps a plugin from the host: what the canary did, every plugin can do.")?;
    }
    Ok(())
}

fn yes_or_no(yes: bool) -> String {
    String::from(if yes { "yes" } else { "no" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_for_the_program_that_makes_jails() {
        assert_eq!(APPARMOR_PROFILE.matches(USUAL_STAGE).count(), 1);
    }
}
