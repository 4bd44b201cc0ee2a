//! What Node compiled for one worker is what later ones start from. The real runner, and Node's own word on it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hayloft_model::InstanceKey;
use hayloft_model::plugin::{FastStart, Package};
use hayloft_workers::{Compiled, Settings};

use crate::support::{House, key, launch, node, old_node};

const ENTRY: &str = "require('./part.cjs');\nconst seen = String(process.env.NODE_COMPILE_CACHE);\nmodule.exports = () => ({ name: 'x', onStart() { console.log('variable:', seen); } });\n";

/// Workers of the real runner, in a Node that tells what it does with its cache.
fn talkative(settings: &mut Settings, node: &Path) {
    let root = settings.scratch.parent().unwrap().join("hay-plugin-test");
    fs::create_dir_all(&root).unwrap();
    let script = root.join("node.sh");
    let text = format!("#!/bin/sh\nNODE_DEBUG_NATIVE=COMPILE_CACHE exec {} \"$@\"\n", node.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    settings.runtime.node = script;
    settings.runtime.runner =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/runtime/runner.cjs").canonicalize().unwrap();
}

fn package(house: &House) -> Package {
    let package = house.package("hay-plugin-test", ENTRY);
    fs::write(package.root.join("part.cjs"), "exports.part = 1;\n").unwrap();
    package
}

/// Where a host keeps it.
fn keep(house: &House, compiled: &Compiled) -> PathBuf {
    let folder = house.folder.path().join("compiled");
    let below = folder.join(&compiled.folder);
    fs::create_dir_all(&below).unwrap();
    for (name, bytes) in &compiled.files {
        fs::write(below.join(name), bytes).unwrap();
    }
    folder
}

/// What a worker of this package writes until it is ready.
async fn written(house: &House, number: u8, package: Package) -> (InstanceKey, String) {
    let key = key(number, "hay-plugin-test");
    house.source.set(&key, Ok(launch(package, number)));
    house.workers.ensure(&key).await.unwrap();
    house.workers.stop(&key, "it has been seen").await;
    let lines = house.workers.logs(&key, usize::MAX);
    (key, lines.into_iter().map(|line| line.message + "\n").collect())
}

#[tokio::test]
async fn what_node_compiled_is_used_by_later_workers() {
    let house = House::with(|settings| talkative(settings, &node()));
    let package = package(&house);
    let (registration, compiled) = house.workers.probe_compiling(&package).await.unwrap();
    assert!(registration.get().contains("\"name\":\"x\""), "{registration}");
    let compiled = compiled.expect("Node 24 keeps what it compiled");
    assert!(compiled.folder.starts_with("v24."), "{}", compiled.folder);
    assert_eq!(compiled.files.len(), 3, "the runner, the entry and what it loads");
    let folder = keep(&house, &compiled);

    let (_, before) = written(&house, 1, package.clone()).await;
    assert!(before.contains("variable: undefined") && !before.contains("compile cache"), "{before}");
    let start = FastStart { bundle: None, compiled: Some(folder) };
    let (_, after) = written(&house, 2, Package { start, ..package.clone() }).await;
    for file in ["runner.cjs", "entry.cjs", "part.cjs"] {
        let accepted = |line: &str| line.contains(&format!("/{file} was accepted"));
        assert!(after.lines().any(accepted), "{file}: {after}");
    }
    assert!(!after.contains("rejected"), "{after}");
    assert!(after.contains("variable: undefined"), "the plugin and its programs do not see it: {after}");

    // For other flags, or another runner, it is made anew.
    let made_for = house.workers.compiles_for(&package.descriptor);
    let other = House::with(|settings| {
        talkative(settings, &node());
        settings.resources.old_space_mib += 1;
    });
    assert_ne!(other.workers.compiles_for(&package.descriptor), made_for);
    other.close().await;
    house.close().await;
}

#[tokio::test]
async fn a_node_that_keeps_nothing_starts_all_the_same() {
    let house = House::with(|settings| talkative(settings, &old_node()));
    let package = package(&house);
    let (_, compiled) = house.workers.probe_compiling(&package).await.unwrap();
    assert_eq!(compiled, None);
    let start = FastStart { bundle: None, compiled: Some(house.folder.path().join("gone")) };
    let (_, log) = written(&house, 1, Package { start, ..package }).await;
    assert!(log.contains("variable: undefined"), "{log}");
    house.close().await;
}
