//! The earlier format: a `manifest.json` that says everything, so that most of it needs no code of the plugin
//! (document 2).
//!
//! Settings, ways to authenticate, MCP servers with their tools, routes and parts of the dashboard are all declared;
//! a plugin that is only MCP servers never runs a module of its own.

use std::path::PathBuf;
use std::sync::LazyLock;

use hayloft_model::plugin::{Listing, PluginType, Requirements, Runtime, Setup};
use hayloft_model::{PluginDescriptor, Problem, Problems, Registration};
use schemars::Schema;

use super::{Certainty, Draft, Format, Located, ManifestSchema, Recognized, SettingEnv, keys_of, schema_of};
use crate::document::{Document, Naming, Object};
use crate::folder::{Folder, Unusable, relative_path};
use crate::module_file::{self, Build, NamedIn};
use crate::network;
use crate::normalize::{is_env_name, suggestion};
use crate::registration::config;
use crate::words::{listed, quoted};

mod api;
mod auth;
mod dashboard;
mod mcp;
mod shape;

/// The reader of this format.
pub(super) const FORMAT: Format = Format {
    name: "hay-manifest",
    words: &["hay-manifest", FILE],
    looks_like: "a `manifest.json` with its `id`, `entry` and `capabilities`",
    recognize,
    missing,
    read,
    setting_env: SettingEnv::Exported,
    implied: &[],
    allow_env,
    limit_place: None,
    schema: Some(ManifestSchema {
        manifest: FILE,
        path: "plugins/base/plugin-manifest.schema.json",
        title: "manifest.json of a Hay-format plugin",
        make: manifest_schema,
    }),
    migrates_from: Some(FILE),
};

const FILE: &str = "manifest.json";

/// Largest `manifest.json` that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Most entries in a list of the manifest.
const MOST_ITEMS: usize = 500;

/// Keys that only a plugin's manifest has.
const OWN_KEYS: [&str; 6] = ["id", "entry", "type", "capabilities", "configSchema", "settingsExtensions"];

/// Keys of other things that are called `manifest.json` too: web applications and browser extensions.
const FOREIGN_KEYS: [&str; 5] = ["manifest_version", "start_url", "display", "icons", "background_color"];

/// The platform APIs that can be asked for; each is a capability of its own.
const APIS: [&str; 7] = ["email", "mcp", "messages", "customers", "sources", "products", "sms"];

fn manifest_schema() -> Schema {
    schema_of::<shape::Manifest>()
}

/// The keys of the manifest, as the schema names them.
static KNOWN_KEYS: LazyLock<Vec<String>> = LazyLock::new(|| keys_of(&manifest_schema(), "/properties"));

fn open(folder: &Folder) -> Result<Document, Problem> {
    folder.read_text(FILE, LARGEST_FILE).and_then(|text| Document::parse(&text, Naming::File(FILE)))
}

fn recognize(folder: &Folder) -> Option<Recognized> {
    let because = match open(folder) {
        Ok(document) => {
            let manifest = document.root().object(&mut Problems::new())?;
            let has = |keys: &[&str]| keys.iter().any(|key| manifest.get(key).is_some());
            let is_ours = has(&OWN_KEYS) && !has(&FOREIGN_KEYS);
            is_ours.then_some("`manifest.json` describes a plugin")?
        }
        // Broken JSON that speaks of what only a plugin has: its author wants to hear what is broken.
        Err(_) => {
            let text = folder.read_text(FILE, LARGEST_FILE).ok()?;
            let has = |keys: &[&str]| keys.iter().any(|key| text.contains(&format!("\"{key}\"")));
            (has(&OWN_KEYS) && !has(&FOREIGN_KEYS)).then_some("`manifest.json` speaks of a plugin")?
        }
    };
    Some(Recognized { because, certainty: Certainty::Declared })
}

fn missing(folder: &Folder, problems: &mut Problems) {
    match open(folder) {
        Ok(document) => {
            if document.root().object(problems).is_some() {
                let problem = Problem::error(FILE, "does not describe a plugin");
                problems.push(problem.hint(format!("it would have the keys {}", listed(OWN_KEYS))));
            }
        }
        Err(_) if folder.locate(FILE) == Err(Unusable::Missing) => {}
        Err(problem) => problems.push(problem),
    }
}

