//! The code of a plugin's entry, with all that it imports, in one file: a fraction of the files to look for and to read
//! when a worker starts.
//!
//! A bundle is used only where it behaves as the files do. What a bundler cannot know (modules whose names are computed)
//! and what moving code changes (modules that ask for their own place) is found in what the bundler says and writes;
//! whatever is left to differ shows when both are asked what they register.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hayloft_model::PluginDescriptor;
use hayloft_model::plugin::Runtime;
use serde_json::Value;

use crate::Provided;
use crate::workshop::Workshop;

/// The folder of a version for what the host puts beside the author's files. What an author has under that name is not
/// taken over.
pub(crate) const FOLDER: &str = ".hayloft";

/// The bundle, relative to the version.
const FILE: &str = ".hayloft/entry.cjs";

/// Where each line of the bundle comes from.
const MAP: &str = ".hayloft/entry.cjs.map";

/// A bundle takes a second or two; what takes far longer is no plugin.
const WITHIN: Duration = Duration::from_secs(60);

/// How often bundling is tried again without modules that nobody has.
const ROUNDS: usize = 4;

/// Largest bundle and largest map that are looked at, in bytes.
const LARGEST: u64 = 64 << 20;

/// What a module asks for its own place with, and the names that stand for it in a bundle.
const PLACES: [(&str, &str); 3] = [
    ("__dirname", "__hayloft_dirname"),
    ("__filename", "__hayloft_filename"),
    ("import.meta", "__hayloft_import_meta"),
];

/// What the bundler must say wherever it finds it, in dependencies too.
const SAID: [&str; 5] = [
    "unsupported-require-call",
    "unsupported-dynamic-import",
    "indirect-require",
    "require-resolve-not-external",
    "direct-eval",
];

/// What a module reads of the loader that a bundle is not loaded by, and the bundler's name for a choice of files.
const LOADER: [&str; 10] = [
    "require.main",
    "require.cache",
    "require.extensions",
    "module.parent",
    "module.paths",
    "module.filename",
    "module.children",
    "module.require",
    "globRequire_",
    "globImport_",
];

/// What came of bundling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bundled {
    /// There is a bundle of so many files.
    Of(usize),
    /// There is none, and why.
    Not(String),
}

/// The module to bundle, if one file may stand for all of a plugin's code.
pub(crate) fn entry(descriptor: &PluginDescriptor) -> Option<&Path> {
    // Where more than one module is loaded they share others with each other, and a bundle would have its own of each.
    let is_alone = descriptor.procedures.is_none() && descriptor.declared.routes.is_empty();
    match &descriptor.runtime {
        Runtime::Node { entry } if is_alone => Some(entry),
        Runtime::Node { .. } | Runtime::Isolate { .. } | Runtime::Servers => None,
    }
}

/// Whether packages that it depends on lie in a package's folder.
pub(crate) fn has_dependencies(root: &Path) -> bool {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let is_package = |folder: &Path| folder.join("package.json").is_file();
    entries(root.join("node_modules")).any(|entry| {
        let path = entry.path();
        let is_scope = entry.file_name().as_encoded_bytes().starts_with(b"@");
        is_package(&path) || is_scope && entries(path).any(|entry| is_package(&entry.path()))
    })
}

/// The bundle of a version, relative to it.
pub(crate) fn of(version: &Path) -> Option<PathBuf> {
    version.join(FILE).is_file().then(|| PathBuf::from(FILE))
}

/// Bundles an entry in the workshop, which has no way out any more.
pub(crate) async fn make(
    workshop: &Workshop,
    esbuild: &Path,
    root: &Path,
    entry: &Path,
    provided: &[Provided],
) -> Bundled {
    let mut missing = BTreeSet::new();
    for _ in 0..ROUNDS {
        let words = words(esbuild, entry, provided, &missing);
        let (succeeded, said) = match workshop.bundle(root, &words, WITHIN).await {
            Ok(ended) => ended,
            Err(error) => return Bundled::Not(error.to_string()),
        };
        if let Some(reason) = said.iter().find_map(|line| changes_behaviour(line, &said)) {
            return Bundled::Not(reason);
        }
        if succeeded {
            // How many there are is known when it is looked at.
            return Bundled::Of(0);
        }
        let unknown: BTreeSet<String> = said.iter().filter_map(|line| unresolved(line)).collect();
        if unknown.is_empty() || unknown.is_subset(&missing) {
            return Bundled::Not(first_error(&said));
        }
        // Node fails on these only where it comes to them, and so does the bundle.
        missing.extend(unknown);
    }
    Bundled::Not(String::from("too many modules that it names are not installed"))
}

