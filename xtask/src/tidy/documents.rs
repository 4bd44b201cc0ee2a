//! Documents name what is there: their links lead somewhere, and the paths of our code that they name exist.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::Finding;

/// Tells what was, so it may name what is no more.
const HISTORY: &str = "CHANGELOG.md";

/// Folders whose files are named by their whole path.
const FOLDERS: [&str; 7] =
    ["benches/", "crates/", "docs/", "plugins/examples/", "schemas/", "tests/", "xtask/"];

/// All paths of the repository, and the folders among them.
pub(super) struct Tree(BTreeSet<String>);

impl Tree {
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a str>) -> Self {
        let with_folders = |path: &'a str| Path::new(path).ancestors().map(|path| path.display().to_string());
        Self(files.flat_map(with_folders).collect())
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path.trim_end_matches('/'))
    }

    /// Whether there is a file or a folder of this name, or a file of our code that is called so.
    fn has_code(&self, path: &str) -> bool {
        ["", ".rs", ".ts"].iter().any(|ending| self.has(&format!("{}{ending}", path.trim_end_matches('/'))))
    }

    /// The same for a path that a document names as it is seen from where the document lies.
    fn has_beside(&self, document: &str, path: &str) -> bool {
        ["", "src/"].iter().any(|folder| self.has_code(&relative_to(document, &format!("{folder}{path}"))))
    }

    /// Whether `host/tools/call` and its like, which leave out what is the same for all crates, name something.
    fn has_in_crate(&self, path: &str) -> Option<bool> {
        let (name, rest) = path.split_once('/')?;
        let folder = format!("crates/hayloft-{name}");
        self.has(&folder).then(|| {
            self.has_code(&format!("{folder}/src/{rest}")) || self.has_code(&format!("{folder}/{rest}"))
        })
    }
}

/// Checks all documents: paths and texts.
pub(super) fn check(documents: &[(String, String)], tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in documents {
        for (number, line) in prose(text) {
            for link in links(line) {
                if let Some(message) = dead_link(path, link, documents, tree) {
                    findings.push(Finding::on_line(path, number, message));
                }
            }
            if path == HISTORY {
                continue;
            }
            for name in code(line).filter(|name| is_missing(name, path, tree)) {
                findings.push(Finding::on_line(path, number, format!("names `{name}`, which is not there")));
            }
        }
    }
    findings
}

/// Why a link leads nowhere, if it does.
fn dead_link(path: &str, link: &str, documents: &[(String, String)], tree: &Tree) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (target, heading) = link.split_once('#').map_or((link, None), |(target, at)| (target, Some(at)));
    let target = match target {
        "" => path.to_owned(),
        target => relative_to(path, target),
    };
    if !tree.has(&target) {
        return Some(format!("links to `{link}`, which is not there"));
    }
    let (heading, (_, text)) = (heading?, documents.iter().find(|(path, _)| *path == target)?);
    let mut headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let is_there = headings.any(|title| anchor(title) == heading);
    (!is_there).then(|| format!("links to `{link}`, and there is no such heading"))
}

/// The path that a link in a document names.
fn relative_to(document: &str, target: &str) -> String {
    let mut path = Path::new(document).parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.display().to_string()
}

/// The name under which a heading is linked to.
fn anchor(title: &str) -> String {
    let kept = title.trim_start_matches('#').trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// Whether a text is the path of something of ours that does not exist.
fn is_missing(name: &str, document: &str, tree: &Tree) -> bool {
    let is_path = name.contains('/')
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'.' | b'-' | b'_')
        });
    if !is_path || tree.has_code(name) || tree.has_beside(document, name) {
        return false;
    }
    match tree.has_in_crate(name) {
        Some(is_there) => !is_there,
        None => FOLDERS.iter().any(|folder| name.starts_with(folder)),
    }
}

/// The lines outside of fenced blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// Where the links of a line lead.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// What stands between back-ticks in a line.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(documents: &[(&str, &str)]) -> Vec<String> {
        let documents: Vec<_> =
            documents.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let code = [
            "crates/hayloft-host/src/tools/call.rs",
            "crates/hayloft-host/policy.json",
            "packages/own/src/host/own.ts",
            "tests/a.rs",
        ];
        let tree = Tree::new(documents.iter().map(|(path, _)| &**path).chain(code));
        check(&documents, &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_may_be_named() {
        let text = "# Top\n[a](docs/b.md), [b](docs/b.md#how-it-is), [c](#top), [d](https://x.example/y), [e](docs)\n\
                    `host/tools/call`, `host/tools`, `host/policy.json`, `tests/a.rs`, `tests/`, `a/b`, `tests/NAME`, `tests/*`\n\
                    ```\n[x](nowhere.md) `tests/nowhere`\n```\n";
        let other = "## How it *is*?\n[up](../README.md) [beside](./b.md)\n";
        let own = "`host/own`, `src/host/own.ts`\n";
        let documents = [("README.md", text), ("docs/b.md", other), ("packages/own/README.md", own)];
        assert_eq!(findings(&documents), [] as [&str; 0]);
        // What was need not be there any more.
        assert_eq!(findings(&[("CHANGELOG.md", "`tests/gone.rs`")]), [] as [&str; 0]);
    }

    #[test]
    fn what_is_not_there_is_told_with_its_line() {
        let text = "\n[a](docs/c.md)\n[b](docs/b.md#how)\n`host/tools/calls` and `tests/b.rs`\n";
        assert_eq!(
            findings(&[("README.md", text), ("docs/b.md", "# Other\n[x](c.md)\n")]),
            [
                "README.md:2: links to `docs/c.md`, which is not there",
                "README.md:3: links to `docs/b.md#how`, and there is no such heading",
                "README.md:4: names `host/tools/calls`, which is not there",
                "README.md:4: names `tests/b.rs`, which is not there",
                "docs/b.md:2: links to `c.md`, which is not there",
            ]
        );
    }
}
