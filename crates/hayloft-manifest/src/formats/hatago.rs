//! The format of the Hatago family: `hatago.plugin.json`, one entry per runtime, and only the services that it names
//! (document 4).

use std::path::PathBuf;
use std::sync::LazyLock;

use hayloft_model::plugin::{McpDeclarations, McpServerDeclaration, Requirements, Runtime, Service};
use hayloft_model::{PluginDescriptor, Problem, Problems, Registration, ServerId};
use schemars::{JsonSchema, Schema};
use semver::Version;
use serde_json::{Map, Value};

use super::{
    Certainty, Draft, Format, Located, ManifestSchema, Recognized, SettingEnv, keys_of, package_json,
    schema_of,
};
use crate::document::{Document, Naming, Object};
use crate::folder::{Folder, Unusable};
use crate::module_file::{self, Build, NamedIn};
use crate::network;
use crate::normalize::suggestion;
use crate::tool;
use crate::version_range::VersionRange;
use crate::words::quoted;

/// The reader of this format.
pub(super) const FORMAT: Format = Format {
    name: "hatago",
    words: &["hatago", FILE, "@hatago/core"],
    looks_like: "a `hatago.plugin.json`",
    recognize,
    missing: |_, _| {},
    read,
    setting_env: SettingEnv::StandsIn,
    implied: &[],
    allow_env,
    limit_place: None,
    schema: Some(ManifestSchema {
        manifest: FILE,
        path: "schemas/hatago-plugin.schema.json",
        title: "hatago.plugin.json",
        make: manifest_schema,
    }),
    migrates_from: None,
};

const FILE: &str = "hatago.plugin.json";

/// Largest manifest that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The version of Hatago's core whose contract this host keeps.
const CORE: Version = Version::new(1, 0, 0);

/// The newest date that the Workers runtime of this host can behave as of: the one that the runner asks it for.
const WORKERS: &str = "2026-07-01";

/// The name of the one server that a plugin of this format registers its tools with.
const SERVER: &str = "mcp";

/// A plugin of the Hatago family.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the file's shape: its schema is what is used")]
struct Manifest {
    /// Where this schema is.
    #[schemars(rename = "$schema")]
    schema: Option<String>,
    /// The npm name, which is the plugin's id. It may be scoped.
    #[schemars(regex(pattern = r"^(@[a-z0-9-][a-z0-9._-]*/)?[a-z0-9-][a-z0-9._-]*$"), length(max = 214))]
    name: String,
    /// The version, as Semantic Versioning writes it.
    #[schemars(regex(pattern = r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"))]
    version: String,
    /// One line about the plugin.
    description: Option<String>,
    /// What it runs on.
    engines: Option<Engines>,
    /// The only services that its code gets.
    #[schemars(extend("uniqueItems" = true))]
    capabilities: Option<Vec<Service>>,
    /// The module to load.
    entry: Entry,
    /// What it announces before it runs.
    mcp: Option<Mcp>,
    /// Names of host environment variables that its code may read.
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    env: Option<Vec<String>>,
    /// The only hosts that its code speaks to, if it has `fetch`. Without it the operator's default holds.
    network: Option<Vec<network::Entry>>,
}

/// What a plugin runs on.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
struct Engines {
    /// The versions of Hatago's core.
    hatago: Option<String>,
    /// The versions of Node.
    node: Option<String>,
    /// The compatibility date of the Workers runtime, such as `>=2023-10-30`.
    #[schemars(regex(pattern = r"^\s*(>=|<=|>|<|=)?\s*\d{4}-\d{2}-\d{2}\s*$"))]
    workers: Option<String>,
}

/// The module to load: one for all runtimes, or one for each.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
enum Entry {
    /// On every runtime.
    Text(String),
    /// For each runtime.
    Each(Box<EntryOfEach>),
}

/// The module to load, for each runtime.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
struct EntryOfEach {
    /// On Node.
    node: Option<String>,
    /// On the Workers runtime.
    workers: Option<String>,
    /// Where no other fits.
    default: Option<String>,
}

/// What a plugin announces before it runs.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for the key's shape: its schema is what is used")]
struct Mcp {
    /// The tools that it will register.
    tools: Option<Vec<Map<String, Value>>>,
}

fn manifest_schema() -> Schema {
    schema_of::<Manifest>()
}

/// The keys of the manifest, as the schema names them.
static KNOWN_KEYS: LazyLock<Vec<String>> = LazyLock::new(|| keys_of(&manifest_schema(), "/properties"));

fn recognize(folder: &Folder) -> Option<Recognized> {
    // Nothing else has a file of this name, so whatever is in it was meant for this.
    let is_there = folder.locate(FILE) != Err(Unusable::Missing);
    is_there
        .then_some(Recognized { because: "it has a `hatago.plugin.json`", certainty: Certainty::Declared })
}

