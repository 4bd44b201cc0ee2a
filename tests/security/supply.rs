//! What the host itself is built of: nothing withdrawn, nothing barred, and no stranger that runs code at build time.
//!
//! Advisories are `cargo deny check advisories`, where their database can be reached.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use semver::{Version, VersionReq};
use serde_json::Value;

use crate::harness::command;

/// The root of the project, which has `Cargo.lock` and `deny.toml`.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where the crates come from, as `Cargo.lock` names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Reads `name version` lines and prints those that the registry's index calls yanked.
const YANKED: &str = r#"
const wanted = require("node:fs").readFileSync(0, "utf8").trim().split("\n").map((line) => line.split(" "));
const folder = (name) => name.length > 3 ? `${name.slice(0, 2)}/${name.slice(2, 4)}` : name.length === 3 ? `3/${name[0]}` : `${name.length}`;
async function look() {
  for (let next; (next = wanted.pop()) !== undefined; ) {
    const [name, version] = next;
    const answer = await fetch(`https://index.crates.io/${folder(name.toLowerCase())}/${name.toLowerCase()}`);
    if (!answer.ok) throw new Error(`the index answered ${answer.status} for ${name}`);
    const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
    const entry = lines.find((line) => line.vers === version);
    if (entry === undefined) throw new Error(`the index does not know ${name} ${version}`);
    if (entry.yanked) console.log(`${name} ${version}`);
  }
}
Promise.all(Array.from({ length: 16 }, look)).catch((error) => { console.error(error); process.exit(1); });
"#;

fn deny() -> toml::Value {
    toml::from_str(&fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap()).unwrap()
}

/// Every crate that takes part in a build for some platform: a lock file also holds what no feature asks for.
fn built() -> Vec<(String, String)> {
    let tree = "tree --workspace --locked --target all --edges normal,build,dev --prefix none --format {p}";
    let output = command("cargo").args(tree.split(' ')).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<_> = lines
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        })
        .collect();
    assert!(names.len() > 100, "the tree was read: {}", names.len());
    names.into_iter().collect()
}

/// Every crate of the registry that `Cargo.lock` holds.
fn locked() -> Vec<(String, String)> {
    let lock: toml::Value =
        toml::from_str(&fs::read_to_string(format!("{ROOT}/Cargo.lock")).unwrap()).unwrap();
    let field = |package: &toml::Value, name: &str| {
        package.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    let packages = lock["package"].as_array().unwrap();
    let foreign: Vec<_> = packages.iter().filter(|package| package.get("source").is_some()).collect();
    assert!(foreign.len() > 100, "the file of locked versions was read: {}", foreign.len());
    assert!(
        foreign
            .iter()
            .all(|package| field(package, "source") == REGISTRY && package.get("checksum").is_some())
    );
    foreign.iter().map(|package| (field(package, "name"), field(package, "version"))).collect()
}

/// The versions that are barred wherever they come from: entries without wrappers, `name` or `name@requirement`.
fn barred<'a>(deny: &toml::Value, built: &'a [(String, String)]) -> Vec<&'a (String, String)> {
    let entries = deny["bans"]["deny"].as_array().unwrap();
    let specs: Vec<(String, VersionReq)> = entries
        .iter()
        .filter(|entry| entry.get("wrappers").is_none())
        .map(|entry| {
            let spec = entry["crate"].as_str().unwrap();
            let (name, requirement) = spec.split_once('@').unwrap_or((spec, "*"));
            (name.to_owned(), requirement.parse().unwrap())
        })
        .collect();
    assert!(!specs.is_empty(), "something is barred");
    let matches = |(name, version): &(String, String)| {
        let version: Version = version.parse().unwrap();
        specs.iter().any(|(barred, requirement)| barred == name && requirement.matches(&version))
    };
    built.iter().filter(|package| matches(package)).collect()
}

fn yanked(packages: &[(String, String)]) -> String {
    let mut node =
        command("node").args(["-e", YANKED]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<_> = packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
    node.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the registry's index was read");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nothing_is_withdrawn_or_barred() {
    let deny = deny();
    assert_eq!(barred(&deny, &built()), Vec::<&(String, String)>::new());
    let known = vec![
        (String::from("jsonwebtoken"), String::from("9.3.0")),
        (String::from("jsonwebtoken"), String::from("10.3.0")),
    ];
    assert_eq!(barred(&deny, &known), [&known[0]], "a version with a known hole is barred");

    assert_eq!(yanked(&locked()), "");
    let withdrawn = [(String::from("bytes"), String::from("1.6.0"))];
    assert_eq!(yanked(&withdrawn), "bytes 1.6.0\n", "a version that was withdrawn is noticed");
}

#[test]
fn only_known_crates_run_code_at_build_time() {
    let metadata = "metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu";
    let output = command("cargo").args(metadata.split(' ')).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let on_this_platform: BTreeSet<_> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let built: BTreeSet<_> = built().into_iter().map(|(name, _)| name).collect();
    let has_script = |package: &Value| {
        let targets = package["targets"].as_array().unwrap();
        targets
            .iter()
            .any(|target| target["kind"].as_array().unwrap().iter().any(|kind| kind == "custom-build"))
    };
    let found: BTreeSet<_> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| {
            !package["source"].is_null() && on_this_platform.contains(package["id"].as_str().unwrap())
        })
        .filter(|package| has_script(package))
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .filter(|name| built.contains(name))
        .collect();
    let deny = deny();
    let allowed: BTreeSet<_> = deny["bans"]["build"]["allow-build-scripts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["crate"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        found, allowed,
        "`deny.toml` names every crate whose build script runs, and none that has no such script"
    );
}
