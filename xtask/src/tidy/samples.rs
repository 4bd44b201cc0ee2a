//! Everything that makes a plugin format: a reader, a runner, golden cases and a sample plugin. A format that lacks one
//! of them is half a format.

use std::path::Path;

use super::Finding;

/// Where the parts of formats are.
const READERS: &str = "crates/hayloft-manifest/src/formats";
const RUNNERS: &str = "packages/plugin-runner/src/formats";
const GOLDEN: &str = "crates/hayloft-manifest/tests/golden";
const SAMPLES: &str = "plugins/examples";

/// The parts that formats lack.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let present: Vec<String> = hayloft_manifest::discover(&root.join(SAMPLES))
        .iter()
        // Whether it is built yet does not matter here, only what it is written in.
        .filter_map(|found| hayloft_manifest::probe(&found.root).0)
        .map(|evidence| evidence.format.0)
        .collect();
    missing(root, &present, hayloft_manifest::formats::names())
}

fn missing<'a>(root: &Path, samples: &[String], formats: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for format in formats {
        let folded = format.replace('-', "_");
        for (place, name, what) in [
            (READERS, format!("{folded}.rs"), "reader"),
            (RUNNERS, format!("{format}.ts"), "runner"),
            (GOLDEN, folded.clone(), "golden cases"),
        ] {
            if !root.join(place).join(&name).exists() {
                findings.push(Finding::new(
                    place,
                    format!("has no `{name}`: the format `{format}` lacks its {what}"),
                ));
            }
        }
        if !samples.iter().any(|sample| sample == format) {
            findings.push(Finding::new(SAMPLES, format!("has no sample plugin in the format `{format}`")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_lacks_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for place in [READERS, RUNNERS, GOLDEN] {
            std::fs::create_dir_all(root.join(place)).unwrap();
        }
        std::fs::write(root.join(READERS).join("format_one.rs"), "").unwrap();
        std::fs::write(root.join(RUNNERS).join("format-one.ts"), "").unwrap();
        std::fs::create_dir(root.join(GOLDEN).join("format_one")).unwrap();
        let present = [String::from("format-one")];
        assert_eq!(missing(root, &present, ["format-one"].into_iter()), []);
        let lacking = missing(root, &present, ["format-two"].into_iter());
        let lacking: Vec<String> = lacking.iter().map(ToString::to_string).collect();
        assert_eq!(
            lacking,
            [
                "crates/hayloft-manifest/src/formats: has no `format_two.rs`: the format `format-two` lacks its reader",
                "packages/plugin-runner/src/formats: has no `format-two.ts`: the format `format-two` lacks its runner",
                "crates/hayloft-manifest/tests/golden: has no `format_two`: the format `format-two` lacks its golden cases",
                "plugins/examples: has no sample plugin in the format `format-two`",
            ]
        );
    }
}