fn read(folder: &Folder, problems: &mut Problems) -> Option<Draft> {
    let document = open(folder).map_err(|problem| problems.push(problem)).ok()?;
    let manifest = document.root().object(problems)?;
    let known: Vec<&str> = KNOWN_KEYS.iter().map(String::as_str).collect();
    manifest.check_keys(&known, problems);
    let id = Located::required(&manifest, "id", problems).filter(|id| is_plain_id(id, problems));
    let display_name = manifest.required("name", problems).and_then(|view| view.label(problems));
    let version = Located::required(&manifest, "version", problems);
    let description = manifest.required("description", problems).and_then(|view| view.label(problems));
    let author = manifest.required("author", problems).and_then(|view| view.label(problems));
    let types = types(&manifest, problems);
    let entry = Located::required(&manifest, "entry", problems);

    let permissions = permissions(&manifest, problems);
    let mut declared = Registration::default();
    config::read(&manifest, &mut declared.config_schema, &mut Exports { listed: &permissions.env }, problems);
    let capabilities = Capabilities::read(&manifest, problems);
    declared.name = display_name.clone().unwrap_or_default();

    let mut names: Vec<Located> = capabilities.names;
    let mut setup = Setup::default();
    let mut servers = Vec::new();
    if let Some(mcp) = &capabilities.mcp {
        let section = mcp::read(folder, mcp, problems);
        setup = section.setup;
        declared.mcp = section.declarations;
        servers.extend(section.server);
        declared.auth_methods = auth::read(mcp, &mut declared.config_schema, problems);
    }
    let named_in = named_here(folder, &setup);
    if let Some(api) = &capabilities.api {
        declared.routes = api::read(folder, api, named_in, problems);
    }
    if let Some(ui) = &capabilities.ui {
        dashboard::parts(ui, &mut declared, problems);
    }
    dashboard::settings_extensions(&manifest, &mut declared, problems);
    let (default_auth_method, without_settings_page) =
        dashboard::settings_page(&manifest, &declared, problems);
    add(&mut names, "config", &manifest, "configSchema", !declared.config_schema.fields.is_empty());
    add(&mut names, "auth", &manifest, "capabilities", !declared.auth_methods.is_empty());
    add(&mut names, "ui", &manifest, "settingsExtensions", !declared.ui_extensions.is_empty());
    for api in permissions.apis {
        if !names.iter().any(|name| name.text == api.text) {
            names.push(api);
        }
    }

    let procedures = procedures(folder, &manifest, named_in, problems);
    let requirements = Requirements {
        env: permissions.env.iter().map(|name| name.text.clone()).filter(|name| is_env_name(name)).collect(),
        scopes: permissions.scopes,
        ..Requirements::default()
    };
    if !servers.is_empty() && !requirements.lets_tools_be_called() {
        let at = manifest.place_of("permissions");
        let problem = Problem::warning(at, "asks for rights, and not for the one to have its tools called");
        problems.push(problem.hint("add `\"org:<organizationId>:mcp:invoke\"` to `scopes`"));
    }
    let only_servers = !servers.is_empty() && declared.routes.is_empty() && procedures.is_none();
    let runtime = entry.and_then(|entry| {
        let entry = entry_module(folder, &entry, named_in, capabilities.mcp.is_none(), problems)?;
        Some(if only_servers { Runtime::Servers } else { Runtime::Node { entry } })
    });
    Some(Draft {
        format: FORMAT.name,
        id,
        version,
        display_name,
        description,
        category: Located::optional(&manifest, "category", problems),
        capabilities: names,
        channel: Located::optional(&manifest, "channel", problems),
        auto_activate: manifest.boolean("autoActivate", problems).unwrap_or_default(),
        invisible: manifest.boolean("invisible", problems).unwrap_or_default(),
        enabled_by_default: manifest.boolean("enabled", problems).unwrap_or_default(),
        listing: Listing {
            author,
            types,
            icon: manifest.label("icon", problems),
            ..marketplace(&manifest, problems)
        },
        requirements,
        env: permissions.env,
        network: network::read(&manifest, problems),
        setup,
        servers,
        procedures,
        default_auth_method,
        without_settings_page,
        declared,
        runtime,
        ..Draft::default()
    })
}