fn words(esbuild: &Path, entry: &Path, provided: &[Provided], missing: &BTreeSet<String>) -> Vec<String> {
    let mut words: Vec<String> = vec![
        esbuild.display().to_string(),
        // A path, and never the name of a package.
        format!("./{}", entry.display()),
        format!("--outfile={FILE}"),
    ];
    words.extend(
        [
            "--bundle",
            "--platform=node",
            "--format=cjs",
            "--target=esnext",
            // As Node finds modules, and not as bundlers do.
            "--main-fields=main",
            "--conditions=node-addons,module-sync",
            "--tsconfig-raw={}",
            "--keep-names",
            // What says of itself that it has no effects is run by Node all the same.
            "--ignore-annotations",
            // The runner finds it by its name, and only when there is a stack to be shown.
            "--sourcemap=external",
            "--sources-content=false",
            "--legal-comments=none",
            "--log-level=warning",
            "--log-limit=0",
            "--color=false",
        ]
        .map(String::from),
    );
    words.extend(PLACES.iter().map(|(place, name)| format!("--define:{place}={name}")));
    words.extend(SAID.iter().map(|id| format!("--log-override:{id}=warning")));
    // The one that the host has when the plugin starts.
    words.extend(provided.iter().map(|package| format!("--external:{}", package.name)));
    words.extend(missing.iter().map(|name| format!("--external:{name}")));
    words
}

/// What of the bundler's words means that a bundle would behave in another way.
fn changes_behaviour(line: &str, all: &[String]) -> Option<String> {
    let id = SAID.iter().find(|id| line.ends_with(&format!("[{id}]")))?;
    let what = match *id {
        "unsupported-require-call" | "unsupported-dynamic-import" => "loads a module whose name it computes",
        "indirect-require" => "hands `require` on",
        "require-resolve-not-external" => "asks where a module lies",
        _ => "runs text as code",
    };
    let at = all.iter().skip_while(|other| *other != line).find_map(|line| place(line));
    Some(format!("`{}` {what}", at.unwrap_or("a module")))
}

/// `    dist/index.js:3:10:` is where the message above was found.
fn place(line: &str) -> Option<&str> {
    let place = line.strip_prefix("    ")?.strip_suffix(':')?;
    let (rest, column) = place.rsplit_once(':')?;
    let (_, row) = rest.rsplit_once(':')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(column) && is_number(row)).then_some(rest)
}

/// The name of a package that nobody has.
fn unresolved(line: &str) -> Option<String> {
    let name = line.split_once("Could not resolve \"")?.1.split('"').next()?;
    let is_package = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '@')
        && !name.contains(['*', '\\']);
    is_package.then(|| name.to_owned())
}

fn first_error(said: &[String]) -> String {
    let message = said.iter().find_map(|line| line.split_once("[ERROR] ")).map(|(_, message)| message);
    let message = message.or_else(|| said.iter().map(String::as_str).find(|line| !line.trim().is_empty()));
    let at = said.iter().find_map(|line| place(line));
    let message = message.unwrap_or("the bundler did not say why");
    let whole = at.map_or_else(|| message.to_owned(), |at| format!("{at}: {message}"));
    whole.chars().take(400).collect()
}

/// Looks at what was written: strangers' code wrote to the same folder. What is not to be used is removed.
pub(crate) fn judge(version: &Path, made: Bundled) -> std::io::Result<Bundled> {
    let judged = match made {
        Bundled::Of(_) => suits(version),
        not @ Bundled::Not(_) => not,
    };
    if matches!(judged, Bundled::Not(_)) {
        remove(version)?;
    }
    Ok(judged)
}

