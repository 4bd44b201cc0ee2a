//! Every manifest and every plugin that the specification's documents print is a golden case, and nothing of it is left
//! out there.
//!
//! `tests/golden/documents/index.json` lists them with the document, its lines and the case; beside it lies each as it
//! is printed. What a document leaves open (`...`, `{name}`) the case fills in.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own data must fail at once")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

#[derive(Deserialize)]
struct Printed {
    document: u8,
    lines: (usize, usize),
    what: String,
    case: String,
    fragment: String,
    /// Names that stand for others.
    #[serde(default)]
    blanks: BTreeMap<String, String>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn printed() -> Vec<Printed> {
    serde_json::from_str(&fs::read_to_string(golden().join("documents/index.json")).unwrap()).unwrap()
}

/// A text without what does not count: space, comments, the kind of quotes, semicolons.
fn folded(text: &str) -> String {
    static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)(?:^|\s)//.*$").unwrap());
    let text = COMMENT.replace_all(text, "");
    text.chars().filter(|character| !character.is_whitespace() && !"\"'`;".contains(*character)).collect()
}

/// What a printed line says, up to the first thing that it leaves open.
fn said(line: &str) -> String {
    static OPEN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\.\.\.|\{[A-Za-z][A-Za-z -]*[A-Za-z]\}").unwrap());
    let line = line.trim();
    if line.starts_with("/*") || line.starts_with('*') {
        return String::new();
    }
    let end = OPEN.find(line).map_or(line.len(), |open| open.start());
    folded(line.get(..end).unwrap_or(line)).trim_end_matches(',').to_owned()
}

/// All that a plugin's author wrote, and what it was built into.
fn author_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            text.push_str(&author_text(&path));
        } else if !["descriptor.json", "problems.txt"].contains(&&*name) {
            text.push_str(&folded(&fs::read_to_string(&path).unwrap()));
        }
    }
    text
}

#[test]
fn nothing_of_what_the_documents_print_is_left_out() {
    let mut cut = Vec::new();
    for printed in printed() {
        let mut fragment = fs::read_to_string(golden().join("documents").join(&printed.fragment)).unwrap();
        let (first, last) = printed.lines;
        assert_eq!(fragment.lines().count(), last - first + 1, "{}", printed.fragment);
        for (blank, filled) in &printed.blanks {
            fragment = fragment.replace(blank, filled);
        }
        let text = author_text(&golden().join(&printed.case));
        let lines: Vec<String> = fragment.lines().map(said).filter(|line| !line.is_empty()).collect();
        assert!(lines.len() > 2, "{} says nothing", printed.fragment);
        for line in lines.iter().filter(|line| !text.contains(*line)) {
            cut.push(format!(
                "document {}, lines {first}-{last} ({}): `{line}` is not in {}",
                printed.document, printed.what, printed.case
            ));
        }
    }
    assert!(cut.is_empty(), "{}", cut.join("\n"));
}

#[test]
fn each_document_has_its_cases_and_each_case_is_a_plugin() {
    let printed = printed();
    for document in 1..=5 {
        assert!(printed.iter().any(|printed| printed.document == document), "document {document}");
    }
    let cases = printed.iter().map(|printed| golden().join(&printed.case));
    for case in cases {
        let (descriptor, problems) = hayloft_manifest::read_plugin(&case);
        assert!(descriptor.is_some(), "{}: {problems}", case.display());
    }
    // No fragment lies about unused.
    let mut files: Vec<String> = fs::read_dir(golden().join("documents"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "index.json")
        .collect();
    files.sort();
    let mut named: Vec<String> = printed.into_iter().map(|printed| printed.fragment).collect();
    named.sort();
    assert_eq!(files, named);
}
