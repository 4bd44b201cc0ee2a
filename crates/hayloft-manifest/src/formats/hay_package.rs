//! The canonical format: `package.json` with a `hay-plugin` key, and an entry that exports `defineHayPlugin(…)`.
//!
//! The manifest is small on purpose (document 1, section 2): what it says is what must be known before any code of
//! the plugin runs. Configuration, auth and MCP servers are registered by the code.

use std::path::PathBuf;
use std::sync::LazyLock;

use hayloft_model::plugin::{Capability, LimitName, Runtime};
use hayloft_model::{PluginDescriptor, Problem, Problems};
use schemars::{JsonSchema, Schema};

use super::{Draft, Format, Located, LocatedLimit};
use crate::document::{Document, Naming, Object};
use crate::folder::{Folder, Unusable};
use crate::normalize::CATEGORIES;
use crate::words::quoted;

/// The reader of this format.
pub(super) const FORMAT: Format = Format {
    name: "hay-package",
    words: &["hay-package", KEY],
    recognize,
    missing,
    read,
    allow_env,
    limit_place,
};

const FILE: &str = "package.json";
const KEY: &str = "hay-plugin";
const LIMITS: &str = "limits";

/// Largest `package.json` that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Most entries in a list of the manifest.
const MOST_ITEMS: usize = 200;

/// Keys that other formats and hopes put here, and where such things go in this format.
const MISPLACED: [(&[&str], &str); 3] = [
    (
        &["config", "configSchema", "configuration", "settings"],
        "declare settings in the code: `register.config({ … })` in `onInitialize`",
    ),
    (
        &["mcp", "mcpServers", "tools"],
        "start MCP servers in the code: `ctx.mcp.startLocal(…)` or `ctx.mcp.startExternal(…)` in `onStart`",
    ),
    (
        &["auth", "authMethods", "oauth", "oauth2", "apiKey"],
        "declare ways to authenticate in the code: `register.auth.apiKey({ … })` or `register.auth.oauth2({ … })` \
         in `onInitialize`",
    ),
];

/// A plugin's package.json: the keys that the plugin host reads. All other keys are npm's.
#[derive(JsonSchema)]
#[schemars(rename = "HayPackage", inline)]
#[expect(dead_code, reason = "the type stands for the file's shape: its schema is what is used")]
struct PackageFile {
    /// The npm name, which is the plugin's id. It may be scoped.
    #[schemars(regex(pattern = r"^(@[a-z0-9-][a-z0-9._-]*/)?[a-z0-9-][a-z0-9._-]*$"), length(max = 214))]
    name: String,
    /// The version, as Semantic Versioning writes it.
    #[schemars(regex(pattern = r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"))]
    version: String,
    /// One line about the plugin.
    description: Option<String>,
    /// The module to load when `hay-plugin` names no `entry`.
    main: Option<String>,
    /// What the plugin host must know before it runs the plugin.
    #[schemars(rename = "hay-plugin")]
    hay_plugin: Manifest,
}

/// What the plugin host must know before it runs the plugin.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
struct Manifest {
    /// The compiled module that exports `defineHayPlugin(…)`, relative to package.json. Without it `main` counts.
    entry: Option<String>,
    /// The name that people read.
    display_name: Option<String>,
    /// Where the marketplace files it.
    // An unknown category is only warned about, so the known ones are examples.
    #[schemars(extend("examples" = CATEGORIES))]
    category: Option<String>,
    /// What the plugin registers or uses.
    #[schemars(extend("uniqueItems" = true))]
    capabilities: Option<Vec<Capability>>,
    /// Names of host environment variables that the plugin may read as a fallback for its configuration.
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    env: Option<Vec<String>>,
    /// The channel that a channel plugin serves.
    #[schemars(regex(pattern = r"^[a-z0-9_:-]+$"))]
    channel: Option<String>,
    /// How much of the machine each worker of the plugin needs, where that is not what every plugin gets. A plugin
    /// that asks for more than the operator's maximum does not start.
    limits: Option<Limits>,
}

/// How much of the machine a worker needs, its MCP servers included.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
struct Limits {
    /// Memory: a size such as `"1GiB"`, or a number of bytes.
    memory: Option<Size>,
    /// Processes and threads.
    #[schemars(range(min = 32))]
    tasks: Option<u64>,
    /// Processor time, in percent of one core.
    #[schemars(range(min = 1))]
    processor: Option<u64>,
    /// Temporary files: a size such as `"64MiB"`, or a number of bytes.
    temporary: Option<Size>,
}