/// Removes the folder that is the host's own.
pub(crate) fn remove(version: &Path) -> std::io::Result<()> {
    let folder = version.join(FOLDER);
    match fs::symlink_metadata(&folder) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(folder),
        Ok(_) => fs::remove_file(folder),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn suits(version: &Path) -> Bundled {
    let read = |name: &str| {
        let path = version.join(name);
        let facts = fs::symlink_metadata(&path).ok()?;
        (facts.is_file() && facts.len() <= LARGEST).then(|| fs::read_to_string(&path).ok())?
    };
    let (Some(code), Some(map)) = (read(FILE), read(MAP)) else {
        return Bundled::Not(String::from("the bundler wrote nothing that can be used"));
    };
    if let Some(reason) = asks_for_its_place(&code) {
        return Bundled::Not(reason);
    }
    let sources = serde_json::from_str::<Value>(&map).ok();
    let sources = sources.and_then(|map| map["sources"].as_array().map(Vec::len)).unwrap_or_default();
    if sources < 2 {
        return Bundled::Not(String::from("it is one file already"));
    }
    Bundled::Of(sources)
}

/// What in a bundle depends on where its modules lay, or on Node's loader having loaded each.
fn asks_for_its_place(code: &str) -> Option<String> {
    let mut module = "a module";
    for line in code.lines() {
        if let Some(path) = line.trim_start().strip_prefix("// ")
            && !path.contains(' ')
        {
            module = path;
        }
        if let Some((place, _)) = PLACES.iter().find(|(_, name)| line.contains(name)) {
            return Some(format!("`{module}` asks for its own place (`{place}`)"));
        }
        if let Some(asked) = LOADER.iter().find(|asked| mentions(line, asked)) {
            let asked = if asked.starts_with("glob") { "a choice of files" } else { asked };
            return Some(format!("`{module}` asks Node's loader (`{asked}`)"));
        }
    }
    None
}

/// Whether a line has these words, not only as a part of longer ones.
fn mentions(line: &str, words: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$' | '.');
    line.match_indices(words).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + words.len()..).and_then(|after| after.chars().next());
        let goes_on = words.ends_with('_');
        !before.is_some_and(is_part)
            && (goes_on || !after.is_some_and(|after| after.is_alphanumeric() || after == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bundler_says_of_computed_names_is_heard_with_its_place() {
        let said: Vec<String> = [
            "▲ [WARNING] Something else [other]",
            "",
            "    dist/other.js:1:1:",
            "▲ [WARNING] This call to \"require\" will not be bundled because the argument is not a string literal [unsupported-require-call]",
            "",
            "    node_modules/dep/index.js:2:18:",
            "      2 │ require(name)",
        ]
        .map(String::from)
        .into();
        let reason = said.iter().find_map(|line| changes_behaviour(line, &said)).unwrap();
        assert_eq!(reason, "`node_modules/dep/index.js:2` loads a module whose name it computes");
        assert_eq!(changes_behaviour(&said[0], &said), None);
    }

    #[test]
    fn a_package_that_nobody_has_is_told_from_a_file_that_is_missing() {
        let named = |name: &str| unresolved(&format!("✘ [ERROR] Could not resolve \"{name}\""));
        assert_eq!(named("pg-native"), Some(String::from("pg-native")));
        assert_eq!(named("@scope/x/y"), Some(String::from("@scope/x/y")));
        assert_eq!(named("./lost.js"), None);
        assert_eq!(named("../lost.js"), None);
    }

    #[test]
    fn code_that_depends_on_where_it_lies_is_found() {
        let reason =
            |code: &str| asks_for_its_place(&format!("// node_modules/dep/a.js\n// two words\n{code}\n"));
        for (code, expected) in [
            ("read(__hayloft_dirname + '/x')", Some("`__dirname`")),
            ("new URL('x', __hayloft_import_meta.url)", Some("`import.meta`")),
            ("if (require.main === module) start()", Some("`require.main`")),
            ("delete require.cache[x]", Some("`require.cache`")),
            ("var m = globRequire_x('./' + n)", Some("a choice of files")),
            ("require.mainly()", None),
            ("this.module.parent()", None),
            ("const module2 = 1; submodule.parent", None),
            ("require('./x')", None),
        ] {
            let reason = reason(code);
            assert_eq!(reason.is_some(), expected.is_some(), "{code}: {reason:?}");
            if let (Some(reason), Some(expected)) = (reason, expected) {
                assert!(reason.contains(expected) && reason.contains("node_modules/dep/a.js"), "{reason}");
            }
        }
    }
}