fn read(folder: &Folder, problems: &mut Problems) -> Option<Draft> {
    let document = folder
        .read_text(FILE, LARGEST_FILE)
        .and_then(|text| Document::parse(&text, Naming::File(FILE)))
        .map_err(|problem| problems.push(problem))
        .ok()?;
    let manifest = document.root().object(problems)?;
    let known: Vec<&str> = KNOWN_KEYS.iter().map(String::as_str).collect();
    manifest.check_keys(&known, problems);
    let id = Located::required(&manifest, "name", problems);
    let version = Located::required(&manifest, "version", problems);
    let engines = engines(&manifest, problems);
    let services = services(&manifest, problems);
    let (runtime, alternatives) = match entries(folder, &manifest, engines.workers, problems) {
        Some((first, others)) => (Some(first), others),
        None => (None, Vec::new()),
    };
    Some(Draft {
        format: FORMAT.name,
        id,
        version,
        description: manifest.label("description", problems),
        capabilities: vec![Located { text: String::from("mcp"), at: manifest.at() }],
        env: Located::list(&manifest, "env", problems),
        requirements: Requirements { node: engines.node, ..Requirements::default() },
        services: Some(services),
        // Nothing in the manifest says what the code reads from its configuration.
        free_settings: true,
        network: network::read(&manifest, problems),
        declared: Registration { mcp: servers(&manifest, problems), ..Registration::default() },
        runtime,
        alternatives,
        ..Draft::default()
    })
}

/// What the plugin runs on.
#[derive(Default)]
struct Wanted {
    node: Option<String>,
    workers: Option<Located>,
}

fn engines(manifest: &Object<'_>, problems: &mut Problems) -> Wanted {
    let engines = manifest.get("engines").and_then(|view| view.object(problems));
    let Some(engines) = engines else {
        let problem = Problem::warning(
            manifest.place_of("engines"),
            "is missing, so nothing says what it was written for",
        );
        problems.push(problem.hint("write `\"engines\": { \"hatago\": \"^1.0.0\" }`"));
        return Wanted::default();
    };
    engines.check_keys(&["hatago", "node", "workers"], problems);
    if let Some((text, range)) = range(&engines, "hatago", problems)
        && !range.includes(&CORE)
    {
        let message = format!(
            "{} does not include {CORE}, the version whose contract this host keeps",
            quoted(&text.text)
        );
        problems.push(Problem::error(text.at, message).hint("widen the range if the plugin works with it"));
    }
    let node = range(&engines, "node", problems).map(|(text, _)| text.text);
    Wanted { node, workers: date(&engines, problems) }
}

fn range(engines: &Object<'_>, key: &str, problems: &mut Problems) -> Option<(Located, VersionRange)> {
    let text = Located::optional(engines, key, problems)?;
    match VersionRange::parse(&text.text) {
        Some(range) => Some((text, range)),
        None => {
            let message = format!("{} is not a range of versions", quoted(&text.text));
            problems.push(
                Problem::error(text.at, message).hint("write it as npm does, such as `>=18` or `^1.0.0`"),
            );
            None
        }
    }
}

/// The date from which on the Workers runtime behaves as the code expects.
fn date(engines: &Object<'_>, problems: &mut Problems) -> Option<Located> {
    let text = Located::optional(engines, "workers", problems)?;
    let trimmed = text.text.trim();
    // The runtime behaves as on that day and as on none before: an upper bound is no promise that it could keep.
    let date = trimmed.strip_prefix(">=").unwrap_or(trimmed).trim();
    if is_date(date) {
        return Some(Located { text: date.to_owned(), at: text.at });
    }
    let message = format!("{} is not a date from which on the runtime fits", quoted(&text.text));
    problems
        .push(Problem::error(text.at, message).hint("write a compatibility date, such as `>=2023-10-30`"));
    None
}

/// A date that this host's runtime does not know yet: without an entry for Node the plugin cannot run here.
fn check_date(date: &Located, runs_on_node: bool, problems: &mut Problems) {
    // Both are written year first, with the same number of digits.
    if date.text.as_str() <= WORKERS {
        return;
    }
    let message =
        format!("{} is later than {WORKERS}, as of which isolates of this host behave", quoted(&date.text));
    problems.push(if runs_on_node {
        Problem::warning(date.at.clone(), message)
            .hint("the plugin runs on Node here; its entry for `workers` could not")
    } else {
        Problem::error(date.at.clone(), message)
            .hint("name an earlier date if the plugin works as of it, or give it an entry for `node`")
    });
}