/// Ids of this format are plainer than npm names.
fn is_plain_id(id: &Located, problems: &mut Problems) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !id.text.is_empty() && id.text.bytes().all(plain) {
        return true;
    }
    let words = id.text.to_lowercase();
    let words =
        words.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let proposal = words.collect::<Vec<_>>().join("-");
    let message = format!("{} is not an id of lower-case letters, digits and `-`", quoted(&id.text));
    let proposal = if proposal.is_empty() { String::from("hay-plugin-orders") } else { proposal };
    problems.push(Problem::error(&id.at, message).hint(format!("call it `{proposal}`")));
    false
}

fn types(manifest: &Object<'_>, problems: &mut Problems) -> Vec<PluginType> {
    let Some(list) = manifest.required("type", problems) else { return Vec::new() };
    let before = problems.len();
    let items = list.items(MOST_ITEMS, problems);
    if items.is_empty() && problems.len() == before {
        let names = PluginType::ALL.map(PluginType::as_str);
        problems.push(
            Problem::error(list.at(), "names no type").hint(format!("name one or more of {}", listed(names))),
        );
    }
    let mut types = Vec::new();
    for item in &items {
        let Some(name) = item.text(problems) else { continue };
        match PluginType::ALL.into_iter().find(|known| known.as_str() == name) {
            Some(known) if types.contains(&known) => {}
            Some(known) => types.push(known),
            None => {
                let names = PluginType::ALL.map(PluginType::as_str);
                let message = format!("{} is not a type of plugin", quoted(name));
                problems.push(Problem::error(item.at(), message).hint(suggestion(name, &names)));
            }
        }
    }
    types
}

/// What a plugin asks for.
#[derive(Default)]
struct Permissions {
    env: Vec<Located>,
    scopes: Option<Vec<String>>,
    apis: Vec<Located>,
}

fn permissions(manifest: &Object<'_>, problems: &mut Problems) -> Permissions {
    let Some(permissions) = manifest.get("permissions").and_then(|view| view.object(problems)) else {
        return Permissions::default();
    };
    permissions.check_keys(&["env", "scopes", "api"], problems);
    let scopes = permissions.get("scopes").map(|_| permissions.texts("scopes", MOST_ITEMS, problems));
    let mut apis = Vec::new();
    for api in Located::list(&permissions, "api", problems) {
        if APIS.contains(&api.text.as_str()) {
            apis.push(api);
        } else {
            let message = format!("{} is not an API of the platform", quoted(&api.text));
            problems.push(Problem::error(&api.at, message).hint(suggestion(&api.text, &APIS)));
        }
    }
    Permissions { env: Located::list(&permissions, "env", problems), scopes, apis }
}

/// In this format a setting's `env` is the name under which its value reaches the plugin's servers. A name that the
/// permissions list too is also looked up in the host's environment.
struct Exports<'l> {
    listed: &'l [Located],
}

impl config::Variables for Exports<'_> {
    fn read(&mut self, field: &Object<'_>, problems: &mut Problems) -> (Option<String>, Option<String>) {
        let exported = field.get("env").and_then(|view| config::exported_name(&view, problems));
        let fallback = exported.clone().filter(|name| self.listed.iter().any(|listed| listed.text == *name));
        (fallback, exported)
    }
}

/// The capabilities, whichever way they are written: as an object of sections, or as a list of names.
#[derive(Default)]
struct Capabilities<'d> {
    names: Vec<Located>,
    mcp: Option<Object<'d>>,
    ui: Option<Object<'d>>,
    api: Option<Object<'d>>,
}

