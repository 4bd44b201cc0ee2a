//! What there is of a plugin's user interface: components are written as source, and a build makes of them the module
//! that is given out. Where the plugin has no build for it, the host compiles them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use hayloft_model::plugin::Capability;
use hayloft_model::{PluginDescriptor, Problem, Problems};
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
    /// Components are source, and no build of its own turns them into a module.
    Source {
        /// Those to be compiled, as paths below the plugin's folder.
        paths: BTreeSet<String>,
        /// Warnings of those that are left out.
        problems: Problems,
    },
}

/// Components, as they are found.
struct Sources {
    paths: BTreeSet<String>,
    /// What the paths take together, in bytes.
    bytes: usize,
    /// The first that found no room, and how many did not.
    left_out: Option<(String, usize)>,
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
    let named: BTreeSet<String> = pages
        .chain(extensions)
        .chain(components)
        .filter_map(|path| relative_path(path).ok())
        .filter(|path| is_source(path) && is_file(&root.join(path)))
        .filter_map(|path| path.to_str().map(String::from))
        .collect();
    let mut sources = Sources { bytes: named.iter().map(String::len).sum(), paths: named, left_out: None };
    // Those that its code names are not known before it runs.
    sources.find(&root.join(COMPONENTS), COMPONENTS, DEEPEST);
    if sources.paths.is_empty() {
        return Interface::None;
    }
    Interface::Source { problems: sources.problem().into_iter().collect(), paths: sources.paths }
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

impl Sources {
    /// Adds those in a folder, as paths below the plugin's.
    fn find(&mut self, folder: &Path, shown: &str, levels: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (Some(name), Ok(kind)) = (entry.file_name().into_string().ok(), entry.file_type()) else {
                continue;
            };
            let path = format!("{shown}/{name}");
            if kind.is_dir() && levels > 0 {
                self.find(&entry.path(), &path, levels - 1);
            } else if kind.is_file() && is_source(Path::new(&path)) && !self.paths.contains(&path) {
                self.add(path);
            }
        }
    }

    fn add(&mut self, path: String) {
        match &mut self.left_out {
            Some((_, count)) => *count += 1,
            None if self.bytes + path.len() > MOST => self.left_out = Some((path, 1)),
            None => {
                self.bytes += path.len();
                self.paths.insert(path);
            }
        }
    }

    fn problem(&self) -> Option<Problem> {
        let (first, count) = self.left_out.as_ref()?;
        let message = format!(
            "{count} of the components, from `{first}` on, are not compiled: the paths of all together would take more than {} KiB",
            MOST / 1024
        );
        let hint =
            "keep fewer files in `components/`, or make `dist/ui.js` in the package's own `build` script";
        Some(Problem::warning(COMPONENTS, message).hint(hint))
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
        let sources = |paths: &[&str]| Interface::Source {
            paths: paths.iter().map(|path| String::from(*path)).collect(),
            problems: Problems::default(),
        };
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
    }

    #[test]
    fn components_that_are_left_out_are_told() {
        let long = |number: usize| format!("components/{number:03}{}.vue", "x".repeat(200));
        let all: Vec<String> = (0..400).map(long).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let most = MOST / all[0].len();
        let of = |files: &[&str]| match found(r#""ui""#, "", files) {
            Interface::Source { paths, problems } => (paths.len(), problems.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(of(&all[..most]), (most, String::new()));
        let (compiled, told) = of(&all);
        assert_eq!(compiled, most);
        let left = 400 - most;
        assert!(
            told.starts_with(&format!(
                "warning: components: {left} of the components, from `{}` on,",
                all[most]
            )),
            "{told}"
        );
        // What comes later has no room either, however short its name is.
        let short = [&all[..], &["components/z.vue"]].concat();
        let (compiled, told) = of(&short);
        assert_eq!(compiled, most);
        assert!(told.contains(&format!("components: {} of", left + 1)), "{told}");
    }
}