/// A number of bytes.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "the type stands for a value's shape: its schema is what is used")]
enum Size {
    Bytes(u64),
    Text(#[schemars(regex(pattern = r"^\s*\d+\s*(B|KiB|MiB|GiB)?\s*$"))] String),
}

/// The JSON Schema of `package.json` in this format.
pub(crate) fn manifest_schema() -> Schema {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<PackageFile>()
}

/// The keys of the manifest, as the schema names them.
static KNOWN_KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let schema = manifest_schema();
    let properties = schema.pointer("/properties/hay-plugin/properties").and_then(|value| value.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
});

fn recognize(folder: &Folder) -> Option<&'static str> {
    let text = folder.read_text(FILE, LARGEST_FILE).ok()?;
    match Document::parse(&text, Naming::File(FILE)) {
        Ok(document) => {
            let root = document.root().object(&mut Problems::new())?;
            root.keys().any(|(key, _)| key == KEY).then_some("`package.json` has a `hay-plugin` key")
        }
        // Broken JSON that speaks of the key is somebody's plugin: its author wants to hear what is broken.
        Err(_) => text.contains("\"hay-plugin\"").then_some("`package.json` speaks of `hay-plugin`"),
    }
}

fn missing(folder: &Folder, problems: &mut Problems) {
    match folder.read_text(FILE, LARGEST_FILE) {
        Ok(text) => match Document::parse(&text, Naming::File(FILE)) {
            Ok(document) => {
                if document.root().object(problems).is_some() {
                    let problem =
                        Problem::error(FILE, "has no `hay-plugin` key, so the folder is not a plugin");
                    problems.push(problem.hint(
                        "add `\"hay-plugin\": { \"entry\": \"./dist/index.js\", \"capabilities\": [\"routes\"] }`",
                    ));
                }
            }
            Err(problem) => problems.push(problem),
        },
        Err(problem) if folder.locate(FILE) == Err(Unusable::Missing) => {
            problems.push(problem.hint("give the folder that holds the plugin's `package.json`"));
        }
        Err(problem) => problems.push(problem),
    }
}

fn read(folder: &Folder, problems: &mut Problems) -> Option<Draft> {
    let document = folder
        .read_text(FILE, LARGEST_FILE)
        .and_then(|text| Document::parse(&text, Naming::File(FILE)))
        .map_err(|problem| problems.push(problem))
        .ok()?;
    let package = document.root().object(problems)?;
    package.check_ambiguous(problems);
    package.check_prototype(problems);

    let id = package.required("name", problems).and_then(|view| Located::read(&view, problems));
    let version = package.required("version", problems).and_then(|view| Located::read(&view, problems));
    let description = package.label("description", problems);

    let manifest = package.required(KEY, problems)?.object(problems)?;
    check_keys(&manifest, problems);
    Some(Draft {
        format: FORMAT.name,
        id,
        version,
        display_name: manifest.label("displayName", problems),
        description,
        category: located(&manifest, "category", problems),
        capabilities: located_items(&manifest, "capabilities", problems),
        env: located_items(&manifest, "env", problems),
        channel: located(&manifest, "channel", problems),
        auto_activate: false,
        invisible: false,
        limits: limits(&manifest, problems),
        runtime: entry(folder, &package, &manifest, problems).map(|entry| Runtime::Node { entry }),
    })
}

fn located(object: &Object<'_>, key: &str, problems: &mut Problems) -> Option<Located> {
    object.get(key).and_then(|view| Located::read(&view, problems))
}

fn located_items(object: &Object<'_>, key: &str, problems: &mut Problems) -> Vec<Located> {
    let items = object.items(key, MOST_ITEMS, problems);
    items.iter().filter_map(|item| Located::read(item, problems)).collect()
}