fn is_date(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('-').collect();
    let [year, month, day] = numbers.as_slice() else { return false };
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u32>().ok()).flatten()
    };
    let month_and_day = number(month, 2).zip(number(day, 2));
    number(year, 4).is_some()
        && month_and_day.is_some_and(|(month, day)| {
            let longest = match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (1..=12).contains(&month) && (1..=longest).contains(&day)
        })
}

/// The services, each known: an unknown one is refused when the plugin is loaded, by its name.
fn services(manifest: &Object<'_>, problems: &mut Problems) -> Vec<Service> {
    let mut services = Vec::new();
    for name in Located::list(manifest, "capabilities", problems) {
        match Service::ALL.into_iter().find(|service| service.as_str() == name.text) {
            Some(service) if services.contains(&service) => {
                let message = format!("the capability {} is listed twice", quoted(&name.text));
                problems.push(Problem::warning(name.at, message).hint("remove one of them"));
            }
            Some(service) => services.push(service),
            None => {
                let names = Service::ALL.map(Service::as_str);
                let message = format!("{} is not a capability of this host", quoted(&name.text));
                problems.push(Problem::error(name.at, message).hint(suggestion(&name.text, &names)));
            }
        }
    }
    services
}

/// The way to run the plugin, and other ways. Node comes first, since every host has it.
fn entries(
    folder: &Folder,
    manifest: &Object<'_>,
    date: Option<Located>,
    problems: &mut Problems,
) -> Option<(Runtime, Vec<Runtime>)> {
    let named_in = named_here(folder);
    let view = manifest.required("entry", problems)?;
    if view.is_text() {
        let entry = Located::read(&view, problems)?;
        let entry = module_file::locate(folder, &entry, named_in, problems)?;
        return Some((Runtime::Node { entry }, Vec::new()));
    }
    let entries = view.object(problems)?;
    entries.check_keys(&["node", "workers", "default"], problems);
    let before = problems.len();
    let module = |key, problems: &mut Problems| -> Option<PathBuf> {
        let entry = Located::optional(&entries, key, problems)?;
        module_file::locate(folder, &entry, named_in, problems)
    };
    let node = module("node", problems);
    let default = module("default", problems);
    let node = node.or(default).map(|entry| Runtime::Node { entry });
    let workers = module("workers", problems);
    if workers.is_some()
        && let Some(date) = &date
    {
        check_date(date, node.is_some(), problems);
    }
    let compatibility_date = date.map(|date| date.text);
    let workers = workers.map(|entry| Runtime::Isolate { entry, compatibility_date });
    let mut ways = [node, workers].into_iter().flatten();
    let first = ways.next();
    if first.is_none() && problems.len() == before {
        problems.push(
            Problem::error(view.at(), "names no module for any runtime")
                .hint("write `\"entry\": { \"node\": \"./dist/index.js\" }`"),
        );
    }
    Some((first?, ways.collect()))
}

fn named_here(folder: &Folder) -> NamedIn {
    let package = package_json::open(folder).ok();
    let package = package.as_ref().and_then(|document| document.root().object(&mut Problems::new()));
    let build = package.map_or(Build::Unknown, |package| package_json::named_here(&package).build);
    NamedIn { manifest: FILE, build }
}

fn servers(manifest: &Object<'_>, problems: &mut Problems) -> McpDeclarations {
    let mcp = manifest.get("mcp").and_then(|view| view.object(problems));
    if let Some(mcp) = &mcp {
        mcp.check_keys(&["tools"], problems);
    }
    let tools =
        mcp.and_then(|mcp| mcp.get("tools")).map(|list| tool::read_all(&list, problems)).unwrap_or_default();
    let Ok(id) = SERVER.parse::<ServerId>() else { return McpDeclarations::default() };
    let server = McpServerDeclaration { id, name: None, description: None, tools };
    McpDeclarations { local: vec![server], external: Vec::new() }
}

fn allow_env(descriptor: &PluginDescriptor, names: &[&str]) -> String {
    let mut list: Vec<&str> = descriptor.env.iter().map(String::as_str).collect();
    list.extend(names.iter().filter(|name| !descriptor.env.iter().any(|known| known == *name)));
    let list: Vec<_> = list.iter().map(|name| format!("\"{name}\"")).collect();
    format!("write in `hatago.plugin.json`: `\"env\": [{}]`", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_asks_for_the_same_date() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packages/plugin-runner/src/formats/hatago/manifest.ts"
        );
        let runner = std::fs::read_to_string(path).unwrap();
        assert!(
            runner.contains(&format!("export const WORKERS_DATE = \"{WORKERS}\";\n")),
            "it is not {WORKERS}"
        );
        assert!(is_date(WORKERS));
    }
}
