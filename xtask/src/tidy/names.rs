//! Who may name what: frameworks, SQL, `unsafe`, processes. And what every source file has.

use super::Finding;
use super::rust::{Kind, Source};

/// Words of Rust code that only some folders may use, and why.
const WORDS: [(&[&str], &[&str], &str); 4] = [
    (&["axum"], &["crates/hayloft-server/"], "only hayloft-server may name axum"),
    (
        &["sqlx", "sea_orm", "sea_query", "sea_orm_migration"],
        &["crates/hayloft-store/"],
        "only hayloft-store may name the database's libraries",
    ),
    (&["rmcp"], &["crates/hayloft-mcp/"], "only hayloft-mcp may name a library of the protocol"),
    (&["unsafe"], &["crates/hayloft-stage/"], "only hayloft-stage may be unsafe"),
];

/// Folders of the jail, where processes start.
const JAIL_FOLDERS: [&str; 3] =
    ["crates/hayloft-sandbox/", "crates/hayloft-stage/", "crates/hayloft-cgroup/"];

/// Folders whose programs start processes and speak of formats because they build and test the product.
const TEST_FOLDERS: [&str; 4] = ["tests/", "benches/", "xtask/", "crates/hayloft-testkit/"];

/// How SQL begins.
const SQL: [&str; 11] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "CREATE UNIQUE ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
    "BEGIN IMM",
];

/// What a path alone says.
pub(super) fn check_path(path: &str) -> Vec<Finding> {
    if path.ends_with("/mod.rs") {
        return vec![Finding::new(
            path,
            "a module's file is named after it: write `name.rs` beside the folder `name`",
        )];
    }
    Vec::new()
}

/// Everything that a Rust file must not say, and what it must.
pub(super) fn check_rust(path: &str, text: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_module(path) && !text.trim_start().starts_with("//!") {
        findings.push(Finding::on_line(
            path,
            1,
            "begins without `//!`: say what the module is for and must not know",
        ));
    }
    for attribute in &source.attributes {
        if attribute.is("allow") {
            let message = "`allow` hides what has gone away; write `#[expect(…, reason = \"…\")]`";
            findings.push(Finding::on_line(path, attribute.line, message));
        }
        if attribute.is("ignore") {
            findings.push(Finding::on_line(
                path,
                attribute.line,
                "an ignored test is no test; mend or delete it",
            ));
        }
    }
    let in_tests = TEST_FOLDERS.iter().any(|folder| path.starts_with(folder)) || is_test_file(path);
    for (index, token) in source.tokens.iter().enumerate() {
        let mut found = |message: &str| findings.push(Finding::on_line(path, token.line, message));
        match &token.kind {
            Kind::Word(word) => {
                for (words, folders, message) in WORDS {
                    if words.contains(&word.as_str())
                        && !folders.iter().any(|folder| path.starts_with(folder))
                    {
                        found(message);
                    }
                }
                let may_start_processes =
                    in_tests || JAIL_FOLDERS.iter().any(|folder| path.starts_with(folder));
                if word == "process" && !may_start_processes && names_command(source, index) {
                    found("only hayloft-sandbox and hayloft-stage may start processes");
                }
            }
            Kind::Text(literal) => {
                let content =
                    literal.trim_start_matches(['b', 'r', 'c', '#']).trim_start_matches('"').trim_start();
                let is_update = content.starts_with("UPDATE ") && content.contains(" SET ");
                let is_sql = is_update || SQL.iter().any(|beginning| begins_statement(content, beginning));
                if is_sql && !path.starts_with("crates/hayloft-store/") {
                    found("only hayloft-store may hold SQL");
                }
            }
            Kind::Mark(_) | Kind::Open(_) | Kind::Close(_) => {}
        }
    }
    findings
}

/// Everything that a TypeScript or JavaScript file must not say.
pub(super) fn check_typescript(path: &str, text: &str) -> Vec<Finding> {
    let is_test = path.contains(".test.") || path.contains("/test/");
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut found = |message: &str| findings.push(Finding::on_line(path, index + 1, message));
        let code = line.trim_start();
        if ["//", "*", "/*"].iter().any(|comment| code.starts_with(comment)) {
            continue;
        }
        if is_test && ["it", "test", "describe"].iter().any(|what| is_left_out(code, what)) {
            found("a test that is left out, or leaves others out, is no test; mend or delete it");
        }
    }
    findings
}

/// Whether more follows after the beginning than the literal's end: a beginning alone is a word, not a statement.
fn begins_statement(content: &str, beginning: &str) -> bool {
    content.strip_prefix(beginning).is_some_and(|rest| !rest.trim_end_matches(['"', '#']).is_empty())
}

fn is_left_out(code: &str, what: &str) -> bool {
    let begins = |ending: &str| code.starts_with(&format!("{what}.{ending}"));
    begins("skip(") || begins("only(") || begins("todo(")
}

