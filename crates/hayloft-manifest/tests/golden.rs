//! Golden folders: what is read from a plugin's files and from a worker's message, and the exact text that a person
//! reads about what is wrong.
//!
//! `tests/golden/<format>/<case>/` holds a plugin's files beside `descriptor.json` and `problems.txt`;
//! `tests/golden/registration/<case>/` holds a plugin's files beside `registration.json` (what its worker sent),
//! `accepted.json` and `problems.txt`. A file that is not there stands for "none". `UPDATE_GOLDEN=1` writes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own data must fail at once")]

use std::fs;
use std::path::{Path, PathBuf};

use hayloft_manifest::{read_plugin, registration};
use hayloft_model::Problems;
use serde::Serialize;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Compares what was read with a golden file, or writes the file when told to.
fn compare(file: &Path, actual: Option<String>, failures: &mut Vec<String>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a person asks this test to write its files by an environment variable"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let expected = fs::read_to_string(file).ok();
    if actual == expected {
        return;
    }
    match (update, &actual) {
        (true, Some(actual)) => fs::write(file, actual).unwrap(),
        (true, None) => fs::remove_file(file).unwrap(),
        (false, _) => failures.push(format!(
            "{}\n--- expected\n{}\n--- actual\n{}\n",
            file.display(),
            expected.as_deref().unwrap_or("(no such file)"),
            actual.as_deref().unwrap_or("(nothing)")
        )),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn text(problems: &Problems) -> Option<String> {
    (!problems.is_empty()).then(|| format!("{problems}\n"))
}

fn finish(cases: usize, failures: &[String]) {
    assert!(cases > 0, "no golden case was found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn folders_are_read_as_their_golden_files_say() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for format in hayloft_manifest::formats::names() {
        for case in folders(&golden().join(format.replace('-', "_"))) {
            cases += 1;
            let (descriptor, problems) = read_plugin(&case);
            assert_eq!(descriptor.is_none(), problems.has_errors(), "{}: {problems}", case.display());
            compare(&case.join("descriptor.json"), descriptor.as_ref().map(json), &mut failures);
            compare(&case.join("problems.txt"), text(&problems), &mut failures);
        }
    }
    finish(cases, &failures);
}

#[test]
fn registrations_are_read_as_their_golden_files_say() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for case in folders(&golden().join("registration")) {
        cases += 1;
        let (descriptor, _) = read_plugin(&case);
        let raw = fs::read_to_string(case.join("registration.json")).unwrap();
        let (registration, problems) =
            registration::read(serde_json::from_str(&raw).unwrap(), &descriptor.unwrap());
        compare(&case.join("accepted.json"), Some(json(&registration)), &mut failures);
        compare(&case.join("problems.txt"), text(&problems), &mut failures);
    }
    finish(cases, &failures);
}

#[test]
fn the_schemas_accept_what_the_readers_accept() {
    for file in hayloft_manifest::schema::all() {
        let validator = jsonschema::validator_for(&file.schema).unwrap();
        let mut accepted = 0;
        for case in folders(&golden().join(file.format.replace('-', "_"))) {
            let manifest = fs::read_to_string(case.join(file.manifest)).ok();
            let manifest = manifest.and_then(|text| serde_json::from_str(&text).ok());
            let Some(manifest) = manifest else { continue };
            let (descriptor, problems) = read_plugin(&case);
            let valid = validator.is_valid(&manifest);
            if descriptor.is_some() && problems.is_empty() {
                accepted += 1;
                let errors: Vec<_> = validator.iter_errors(&manifest).collect();
                assert!(valid, "{}: {errors:?}", case.display());
            }
            // What only the file system can tell, a schema cannot; wrong shapes it must see.
            let wrong_shape = problems.iter().any(|problem| problem.message.starts_with("must be "));
            assert!(!(wrong_shape && valid), "{}: the schema takes a wrong shape", case.display());
        }
        assert!(accepted > 2, "{}: only {accepted} cases without a problem", file.format);
    }
}