impl<'d> Capabilities<'d> {
    fn read(manifest: &Object<'d>, problems: &mut Problems) -> Self {
        let Some(view) = manifest.get("capabilities") else { return Self::default() };
        if view.is_array() {
            return Self { names: Located::list(manifest, "capabilities", problems), ..Self::default() };
        }
        let Some(sections) = view.object(problems) else { return Self::default() };
        sections.check_keys(&["mcp", "ui", "api"], problems);
        let section = |key, problems: &mut Problems| sections.get(key).and_then(|view| view.object(problems));
        let mut capabilities = Self {
            names: Vec::new(),
            mcp: section("mcp", problems),
            ui: section("ui", problems),
            api: section("api", problems),
        };
        let names = [
            ("mcp", "mcp", capabilities.mcp.is_some()),
            ("ui", "ui", capabilities.ui.is_some()),
            ("api", "routes", capabilities.api.is_some()),
        ];
        for (key, name, present) in names {
            if present {
                capabilities.names.push(Located { text: name.to_owned(), at: sections.place_of(key) });
            }
        }
        capabilities
    }
}

/// Adds the capability that something else in the manifest amounts to.
fn add(names: &mut Vec<Located>, name: &str, manifest: &Object<'_>, key: &str, amounts_to_it: bool) {
    if amounts_to_it && !names.iter().any(|present| present.text == name) {
        names.push(Located { text: name.to_owned(), at: manifest.place_of(key) });
    }
}

/// How modules of this manifest are spoken of.
fn named_here(folder: &Folder, setup: &Setup) -> NamedIn {
    let package = super::package_json::open(folder).ok();
    let package = package.as_ref().and_then(|document| document.root().object(&mut Problems::new()));
    let builds = !setup.build.is_empty()
        || package.is_some_and(|package| super::package_json::named_here(&package).build == Build::Known);
    NamedIn { manifest: FILE, build: if builds { Build::Known } else { Build::Unknown } }
}

/// The entry. Where servers do the plugin's work it need not be there, only not outside.
fn entry_module(
    folder: &Folder,
    entry: &Located,
    named_in: NamedIn,
    must_exist: bool,
    problems: &mut Problems,
) -> Option<PathBuf> {
    match (must_exist, folder.locate(&entry.text)) {
        (false, Err(Unusable::Missing)) => relative_path(&entry.text).ok(),
        _ => module_file::locate(folder, entry, named_in, problems),
    }
}

fn marketplace(manifest: &Object<'_>, problems: &mut Problems) -> Listing {
    let Some(marketplace) = manifest.get("marketplace").and_then(|view| view.object(problems)) else {
        return Listing::default();
    };
    marketplace.check_keys(&["featured", "tags", "screenshots"], problems);
    let labels = |key, problems: &mut Problems| {
        let items = marketplace.items(key, MOST_ITEMS, problems);
        items.iter().filter_map(|item| item.label(problems)).collect()
    };
    Listing {
        featured: marketplace.boolean("featured", problems).unwrap_or_default(),
        tags: labels("tags", problems),
        screenshots: labels("screenshots", problems),
        ..Listing::default()
    }
}

fn procedures(
    folder: &Folder,
    manifest: &Object<'_>,
    named_in: NamedIn,
    problems: &mut Problems,
) -> Option<(PathBuf, String)> {
    let router = Located::optional(manifest, "trpcRouter", problems)?;
    if manifest.boolean("autoActivate", &mut Problems::new()) != Some(true) {
        problems.push(
            Problem::warning(&router.at, "the router answers only while the plugin runs for another reason")
                .hint("write `\"autoActivate\": true`, so that it runs as soon as the host does"),
        );
    }
    let module = module_file::locate(folder, &router, named_in, problems)?;
    Some((module, router.at))
}

fn allow_env(descriptor: &PluginDescriptor, names: &[&str]) -> String {
    let mut list: Vec<&str> = descriptor.env.iter().map(String::as_str).collect();
    list.extend(names.iter().filter(|name| !descriptor.env.iter().any(|known| known == *name)));
    let list: Vec<_> = list.iter().map(|name| format!("\"{name}\"")).collect();
    format!("write in `manifest.json`: `\"permissions\": {{ \"env\": [{}] }}`", list.join(", "))
}
