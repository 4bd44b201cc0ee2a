//! Which crate may depend on which: arrows go down only.

use super::Finding;
use crate::workspace::Crate;

/// The floors from the ground up, each with the crates that it may stand on.
const FLOORS: [(&str, &[&str]); 13] = [
    ("hayloft-model", &[]),
    ("hayloft-manifest", &["hayloft-model"]),
    ("hayloft-store", &["hayloft-model"]),
    ("hayloft-mcp", &["hayloft-model"]),
    ("hayloft-cgroup", &[]),
    ("hayloft-egress", &["hayloft-model"]),
    ("hayloft-stage", &[]),
    ("hayloft-sandbox", &["hayloft-stage", "hayloft-cgroup"]),
    ("hayloft-workers", &["hayloft-sandbox", "hayloft-egress", "hayloft-model"]),
    ("hayloft-packages", &["hayloft-sandbox", "hayloft-manifest", "hayloft-model"]),
    (
        "hayloft-host",
        &[
            "hayloft-workers",
            "hayloft-packages",
            "hayloft-store",
            "hayloft-mcp",
            "hayloft-manifest",
            "hayloft-model",
        ],
    ),
    ("hayloft-server", &["hayloft-host", "hayloft-mcp", "hayloft-model"]),
    (
        "hayloft",
        &[
            "hayloft-server",
            "hayloft-host",
            "hayloft-workers",
            "hayloft-packages",
            "hayloft-sandbox",
            "hayloft-egress",
            "hayloft-mcp",
            "hayloft-store",
            "hayloft-manifest",
            "hayloft-model",
        ],
    ),
];

/// Crates that are never shipped. They may depend on anything, and only each other and tests on them.
const BESIDE: [&str; 4] = ["hayloft-testkit", "hayloft-tests", "hayloft-benches", "xtask"];

/// Foreign crates that only some of ours may depend on, and why.
const WRAPPED: [(&str, &[&str], &str); 8] = [
    ("axum", &["hayloft-server"], "only the web face knows axum"),
    ("sea-orm", &["hayloft-store"], "only the store knows SQL"),
    ("sea-orm-migration", &["hayloft-store"], "only the store knows SQL"),
    ("sqlx", &["hayloft-store"], "only the store knows SQL"),
    ("rmcp", &["hayloft-mcp"], "only one crate knows a protocol revision"),
    ("async-nats", &["hayloft-bus"], "only the bus knows its vendor"),
    ("hickory-resolver", &["hayloft-egress"], "names are looked up where their addresses are vetted"),
    ("tokio-rustls", &["hayloft-egress"], "only the way out makes connections"),
];

/// Foreign crates that some of ours must never depend on, and why.
const BARRED: [(&str, &[&str], &str); 5] = [
    ("hayloft-model", &["tokio", "http", "hyper", "sea-orm"], "the model is pure values"),
    ("hayloft-manifest", &["tokio", "hyper", "ureq"], "the readers touch no network and run nothing"),
    ("hayloft-host", &["hyper", "axum"], "use cases know no web server"),
    ("hayloft-workers", &["axum", "sea-orm"], "processes know neither the web nor rows"),
    (
        "hayloft-store",
        &["http", "hyper", "axum"],
        "what is remembered does not depend on how it is asked for",
    ),
];

/// Every arrow that goes where it must not.
pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    crates.iter().flat_map(check_crate).collect()
}

fn check_crate(from: &Crate) -> Vec<Finding> {
    let name = from.name.as_str();
    let at = from.manifest_path.display().to_string();
    if BESIDE.contains(&name) {
        return Vec::new();
    }
    let Some((height, (_, below))) = FLOORS.iter().enumerate().find(|(_, (floor, _))| *floor == name) else {
        return vec![Finding::new(
            at,
            "the crate stands on no floor; give it one in xtask/src/tidy/arrows.rs",
        )];
    };
    let lower: Vec<&str> = FLOORS.iter().take(height).map(|(floor, _)| *floor).collect();
    let mut findings = Vec::new();
    for dependency in &from.dependencies {
        let to = dependency.name.as_str();
        let is_ours = BESIDE.contains(&to) || FLOORS.iter().any(|(floor, _)| *floor == to);
        let message = match (dependency.kind.as_deref(), is_ours) {
            // Tests may reach further down, and for the test kit; never up.
            (Some("dev"), true) if to == "hayloft-testkit" || lower.contains(&to) => continue,
            (Some("dev"), true) => format!("tests must not depend on `{to}`, which is no lower floor"),
            (Some("dev"), false) => continue,
            (_, true) if BESIDE.contains(&to) => format!("must not depend on `{to}`, which is never shipped"),
            (_, true) if !below.contains(&to) => {
                format!("must not depend on `{to}`: the arrow is not in ARCHITECTURE.md")
            }
            (_, true) => continue,
            (_, false) => match foreign(name, to) {
                Some(reason) => format!("must not depend on `{to}`: {reason}"),
                None => continue,
            },
        };
        findings.push(Finding::new(&at, message));
    }
    findings
}

fn foreign(from: &str, to: &str) -> Option<&'static str> {
    let wrapped = WRAPPED.iter().find(|(wrapped, by, _)| *wrapped == to && !by.contains(&from));
    let barred = BARRED.iter().find(|(who, what, _)| *who == from && what.contains(&to));
    wrapped.or(barred).map(|(_, _, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(name: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let sample = json!([{
            "name": name,
            "manifest_path": "Cargo.toml",
            "dependencies": [{ "name": dependency, "kind": kind }],
        }]);
        let crates: Vec<Crate> = serde_json::from_value(sample).unwrap();
        check(&crates).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_go_down_only() {
        let good = [
            ("hayloft-host", "hayloft-store", None),
            ("hayloft-host", "hayloft-testkit", Some("dev")),
            ("hayloft-host", "hayloft-sandbox", Some("dev")),
            ("hayloft-server", "axum", None),
            ("hayloft-mcp", "tokio", None),
            ("hayloft-tests", "hayloft-testkit", None),
            ("xtask", "hayloft-manifest", None),
        ];
        for (from, to, kind) in good {
            assert_eq!(findings(from, to, kind), [""; 0], "{from} {to}");
        }
        let bad = [
            ("hayloft-model", "hayloft-store", None, "the arrow is not in ARCHITECTURE.md"),
            ("hayloft-host", "hayloft-sandbox", None, "the arrow is not in ARCHITECTURE.md"),
            ("hayloft-server", "hayloft-store", None, "the arrow is not in ARCHITECTURE.md"),
            ("hayloft-store", "hayloft-host", Some("dev"), "which is no lower floor"),
            ("hayloft-host", "hayloft-testkit", None, "which is never shipped"),
            ("hayloft-host", "hayloft-testkit", Some("build"), "which is never shipped"),
            ("hayloft-host", "axum", None, "only the web face knows axum"),
            ("hayloft-server", "sea-orm", None, "only the store knows SQL"),
            ("hayloft-model", "tokio", None, "the model is pure values"),
            ("hayloft-common", "serde", None, "stands on no floor"),
        ];
        for (from, to, kind, expected) in bad {
            let findings = findings(from, to, kind);
            assert!(findings.len() == 1 && findings[0].contains(expected), "{from} {to}: {findings:?}");
        }
    }
}
