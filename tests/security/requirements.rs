//! The list of attacks is whole, and what it says is tested is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::harness::command;

/// The kinds of attacks and how many there are of each.
const KINDS: [(&str, usize); 8] =
    [("P", 25), ("R", 18), ("U", 12), ("H", 18), ("A", 14), ("O", 11), ("M", 10), ("S", 10)];

/// Tests about the suite itself and about the acts, which stand for no attack.
const OF_THE_SUITE: [&str; 1] = ["requirements::every_attack_has_its_place"];

/// All tests of this program, without the module of the setup that they run in.
fn tests() -> BTreeSet<String> {
    let own = std::env::current_exe().unwrap();
    let listed = command(own.to_str().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(|name| {
            let parts: Vec<_> = name.split("::").collect();
            format!("{}::{}", parts[0], parts[parts.len() - 1])
        })
        .collect()
}

#[test]
fn every_attack_has_its_place() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/requirements.toml")).unwrap();
    let rows: BTreeMap<String, BTreeMap<String, toml::Value>> = toml::from_str(&text).unwrap();
    let expected: BTreeSet<String> =
        KINDS.iter().flat_map(|(kind, count)| (1..=*count).map(move |n| format!("{kind}{n:02}"))).collect();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let tests = tests();
    let mut named = BTreeSet::from(OF_THE_SUITE.map(str::to_owned));
    let mut wrong = Vec::new();
    for (id, row) in &rows {
        let field = |name: &str| row.get(name).and_then(toml::Value::as_str).unwrap_or_default();
        let list: Vec<_> = row
            .get("tests")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
            .collect();
        if field("attack").len() < 20 || field("work").is_empty() {
            wrong.push(format!("{id} says too little"));
        }
        let fitting = match field("status") {
            "done" => !list.is_empty() && field("left").is_empty(),
            "partly" => !list.is_empty() && field("left").contains(": "),
            "later" => list.is_empty(),
            _ => false,
        };
        if !fitting {
            wrong.push(format!("{id}: its status does not fit the rest of it"));
        }
        wrong.extend(
            list.iter()
                .filter(|test| !tests.contains(**test))
                .map(|test| format!("{id}: there is no test `{test}`")),
        );
        named.extend(list.into_iter().map(str::to_owned));
    }
    wrong.extend(tests.difference(&named).map(|test| format!("no attack names the test `{test}`")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
