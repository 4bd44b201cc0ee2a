//! What there is of a plugin's user interface: components are written as source, and a build of the plugin's own makes
//! of them the module that is given out.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use hayloft_model::plugin::Capability;
use hayloft_model::{PluginDescriptor, Problem, Problems};
use regex::Regex;
use serde_json::Value;

use crate::folder::relative_path;
use crate::words::quoted;

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
    /// There is source, here for one, that no build of its own turns into a module.
    SourceOnly(String),
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
    let named = pages.chain(extensions).chain(components).find(|path| is_source(Path::new(path.as_str())));
    let named = named.filter(|path| relative_path(path).is_ok_and(|path| root.join(path).is_file()));
    match named.cloned().or_else(|| first_source(&root.join(COMPONENTS), COMPONENTS, DEEPEST)) {
        Some(path) => Interface::SourceOnly(path),
        None => Interface::None,
    }
}

/// A warning for an interface that nothing of the plugin builds.
pub(crate) fn check(root: &Path, descriptor: &PluginDescriptor) -> Problems {
    let Interface::SourceOnly(path) = interface(root, descriptor) else { return Problems::new() };
    let message =
        format!("{} is source, and no build of the plugin makes `{}` of it", quoted(&path), MODULES[0]);
    let hint = "the host gives out modules and compiles no components: have the `build` script run Vite, with Vue external";
    Problem::warning(path, message).hint(hint).into()
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

/// The first source of a component by name, as a path below the plugin's folder.
fn first_source(folder: &Path, shown: &str, levels: usize) -> Option<String> {
    let mut entries: Vec<_> = fs::read_dir(folder).ok()?.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    entries.iter().find_map(|entry| {
        let path = format!("{shown}/{}", entry.file_name().to_str()?);
        // A link is not followed: it may lead anywhere.
        let kind = entry.file_type().ok()?;
        if kind.is_dir() && levels > 0 {
            return first_source(&entry.path(), &path, levels - 1);
        }
        (kind.is_file() && is_source(Path::new(&path))).then_some(path)
    })
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
        assert_eq!(found("", vite, &[source]), Interface::None);
        assert_eq!(found(ui, "", &[]), Interface::None);
        assert_eq!(found(ui, vite, &[source]), Interface::Unbuilt);
        assert_eq!(found(ui, vite, &[source, "dist/ui.js"]), Interface::Built);
        assert_eq!(found(ui, tsc, &[source, "vite.config.ts"]), Interface::Unbuilt);
        for build in [tsc, "", r#""build": "invite""#] {
            assert_eq!(found(ui, build, &[source]), Interface::SourceOnly(source.into()), "{build}");
        }
        assert_eq!(found(ui, "", &[source, "vite.config.ts"]), Interface::SourceOnly(source.into()));
    }
}
