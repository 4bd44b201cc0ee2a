//! The canonical format: `package.json` with a `hay-plugin` key, and an entry that exports `defineHayPlugin(…)`.
//!
//! The manifest is small on purpose (document 1, section 2): what it says is what must be known before any code of
//! the plugin runs. Configuration, auth and MCP servers are registered by the code.

use std::sync::LazyLock;

use hayloft_model::plugin::{Capability, Runtime, UpdateStrategy};
use hayloft_model::{Problem, Problems};
use schemars::{JsonSchema, Schema};

use super::package_json::{self, FILE, KEY};
use super::{Certainty, Draft, Format, Located, ManifestSchema, Recognized, SettingEnv, keys_of, schema_of};
use crate::document::Object;
use crate::folder::{Folder, Unusable};
use crate::network;
use crate::normalize::CATEGORIES;
use crate::words::quoted;

/// The reader of this format.
pub(super) const FORMAT: Format = Format {
    name: "hay-package",
    words: &["hay-package", KEY],
    looks_like: "a `package.json` with a `hay-plugin` key",
    recognize,
    missing,
    read,
    setting_env: SettingEnv::StandsIn,
    implied: &[],
    allow_env: package_json::allow_env,
    limit_place: Some(package_json::limit_place),
    schema: Some(ManifestSchema {
        manifest: FILE,
        path: "schemas/hay-package.schema.json",
        title: "package.json of a Hay-format plugin",
        make: manifest_schema,
    }),
    migrates_from: None,
};

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
    /// The only hosts that the plugin speaks to. Without it the operator's default holds.
    network: Option<Vec<network::Entry>>,
    /// How much of the machine each worker of the plugin needs, where that is not what every plugin gets. A plugin
    /// that asks for more than the operator's maximum does not start.
    limits: Option<Limits>,
    /// What comes first when the settings or the code change: `rolling`, the newer worker, so that no call waits; or
    /// `recreate`, the end of the older one, for a plugin of which an organization must never have two workers at once.
    /// `rolling` if absent.
    update_strategy: Option<UpdateStrategy>,
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

fn manifest_schema() -> Schema {
    schema_of::<PackageFile>()
}

/// The keys of the manifest, as the schema names them.
static KNOWN_KEYS: LazyLock<Vec<String>> =
    LazyLock::new(|| keys_of(&manifest_schema(), "/properties/hay-plugin/properties"));

fn recognize(folder: &Folder) -> Option<Recognized> {
    let because = match package_json::open(folder) {
        Ok(document) => {
            let package = document.root().object(&mut Problems::new())?;
            package.get(KEY)?;
            // The same key, but a class: that is a format of its own.
            if package_json::class_source(folder, &package).is_some() {
                return None;
            }
            "`package.json` has a `hay-plugin` key"
        }
        // Broken JSON that speaks of the key is somebody's plugin: its author wants to hear what is broken.
        Err(_) => package_json::speaks_of(folder, "\"hay-plugin\"")
            .then_some("`package.json` speaks of `hay-plugin`")?,
    };
    Some(Recognized { because, certainty: Certainty::Declared })
}

fn missing(folder: &Folder, problems: &mut Problems) {
    match package_json::open(folder) {
        Ok(document) => {
            if document.root().object(problems).is_some() {
                let problem = Problem::error(FILE, "has no `hay-plugin` key, so the folder is not a plugin");
                problems.push(problem.hint(
                    "add `\"hay-plugin\": { \"entry\": \"./dist/index.js\", \"capabilities\": [\"routes\"] }`",
                ));
            }
        }
        Err(_) if folder.locate(FILE) == Err(Unusable::Missing) => {}
        Err(problem) => problems.push(problem),
    }
}

fn read(folder: &Folder, problems: &mut Problems) -> Option<Draft> {
    let document = package_json::open(folder).map_err(|problem| problems.push(problem)).ok()?;
    let package = document.root().object(problems)?;
    package.check_ambiguous(problems);
    package.check_prototype(problems);

    let id = Located::required(&package, "name", problems);
    let version = Located::required(&package, "version", problems);
    let description = package.label("description", problems);

    let manifest = package.required(KEY, problems)?.object(problems)?;
    check_keys(&manifest, problems);
    Some(Draft {
        format: FORMAT.name,
        id,
        version,
        display_name: manifest.label("displayName", problems),
        description,
        category: Located::optional(&manifest, "category", problems),
        capabilities: Located::list(&manifest, "capabilities", problems),
        env: Located::list(&manifest, "env", problems),
        channel: Located::optional(&manifest, "channel", problems),
        network: network::read(&manifest, problems),
        limits: package_json::limits(&manifest, problems),
        update_strategy: package_json::update_strategy(&manifest, problems),
        runtime: package_json::entry(folder, &package, Some(&manifest), problems)
            .map(|entry| Runtime::Node { entry }),
        ..Draft::default()
    })
}

/// Warns of keys that nothing reads, and says where the misplaced ones go.
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
