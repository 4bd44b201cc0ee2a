//! Packages that the host itself provides, and that npm therefore must not look for.
//!
//! Plugins name the SDK as `file:../../../packages/plugin-sdk`, as `workspace:*` or as a version, and all three mean the
//! one that this host ships, like the other packages of ours that plugins import. It lies above every plugin's folder, where Node and compilers look last; so while npm works,
//! the plugin's `package.json` and lockfile do not speak of it. What is kept is what the author wrote.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// A package that the host provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// What plugins call it: `@hay/plugin-sdk`.
    pub name: String,
    /// Absolute path of its folder.
    pub path: PathBuf,
}

/// Where a manifest of npm lists packages.
const SECTIONS: [&str; 4] = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];

/// Lists of names only.
const NAMES: [&str; 2] = ["bundleDependencies", "bundledDependencies"];

/// A `package.json` without what is provided; nothing if it does not speak of it or is none.
pub(crate) fn manifest_without(provided: &[Provided], text: &[u8]) -> Option<Vec<u8>> {
    let mut manifest: Value = serde_json::from_slice(text).ok()?;
    let changed = leave_out(provided, manifest.as_object_mut()?);
    changed.then(|| serde_json::to_vec_pretty(&manifest).ok())?
}

/// A lockfile without what is provided; nothing if it does not speak of it or is none.
pub(crate) fn lockfile_without(provided: &[Provided], text: &[u8]) -> Option<Vec<u8>> {
    let mut lockfile: Value = serde_json::from_slice(text).ok()?;
    let lockfile_object = lockfile.as_object_mut()?;
    // The oldest form of the file lists packages where manifests do.
    let mut changed = leave_out(provided, lockfile_object);
    if let Some(packages) = lockfile_object.get_mut("packages").and_then(Value::as_object_mut) {
        let before = packages.len();
        packages.retain(|place, _| !is_provided(provided, place));
        changed |= packages.len() != before;
        for package in packages.values_mut().filter_map(Value::as_object_mut) {
            changed |= leave_out(provided, package);
        }
    }
    changed.then(|| serde_json::to_vec_pretty(&lockfile).ok())?
}

/// Whether a place in a lockfile is that of a provided package, of something in it, or outside of the plugin.
fn is_provided(provided: &[Provided], place: &str) -> bool {
    place == ".."
        || place.starts_with("../")
        || provided.iter().any(|package| {
            let below = format!("node_modules/{}", package.name);
            place.match_indices(&below).any(|(at, _)| {
                let (before, after) = (place.get(..at), place.get(at + below.len()..));
                before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
                    && after.is_some_and(|after| after.is_empty() || after.starts_with('/'))
            })
        })
}

fn leave_out(provided: &[Provided], manifest: &mut Map<String, Value>) -> bool {
    let is_provided = |name: &str| provided.iter().any(|package| package.name == name);
    let mut changed = false;
    for section in SECTIONS {
        if let Some(section) = manifest.get_mut(section).and_then(Value::as_object_mut) {
            let before = section.len();
            section.retain(|name, _| !is_provided(name));
            changed |= section.len() != before;
        }
    }
    for list in NAMES {
        if let Some(list) = manifest.get_mut(list).and_then(Value::as_array_mut) {
            let before = list.len();
            list.retain(|name| !name.as_str().is_some_and(is_provided));
            changed |= list.len() != before;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provided() -> Vec<Provided> {
        vec![Provided { name: String::from("@hay/plugin-sdk"), path: PathBuf::from("/sdk") }]
    }

    fn without(strip: fn(&[Provided], &[u8]) -> Option<Vec<u8>>, value: &Value) -> Option<Value> {
        let text = serde_json::to_vec(value).unwrap();
        strip(&provided(), &text).map(|text| serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn a_manifest_forgets_the_sdk_however_it_names_it() {
        for reference in ["file:../../../packages/plugin-sdk", "workspace:*", "^1.2.0", "*"] {
            let manifest = json!({
                "name": "x",
                "dependencies": { "@hay/plugin-sdk": reference, "stripe": "^1" },
                "peerDependencies": { "@hay/plugin-sdk": "*" },
                "bundleDependencies": ["@hay/plugin-sdk", "stripe"],
                "scripts": { "build": "tsc" },
            });
            let expected = json!({
                "name": "x",
                "dependencies": { "stripe": "^1" },
                "peerDependencies": {},
                "bundleDependencies": ["stripe"],
                "scripts": { "build": "tsc" },
            });
            assert_eq!(without(manifest_without, &manifest), Some(expected));
        }
        assert_eq!(without(manifest_without, &json!({ "dependencies": { "stripe": "1" } })), None);
        assert_eq!(manifest_without(&provided(), b"{ not json"), None);
        assert_eq!(manifest_without(&provided(), b"[]"), None);
    }

    #[test]
    fn a_lockfile_forgets_the_sdk_and_what_lies_outside() {
        let lockfile = json!({
            "lockfileVersion": 3,
            "packages": {
                "": { "dependencies": { "@hay/plugin-sdk": "file:../../../packages/plugin-sdk", "stripe": "^1" } },
                "../../../packages/plugin-sdk": { "version": "1.0.0", "devDependencies": { "express": "5" } },
                "node_modules/@hay/plugin-sdk": { "resolved": "../../../packages/plugin-sdk", "link": true },
                "node_modules/@hay/plugin-sdk-extras": { "version": "1.0.0" },
                "node_modules/stripe": { "version": "1.0.0", "integrity": "sha512-x" },
                "node_modules/a/node_modules/@hay/plugin-sdk/node_modules/b": { "version": "1.0.0" },
            },
        });
        let expected = json!({
            "lockfileVersion": 3,
            "packages": {
                "": { "dependencies": { "stripe": "^1" } },
                "node_modules/@hay/plugin-sdk-extras": { "version": "1.0.0" },
                "node_modules/stripe": { "version": "1.0.0", "integrity": "sha512-x" },
            },
        });
        assert_eq!(without(lockfile_without, &lockfile), Some(expected.clone()));
        assert_eq!(without(lockfile_without, &expected), None);
        let oldest = json!({ "dependencies": { "@hay/plugin-sdk": { "version": "file:.." }, "a": {} } });
        assert_eq!(without(lockfile_without, &oldest), Some(json!({ "dependencies": { "a": {} } })));
    }
}
