//! What the formats that live in `package.json` have in common: the file, its entry, its list of variables, its
//! limits.

use std::path::PathBuf;
use std::sync::LazyLock;

use hayloft_model::plugin::{LimitName, UpdateStrategy};
use hayloft_model::{PluginDescriptor, Problem, Problems};
use regex::Regex;

use super::{Located, LocatedLimit};
use crate::document::{Document, Naming, Object};
use crate::folder::Folder;
use crate::module_file::{self, Build, NamedIn};
use crate::words::quoted;

/// npm's file, which is the manifest too.
pub(super) const FILE: &str = "package.json";

/// The key of the manifest in it.
pub(super) const KEY: &str = "hay-plugin";

/// The key in the manifest under which a plugin asks for limits.
const LIMITS: &str = "limits";

/// The SDK that plugins of these formats are written with.
pub(super) const SDK: &str = "@hay/plugin-sdk";

/// Largest `package.json` that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Largest module that is looked into, in bytes. A bundle of everything is larger, and says nothing to a reader.
const LARGEST_SOURCE: u64 = 4 * 1024 * 1024;

/// The parsed file.
pub(super) fn open(folder: &Folder) -> Result<Document, Problem> {
    folder.read_text(FILE, LARGEST_FILE).and_then(|text| Document::parse(&text, Naming::File(FILE)))
}

/// Whether the text of a file that cannot be parsed holds a word.
pub(super) fn speaks_of(folder: &Folder, word: &str) -> bool {
    folder.read_text(FILE, LARGEST_FILE).is_ok_and(|text| text.contains(word))
}

/// How modules that this file names are spoken of.
pub(super) fn named_here(package: &Object<'_>) -> NamedIn {
    let scripts = package.get("scripts").and_then(|scripts| scripts.object(&mut Problems::new()));
    let builds = scripts.is_some_and(|scripts| scripts.get("build").is_some());
    NamedIn { manifest: FILE, build: if builds { Build::Known } else { Build::Unknown } }
}

/// The module to load: the manifest's `entry`, else the package's `main`.
pub(super) fn entry(
    folder: &Folder,
    package: &Object<'_>,
    manifest: Option<&Object<'_>>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let named_in = named_here(package);
    if let Some(manifest) = manifest.filter(|manifest| manifest.get("entry").is_some()) {
        let entry = Located::optional(manifest, "entry", problems)?;
        return module_file::locate(folder, &entry, named_in, problems);
    }
    if package.get("main").is_some() {
        let main = Located::optional(package, "main", problems)?;
        return match completed(folder, &main.text) {
            Some(path) => module_file::runnable(path, &main, problems),
            None => module_file::locate(folder, &main, named_in, problems),
        };
    }
    let (at, message, hint) = match manifest {
        Some(manifest) => (
            manifest.place_of("entry"),
            "is missing, and `package.json` has no `main`",
            "name the compiled module: `\"entry\": \"./dist/index.js\"`",
        ),
        None => (
            package.place_of("main"),
            "is missing",
            "name the compiled module: `\"main\": \"dist/index.js\"`",
        ),
    };
    problems.push(Problem::error(at, message).hint(hint));
    None
}

/// Node completes `main`: a file, the same with `.js`, or a folder with an `index.js`.
fn completed(folder: &Folder, main: &str) -> Option<PathBuf> {
    let spellings = [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")];
    spellings.iter().find_map(|name| folder.locate(name).ok())
}

/// The source of a plugin that is a class: what the entry says, or what it is built from.
pub(super) fn class_source(folder: &Folder, package: &Object<'_>) -> Option<(String, String)> {
    static CLASS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\bextends\s*\(?(?:[\w$]+\s*[.,]\s*)*HayPlugin\b|\bstartPluginWorker\s*\)?\s*\(").ok()
    });
    let mut ignored = Problems::new();
    let manifest = package.get(KEY).and_then(|manifest| manifest.object(&mut ignored));
    let entry = manifest.as_ref().and_then(|manifest| manifest.text("entry", &mut ignored));
    let named = entry.or_else(|| package.text("main", &mut ignored));
    let compiled = named.as_deref().and_then(|name| completed(folder, name));
    let candidates = compiled.into_iter().chain(["src/index.ts", "src/index.js"].map(PathBuf::from));
    for path in candidates {
        let Ok(source) = folder.read_text(&path.to_string_lossy(), LARGEST_SOURCE) else { continue };
        return CLASS.as_ref()?.is_match(&source).then(|| (path.to_string_lossy().into_owned(), source));
    }
    None
}

/// What to write so that a plugin of these formats may read further environment variables.
pub(super) fn allow_env(descriptor: &PluginDescriptor, names: &[&str]) -> String {
    let mut list: Vec<&str> = descriptor.env.iter().map(String::as_str).collect();
    list.extend(names.iter().filter(|name| !descriptor.env.iter().any(|known| known == *name)));
    let list: Vec<_> = list.iter().map(|name| format!("\"{name}\"")).collect();
    format!("write in `package.json`, inside `\"hay-plugin\"`: `\"env\": [{}]`", list.join(", "))
}

/// How much of the machine the plugin asks for.
pub(super) fn limits(manifest: &Object<'_>, problems: &mut Problems) -> Vec<LocatedLimit> {
    let Some(limits) = manifest.get(LIMITS).and_then(|view| view.object(problems)) else { return Vec::new() };
    limits.check_keys(&LimitName::ALL.map(LimitName::as_str), problems);
    LimitName::ALL
        .into_iter()
        .filter_map(|name| {
            let view = limits.get(name.as_str())?;
            Some(LocatedLimit { name, value: view.limit(name, problems)?, at: view.at() })
        })
        .collect()
}

/// What the plugin says of how its workers follow one another.
pub(super) fn update_strategy(manifest: &Object<'_>, problems: &mut Problems) -> UpdateStrategy {
    let Some(said) = Located::optional(manifest, "updateStrategy", problems) else {
        return UpdateStrategy::default();
    };
    let known = UpdateStrategy::ALL.into_iter().find(|strategy| strategy.as_str() == said.text);
    known.unwrap_or_else(|| {
        let problem = Problem::error(said.at, format!("{} is no strategy", quoted(&said.text)));
        problems.push(problem.hint(
            "write `\"rolling\"`, or `\"recreate\"` where an organization must never have two workers at once",
        ));
        UpdateStrategy::default()
    })
}

/// Where a plugin of these formats asks for a limit.
pub(super) fn limit_place(name: LimitName) -> String {
    format!("{FILE}#{KEY}.{LIMITS}.{name}")
}
