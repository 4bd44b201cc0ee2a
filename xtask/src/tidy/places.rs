//! Documents that lead people into the code lead to what is there.

use std::fs;
use std::path::Path;

use super::Finding;

/// Documents that name files by their path from the root.
const GUIDES: [&str; 1] = ["docs/design/extending.md"];

/// What begins the path of something of ours.
const ROOTS: [&str; 8] =
    ["crates/", "docs/", "packages/", "plugins/", "schemas/", "tests/", "xtask/", "benches/"];

/// Looks for what the documents name.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for guide in GUIDES {
        match fs::read_to_string(root.join(guide)) {
            Ok(text) => findings.extend(missing(guide, &text, |path| root.join(path).exists())),
            Err(error) => findings.push(Finding::new(guide, format!("cannot be read: {error}"))),
        }
    }
    findings
}

fn missing(guide: &str, text: &str, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // Every second part stands between two of the marks.
        let named = line.split('`').skip(1).step_by(2);
        let paths =
            named.filter(|name| ROOTS.iter().any(|root| name.starts_with(root)) && !name.contains(' '));
        for path in paths.filter(|path| !is_there(path)) {
            findings.push(Finding::on_line(
                guide,
                index + 1,
                format!("leads to `{path}`, which is not there"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_its_line() {
        let text = "See `crates/a.rs`, `not/ours.rs` and `crates/b.rs`.\n`cargo xtask tidy` reads `docs/c/` and crates/d.rs.";
        let told = missing("docs/x.md", text, |path| path == "crates/a.rs");
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "docs/x.md:1: leads to `crates/b.rs`, which is not there",
                "docs/x.md:2: leads to `docs/c/`, which is not there",
            ]
        );
    }
}