/// Whether a file is a module of the product, and not a test of it.
fn is_module(path: &str) -> bool {
    let in_sources = path.contains("/src/") || path.starts_with("src/");
    in_sources && !is_test_file(path)
}

fn is_test_file(path: &str) -> bool {
    let in_crate = path.strip_prefix("crates/").and_then(|path| path.split_once('/')).map(|(_, rest)| rest);
    in_crate.is_some_and(|rest| rest.starts_with("tests/") || rest.starts_with("benches/"))
        || path.ends_with("/tests.rs")
        || path.contains("/src/tests/")
}

/// Whether `process` at this index is the beginning of `process::Command` or `process::{…, Command, …}`.
fn names_command(source: &Source, index: usize) -> bool {
    let kind = |offset: usize| source.tokens.get(index + offset).map(|token| &token.kind);
    if kind(1) != Some(&Kind::Mark(':')) || kind(2) != Some(&Kind::Mark(':')) {
        return false;
    }
    if kind(3) == Some(&Kind::Open('{')) {
        let inside = source.tokens.iter().skip(index + 4).take_while(|token| token.kind != Kind::Close('}'));
        return inside.into_iter().any(|token| token.kind == Kind::Word(String::from("Command")));
    }
    source.word(index + 3) == Some("Command")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [&str; 0] = [];

    fn rust(path: &str, text: &str) -> Vec<String> {
        let text = format!("//! Docs.\n{text}");
        check_rust(path, &text, &Source::parse(&text).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bad_rust_is_found_with_its_line() {
        let host = "crates/hayloft-host/src/x.rs";
        let table = [
            ("use axum::Router;", "only hayloft-server may name axum"),
            ("fn x(_: sea_orm::DbErr) {}", "only hayloft-store may name the database's libraries"),
            ("use rmcp::model;", "only hayloft-mcp may name a library of the protocol"),
            ("fn x() { unsafe { y() } }", "only hayloft-stage may be unsafe"),
            ("use std::process::Command;", "only hayloft-sandbox and hayloft-stage may start processes"),
            (
                "use tokio::process::{Child, Command};",
                "only hayloft-sandbox and hayloft-stage may start processes",
            ),
            ("const X: &str = \"SELECT * FROM t\";", "only hayloft-store may hold SQL"),
            ("const X: &str = r#\" UPDATE t SET a = 1\"#;", "only hayloft-store may hold SQL"),
            ("fn x() { y(format!(\"INSERT INTO {t}\")) }", "only hayloft-store may hold SQL"),
            (
                "#[allow(dead_code)] fn x() {}",
                "`allow` hides what has gone away; write `#[expect(…, reason = \"…\")]`",
            ),
            ("#[test] #[ignore] fn x() {}", "an ignored test is no test; mend or delete it"),
        ];
        for (text, expected) in table {
            assert_eq!(rust(host, text), [format!("{host}:2: {expected}")], "{text}");
        }
        let undocumented = check_rust(host, "\nuse x::y;\n", &Source::parse("use x::y;").unwrap());
        assert!(undocumented.len() == 1 && undocumented[0].message.starts_with("begins without `//!`"));
        assert_eq!(check_path("crates/x/src/y/mod.rs").len(), 1);
    }

    #[test]
    fn good_rust_is_left_alone() {
        for (path, text) in [
            ("crates/hayloft-server/src/x.rs", "use axum::Router;"),
            ("crates/hayloft-store/src/x.rs", "const X: &str = \"SELECT 1\";"),
            ("crates/hayloft-stage/src/x.rs", "use std::process::Command; fn x() { unsafe { y() } }"),
            ("crates/hayloft-sandbox/src/x.rs", "use std::process::Command;"),
            ("crates/hayloft-testkit/src/x.rs", "use std::process::Command;"),
            ("crates/hayloft-host/src/x.rs", "/// axum, unsafe, SELECT * FROM x\nfn x() {}"),
            (
                "crates/hayloft-host/src/x.rs",
                "const X: &str = \"SELECTED\"; use clap::Command; use std::process::id;",
            ),
            ("crates/hayloft-host/src/x.rs", "#[expect(dead_code, reason = \"x\")] fn x() {}"),
        ] {
            assert_eq!(rust(path, text), NOTHING, "{path}: {text}");
        }
        let process = "use std::process::Command;";
        assert_eq!(check_rust("crates/x/tests/y.rs", process, &Source::parse(process).unwrap()), []);
    }

    #[test]
    fn a_test_that_is_left_out_is_found() {
        let left_out = "  it.only(\"x\", () => {});";
        assert_eq!(check_typescript("packages/x/test/a.test.ts", left_out).len(), 1);
        assert_eq!(check_typescript("packages/x/src/a.ts", left_out).len(), 0);
    }
}
