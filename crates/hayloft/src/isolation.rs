//! What holds plugins on this machine: demanded at the start, written into the audit trail, told to the web face.

use hayloft_model::{Problem, Problems};
use hayloft_sandbox::{IsolationReport, Layer, Tier};
use hayloft_server::{Isolation, MissingLayer};
use hayloft_store::Store;
use hayloft_store::audit::NewAuditEntry;
use serde_json::{Value, json};

use crate::failure::{Failure, chain};

/// A start that was refused since the machine does not reach what is demanded.
const REFUSED: &str = "isolation.refused";

/// A start with other isolation than the one before.
const IN_FORCE: &str = "isolation.in-force";

/// Refuses to run plugins with less than what is demanded, and says what is missing.
///
/// # Errors
/// When the machine does not reach it.
pub(crate) fn demand(report: &IsolationReport, minimum: Tier) -> Result<(), Failure> {
    // Tiers are ordered from the strongest to none.
    if report.tier <= minimum {
        return Ok(());
    }
    let message = format!(
        "isolation `{minimum}` is demanded, and this machine reaches `{}`: no plugin is started",
        report.tier
    );
    Err(Failure::new(message)
        .problems(problems(report, minimum))
        .hint(format!("`hayloft doctor` tells more; `--isolation {}` accepts what there is", report.tier)))
}

/// What keeps the machine from reaching a tier. Advice that holds for several layers is given once.
fn problems(report: &IsolationReport, minimum: Tier) -> Problems {
    let mut advised = Vec::new();
    let mut problems = Problems::new();
    for layer in lacking(report, minimum) {
        let problem = Problem::error(layer.name, open_without(layer).unwrap_or_default());
        problems.push(match &layer.fix {
            Some(fix) if !advised.contains(&fix) => {
                advised.push(fix);
                problem.hint(fix)
            }
            _ => problem,
        });
    }
    problems
}

/// The layers that a tier has and this machine does not.
fn lacking(report: &IsolationReport, minimum: Tier) -> impl Iterator<Item = &Layer> {
    let belongs = move |layer: &&Layer| layer.tier().is_some_and(|tier| tier >= minimum);
    report.layers.iter().filter(|layer| !layer.on).filter(belongs)
}

/// What is open without a layer, and why it is off. The reason may name files of this machine, so it is for the
/// operator alone.
pub(crate) fn open_without(layer: &Layer) -> Option<String> {
    let open = layer.missing?;
    Some(layer.why.as_ref().map_or_else(|| open.to_owned(), |why| format!("{open} ({why})")))
}

/// Writes a refused start down.
pub(crate) async fn record_refusal(store: &Store, report: &IsolationReport, minimum: Tier) {
    let missing: Vec<_> = lacking(report, minimum)
        .map(|layer| json!({ "layer": layer.name, "why": open_without(layer), "fix": layer.fix }))
        .collect();
    let detail = json!({ "demanded": minimum.as_str(), "tier": report.tier.as_str(), "missing": missing });
    append(store, REFUSED, detail).await;
}

/// Writes down what is in force, if that is not what was in force last.
pub(crate) async fn record_start(store: &Store, report: &IsolationReport) {
    let missing: Vec<_> = report.layers.iter().filter(|layer| !layer.on).map(|layer| layer.name).collect();
    let detail = json!({ "tier": report.tier.as_str(), "missing": missing });
    match store.audit().last_for_host(IN_FORCE).await {
        Ok(Some(last)) if last.detail == detail => {}
        Ok(_) => append(store, IN_FORCE, detail).await,
        Err(error) => {
            tracing::error!(error = chain(&error), "failed to read what isolation was in force before")
        }
    }
}

async fn append(store: &Store, action: &str, detail: Value) {
    let entry =
        NewAuditEntry { actor: String::from("host"), action: action.to_owned(), subject: None, detail };
    if let Err(error) = store.audit().append_for_host(entry).await {
        tracing::error!(error = chain(&error), action, "failed to write into the audit trail");
    }
}

/// The same in the words of the web face, which says it to everybody: without the reasons.
pub(crate) fn told(report: &IsolationReport) -> Isolation {
    let missing = report.layers.iter().filter_map(|layer| {
        Some(MissingLayer { name: layer.name.to_owned(), effect: layer.missing?.to_owned() })
    });
    Isolation { tier: report.tier.to_string(), missing: missing.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tier: Tier, off: &[&'static str]) -> IsolationReport {
        let layer = |name| {
            let missing = off.contains(&name).then_some("it is open");
            let why = missing.map(|_| format!("failed to open `/home/someone/{name}`"));
            let fix = missing.as_ref().map(|_| {
                String::from(if name == "control groups" { "delegate them" } else { "allow namespaces" })
            });
            Layer { name, on: missing.is_none(), adds: "", missing, why, fix }
        };
        let names = ["files", "processes", "own id", "landlock", "control groups"];
        IsolationReport { tier, layers: names.map(layer).into() }
    }

    #[test]
    fn less_than_demanded_is_refused_with_what_is_missing_and_each_advice_once() {
        let weak = report(Tier::C, &["files", "processes", "own id", "control groups"]);
        assert!(demand(&weak, Tier::C).is_ok());
        assert!(demand(&weak, Tier::Off).is_ok());
        insta::assert_snapshot!(demand(&weak, Tier::B).unwrap_err().to_string(), @r"
        error: isolation `B` is demanded, and this machine reaches `C`: no plugin is started
          error: files: it is open (failed to open `/home/someone/files`)
            hint: allow namespaces
          error: processes: it is open (failed to open `/home/someone/processes`)
        hint: `hayloft doctor` tells more; `--isolation C` accepts what there is
        ");
        assert!(
            demand(&weak, Tier::A).unwrap_err().to_string().contains("error: control groups: it is open")
        );
        let almost = report(Tier::B, &["own id", "control groups"]);
        let refusal = demand(&almost, Tier::A).unwrap_err();
        assert!(!refusal.to_string().contains("own id"), "{refusal}");
        assert_eq!(refusal.code(), 1);
    }

    #[test]
    fn the_web_face_tells_what_is_open_and_no_reason() {
        let told = told(&report(Tier::C, &["files", "landlock"]));
        let missing: Vec<_> = told.missing.iter().map(|layer| (&*layer.name, &*layer.effect)).collect();
        assert_eq!(missing, [("files", "it is open"), ("landlock", "it is open")]);
    }
}