fn limits(manifest: &Object<'_>, problems: &mut Problems) -> Vec<LocatedLimit> {
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

fn limit_place(name: LimitName) -> String {
    format!("{FILE}#{KEY}.{LIMITS}.{name}")
}

fn check_keys(manifest: &Object<'_>, problems: &mut Problems) {
    let known: Vec<&str> = KNOWN_KEYS.iter().map(String::as_str).collect();
    let mut misplaced = Vec::new();
    for (key, at) in manifest.keys() {
        if let Some((_, hint)) = MISPLACED.iter().find(|(keys, _)| keys.contains(&key)) {
            problems.push(
                Problem::error(at, format!("{} does not belong into the manifest", quoted(key))).hint(*hint),
            );
            misplaced.push(key);
        }
    }
    manifest.check_keys_but(&misplaced, &known, problems);
}

fn entry(
    folder: &Folder,
    package: &Object<'_>,
    manifest: &Object<'_>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    if manifest.get("entry").is_some() {
        let entry = located(manifest, "entry", problems)?;
        return match folder.locate(&entry.text) {
            Ok(path) => runnable(path, &entry, problems),
            Err(unusable) => {
                problems.push(entry_problem(package, &entry, unusable));
                None
            }
        };
    }
    if package.get("main").is_some() {
        let main = located(package, "main", problems)?;
        // Node completes `main`: a file, the same with `.js`, or a folder with an `index.js`.
        let spellings = [main.text.clone(), format!("{}.js", main.text), format!("{}/index.js", main.text)];
        return match spellings.iter().find_map(|name| folder.locate(name).ok()) {
            Some(path) => runnable(path, &main, problems),
            None => {
                let unusable = folder.locate(&main.text).err().unwrap_or(Unusable::Missing);
                problems.push(entry_problem(package, &main, unusable));
                None
            }
        };
    }
    let problem = Problem::error(manifest.place_of("entry"), "is missing, and `package.json` has no `main`");
    problems.push(problem.hint("name the compiled module: `\"entry\": \"./dist/index.js\"`"));
    None
}

fn runnable(path: PathBuf, entry: &Located, problems: &mut Problems) -> Option<PathBuf> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension {
        "js" | "cjs" | "mjs" => return Some(path),
        "ts" | "mts" | "cts" | "tsx" => {
            problems.push(Problem::error(&entry.at, format!("{} is TypeScript", quoted(&entry.text))).hint(
                "name the compiled module, such as `./dist/index.js`, and give the package a `build` script",
            ))
        }
        _ => problems.push(
            Problem::error(&entry.at, format!("{} is not a JavaScript module", quoted(&entry.text)))
                .hint("name a file that ends in `.js`, `.cjs` or `.mjs`"),
        ),
    }
    None
}

fn entry_problem(package: &Object<'_>, entry: &Located, unusable: Unusable) -> Problem {
    let shown = quoted(&entry.text);
    let error = |message: String| Problem::error(&entry.at, message);
    match unusable {
        Unusable::Malformed => error(format!("{shown} is not a path"))
            .hint("name the compiled module, such as `./dist/index.js`"),
        Unusable::Absolute => error(format!("{shown} is not a relative path"))
            .hint("name the module relative to `package.json`, such as `./dist/index.js`"),
        Unusable::Outside => error(format!("{shown} leads out of the plugin's folder"))
            .hint("keep the module inside the folder: nothing outside it can be loaded"),
        Unusable::Missing => {
            let problem = error(format!("{shown} does not exist"));
            let builds = package
                .get("scripts")
                .and_then(|scripts| scripts.object(&mut Problems::new()))
                .is_some_and(|scripts| scripts.get("build").is_some());
            match (builds, entry.text.contains('\\')) {
                (_, true) => problem.hint("write `/` between the parts of a path"),
                (true, false) => problem.hint("build the plugin first: `npm install && npm run build`"),
                (false, false) => problem.hint("name a file that is there, relative to `package.json`"),
            }
        }
        Unusable::NotAFile => {
            error(format!("{shown} is not a file")).hint("name the module itself, not its folder")
        }
        Unusable::Unreadable => {
            error(format!("{shown} cannot be read")).hint("check the permissions of the file and its folder")
        }
    }
}

fn allow_env(descriptor: &PluginDescriptor, names: &[&str]) -> String {
    let mut list: Vec<&str> = descriptor.env.iter().map(String::as_str).collect();
    list.extend(names.iter().filter(|name| !descriptor.env.iter().any(|known| known == *name)));
    let list: Vec<_> = list.iter().map(|name| format!("\"{name}\"")).collect();
    format!("write in `package.json`, inside `\"hay-plugin\"`: `\"env\": [{}]`", list.join(", "))
}
