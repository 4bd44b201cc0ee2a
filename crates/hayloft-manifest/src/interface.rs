//! What there is of a plugin's user interface: components are written as source, and a build makes of them the module
//! that is given out. Where the plugin has no build for it, the host compiles them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use hayloft_model::PluginDescriptor;
use hayloft_model::plugin::Capability;
use regex::Regex;
use serde_json::Value;

use crate::folder::relative_path;

/// What a build makes, one of them.
const MODULES: [&str; 2] = ["dist/ui.js", "dist/ui.mjs"];

/// Where components stand unless the manifest names them.
const COMPONENTS: &str = "components";

/// How the source of a component is named.
const SOURCE: &str = "vue";

/// Settings of the program that builds interfaces.
const SETTINGS: [&str; 5] =
    ["vite.config.ts", "vite.config.js", "vite.config.mjs", "vite.config.mts", "vite.config.cjs"];

/// Largest `package.json` that is looked into, in bytes.
const LARGEST_PACKAGE: u64 = 1 << 20;

/// Deepest folder below [`COMPONENTS`] that is looked into.
const DEEPEST: usize = 4;

/// Most that the paths of components may take together, in bytes. What comes after them by name is not compiled.
const MOST: usize = 64 << 10;

/// Whether a build script runs the program that builds interfaces.
static BUILDS_INTERFACES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bvite\b").ok());

/// How far a plugin's user interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// It has none, or what it shows is no source of its own.
    None,
    /// It was built.
    Built,
    /// Its own build makes it, and has not run.
    Unbuilt,
    /// These components, as paths below the plugin's folder, are source, and no build of its own turns them into a
    /// module.
    Source(BTreeSet<String>),
}

/// Looks into a plugin's folder. Nothing is run.
#[must_use]
pub fn interface(root: &Path, descriptor: &PluginDescriptor) -> Interface {
    let declared = &descriptor.declared;
    let has_one = descriptor.declares(Capability::Ui)
        || !declared.pages.is_empty()
        || !declared.ui_extensions.is_empty()
        || !declared.ui_components.is_empty();
    if !has_one {
        return Interface::None;
    }
    if MODULES.iter().any(|module| root.join(module).is_file()) {
        return Interface::Built;
    }
    if builds_interfaces(root) {
        return Interface::Unbuilt;
    }
    let pages = declared.pages.iter().map(|page| &page.component);
    let extensions = declared.ui_extensions.iter().map(|extension| &extension.component);
    let components = declared.ui_components.iter().map(|component| &component.component);
    let mut sources: BTreeSet<String> = pages
        .chain(extensions)
        .chain(components)
        .filter_map(|path| relative_path(path).ok())
        .filter(|path| is_source(path) && is_file(&root.join(path)))
        .filter_map(|path| path.to_str().map(String::from))
        .collect();
    // Those that its code names are not known before it runs.
    find_sources(&root.join(COMPONENTS), COMPONENTS, DEEPEST, &mut sources);
    if sources.is_empty() { Interface::None } else { Interface::Source(sources) }
}

fn builds_interfaces(root: &Path) -> bool {
    let path = root.join("package.json");
    let readable = fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST_PACKAGE);
    let text = readable.then(|| fs::read(&path).ok()).flatten();
    let package: Option<Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
    let Some(build) = package.as_ref().and_then(|package| package["scripts"]["build"].as_str()) else {
        return false;
    };
    BUILDS_INTERFACES.as_ref().is_some_and(|builds| builds.is_match(build))
        || SETTINGS.iter().any(|settings| root.join(settings).is_file())
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SOURCE)
}

/// A link is none: it may lead anywhere.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file())
}

/// Adds the sources in a folder, as paths below the plugin's.
fn find_sources(folder: &Path, shown: &str, levels: usize, sources: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (Some(name), Ok(kind)) = (entry.file_name().into_string().ok(), entry.file_type()) else {
            continue;
        };
        let path = format!("{shown}/{name}");
        if kind.is_dir() && levels > 0 {
            find_sources(&entry.path(), &path, levels - 1, sources);
        } else if kind.is_file() && is_source(Path::new(&path)) {
            if sources.iter().map(String::len).sum::<usize>() + path.len() > MOST {
                return;
            }
            sources.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(capabilities: &str, build: &str, files: &[&str]) -> Interface {
        let folder = tempfile::tempdir().unwrap();
        let package = format!(
            r#"{{ "name": "hay-plugin-x", "version": "1.0.0", "scripts": {{ {build} }},
                  "hay-plugin": {{ "entry": "./index.js", "displayName": "X", "category": "tool", "capabilities": [{capabilities}], "env": [] }} }}"#
        );
        for (name, text) in
            files.iter().map(|name| (*name, "")).chain([("index.js", ""), ("package.json", &*package)])
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (descriptor, problems) = crate::read_source(folder.path());
        interface(folder.path(), &descriptor.unwrap_or_else(|| panic!("{problems}")))
    }

    #[test]
    fn an_interface_is_built_or_will_be_or_is_source_alone() {
        let (ui, vite, tsc) = (r#""ui""#, r#""build": "vite build && tsc""#, r#""build": "tsc""#);
        let source = "components/settings/A.vue";
        let sources =
            |paths: &[&str]| Interface::Source(paths.iter().map(|path| String::from(*path)).collect());
        assert_eq!(found("", vite, &[source]), Interface::None);
        assert_eq!(found(ui, "", &[]), Interface::None);
        assert_eq!(found(ui, vite, &[source]), Interface::Unbuilt);
        assert_eq!(found(ui, vite, &[source, "dist/ui.js"]), Interface::Built);
        assert_eq!(found(ui, tsc, &[source, "vite.config.ts"]), Interface::Unbuilt);
        for build in [tsc, "", r#""build": "invite""#] {
            assert_eq!(found(ui, build, &[source]), sources(&[source]), "{build}");
        }
        assert_eq!(found(ui, "", &[source, "vite.config.ts"]), sources(&[source]));
        assert_eq!(
            found(ui, "", &["test/A.vue", "components/a/b/c/d/e/F.vue", "components/a.ts"]),
            Interface::None
        );
        assert_eq!(
            found(ui, "", &["components/B.vue", source, "C.vue"]),
            sources(&["components/B.vue", source])
        );
        let long = |number: usize| format!("components/{number}{}.vue", "x".repeat(200));
        let many: Vec<String> = (0..400).map(long).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let Interface::Source(most) = found(ui, "", &many) else { panic!("they are source") };
        assert!(most.iter().map(String::len).sum::<usize>() <= MOST && most.len() > 200);
    }
}
