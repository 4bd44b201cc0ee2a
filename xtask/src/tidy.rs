//! What compilers do not check: that the walls of ARCHITECTURE.md still stand.
//!
//! Each check is a function from text to findings, so that its tests can hand it a bad sample.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::codegen;
use crate::npm;
use crate::workspace::Workspace;

mod arrows;
mod documents;
mod formats;
mod names;
mod rust;
mod samples;
mod size;
mod waits;

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 5] = [".git", "node_modules", "target", "dist", "data"];

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `crates/x/src/y.rs:12`, or a file alone.
    at: String,
    message: String,
}

impl Finding {
    fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }

    fn on_line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Checks the whole repository and prints every finding.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut findings = arrows::check(workspace.crates());
    let words: Vec<&str> = hayloft_manifest::formats::words().collect();
    let mut files = Vec::new();
    let mut sources = Vec::new();
    let mut documents = Vec::new();
    let mut parsed = Vec::new();
    list(workspace.root(), &mut files)?;
    files.sort();
    for file in &files {
        let path = npm::shown(workspace, file);
        findings.extend(names::check_path(&path));
        findings.extend(formats::check_path(&path, &words));
        // What is no text holds no words.
        let Ok(text) = fs::read_to_string(file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                match rust::Source::parse(&text) {
                    Some(source) => {
                        findings.extend(names::check_rust(&path, &text, &source));
                        findings.extend(formats::check_rust(&path, &source, &words));
                        parsed.push((path.clone(), source));
                    }
                    None => findings.push(Finding::new(&path, "is not Rust")),
                }
                sources.push((path, text));
            }
            Some("ts" | "js" | "mjs" | "cjs" | "vue") => {
                findings.extend(names::check_typescript(&path, &text));
                findings.extend(formats::check_text(&path, &text, &words));
            }
            // What stands in a test's folder is the test's own.
            Some("md") if !path.contains("/test") => documents.push((path, text)),
            _ if path.contains("/src/") => findings.extend(formats::check_text(&path, &text, &words)),
            _ => {}
        }
    }
    findings.extend(size::check(sources.iter().map(|(path, text)| (&**path, &**text))));
    let paths: Vec<String> = files.iter().map(|file| npm::shown(workspace, file)).collect();
    let tree = documents::Tree::new(paths.iter().map(String::as_str));
    findings.extend(documents::check(&documents, &tree));
    findings.extend(waits::check(parsed.iter().map(|(path, source)| (&**path, source))));
    findings.extend(samples::check(workspace.root()));
    match codegen::stale_files(workspace) {
        Ok(stale) => {
            let message = "is not as the code says; run `make codegen`";
            findings.extend(stale.into_iter().map(|file| Finding::new(file, message)));
        }
        // What was found so far is told all the same.
        Err(error) => {
            findings.push(Finding::new("schemas", format!("cannot be compared with the code: {error:#}")))
        }
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("one place is not tidy"),
        count => bail!("{count} places are not tidy"),
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("failed to read `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let kind = entry.file_type().with_context(failed)?;
        let name = entry.file_name();
        if kind.is_dir() && !NOT_OURS.iter().any(|other| name == *other) {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}
