//! The class format: `package.json`, with or without a `hay-plugin` key, and an entry with a class that extends
//! `HayPlugin` (document 5).
//!
//! What a class says of itself stands in the object that its constructor hands to `super`. It is read here as text,
//! as far as it is plain values; the code itself says it again, and all the rest, when it runs.

use hayloft_model::plugin::{Capability, Listing, Runtime};
use hayloft_model::{Problem, Problems};

use super::package_json::{self, KEY, SDK};
use super::{Certainty, Draft, Format, Located, Recognized, SettingEnv};
use crate::document::Object;
use crate::folder::Folder;
use crate::network;
use crate::words::is_unprintable;
use constructor::Metadata;

mod constructor;
mod server_setup;

/// The reader of this format.
pub(super) const FORMAT: Format = Format {
    name: "hay-class",
    words: &["hay-class", "HayPlugin"],
    looks_like: "a class that extends `HayPlugin` as the entry of its `package.json`",
    recognize,
    missing: |_, _| {},
    read,
    setting_env: SettingEnv::Exported,
    implied: &[Capability::Config, Capability::Auth],
    allow_env: package_json::allow_env,
    limit_place: Some(package_json::limit_place),
    schema: None,
    migrates_from: None,
};

/// Scope and prefix of the npm names that the class SDK's own plugins have.
const NAME_PREFIX: &str = "@hay/plugin-";

/// Longest text of a class that people read, in bytes.
const LONGEST_LABEL: usize = 4096;

fn recognize(folder: &Folder) -> Option<Recognized> {
    let mut ignored = Problems::new();
    let document = package_json::open(folder).ok()?;
    let package = document.root().object(&mut ignored)?;
    let has_key = package.get(KEY).is_some();
    if !has_key && !depends_on_the_sdk(&package) {
        return None;
    }
    package_json::class_source(folder, &package)?;
    Some(if has_key {
        Recognized {
            because: "`package.json` has a `hay-plugin` key and its entry is a class that extends `HayPlugin`",
            certainty: Certainty::Declared,
        }
    } else {
        Recognized {
            because: "`package.json` depends on `@hay/plugin-sdk` and its entry is a class that extends `HayPlugin`",
            certainty: Certainty::Inferred,
        }
    })
}

fn depends_on_the_sdk(package: &Object<'_>) -> bool {
    ["dependencies", "peerDependencies", "devDependencies"].iter().any(|key| {
        let dependencies = package.get(key).and_then(|view| view.object(&mut Problems::new()));
        dependencies.is_some_and(|dependencies| dependencies.get(SDK).is_some())
    })
}

fn read(folder: &Folder, problems: &mut Problems) -> Option<Draft> {
    let document = package_json::open(folder).map_err(|problem| problems.push(problem)).ok()?;
    let package = document.root().object(problems)?;
    package.check_ambiguous(problems);
    package.check_prototype(problems);
    let manifest = package.get(KEY).and_then(|manifest| manifest.object(problems));
    // What a class says of itself may stand here too, down to keys that only its author knows.
    if let Some(manifest) = &manifest {
        manifest.check_ambiguous(problems);
        manifest.check_prototype(problems);
    }
    let source = package_json::class_source(folder, &package);
    let class = source.as_ref().map(|(path, source)| Metadata::read(path, source)).unwrap_or_default();
    let setup = source
        .as_ref()
        .map(|(path, source)| server_setup::read(folder, path, source, problems))
        .unwrap_or_default();

    let npm_name = Located::required(&package, "name", problems);
    let own_name = npm_name.as_ref().map(|located| located.text.clone());
    let manifest_id = manifest.as_ref().and_then(|manifest| Located::optional(manifest, "id", problems));
    let id = class.text("id").or(manifest_id).or(npm_name.map(without_prefix));
    // Both names lead to the plugin: the one that npm knows and the one that the class gives itself.
    let aliases = own_name.into_iter().flat_map(|name| {
        let short = name.strip_prefix(NAME_PREFIX).map(ToOwned::to_owned);
        [Some(name), short].into_iter().flatten()
    });
    let version = match class.text("version") {
        Some(version) => Some(version),
        None => Located::required(&package, "version", problems),
    };
    let in_manifest = |key, problems: &mut Problems| {
        manifest.as_ref().and_then(|manifest| Located::optional(manifest, key, problems))
    };
    let display_name = match class.text("name") {
        Some(name) => label(name, problems),
        None => manifest.as_ref().and_then(|manifest| manifest.label("displayName", problems)),
    };
    let description = match class.text("description") {
        Some(description) => label(description, problems),
        None => package.label("description", problems),
    };
    let author = match class.text("author") {
        Some(author) => label(author, problems),
        None => author(&package),
    };
    let category = class.text("category").or_else(|| in_manifest("category", problems));
    let channel = class.text("channel").or_else(|| in_manifest("channel", problems));
    let capabilities = match class.texts("capabilities") {
        Some(capabilities) => capabilities,
        None => manifest
            .as_ref()
            .map(|manifest| Located::list(manifest, "capabilities", problems))
            .unwrap_or_default(),
    };
    let env = manifest.as_ref().map(|manifest| Located::list(manifest, "env", problems)).unwrap_or_default();
    let limits =
        manifest.as_ref().map(|manifest| package_json::limits(manifest, problems)).unwrap_or_default();
    let update_strategy = manifest
        .as_ref()
        .map(|manifest| package_json::update_strategy(manifest, problems))
        .unwrap_or_default();
    let network = manifest.as_ref().and_then(|manifest| network::read(manifest, problems));
    Some(Draft {
        format: FORMAT.name,
        id,
        aliases: aliases.collect(),
        version,
        display_name,
        description,
        category,
        capabilities,
        env,
        channel,
        network,
        limits,
        update_strategy,
        setup,
        listing: Listing { author, ..Listing::default() },
        runtime: package_json::entry(folder, &package, manifest.as_ref(), problems)
            .map(|entry| Runtime::Node { entry }),
        ..Draft::default()
    })
}

/// npm writes an author as a text or as an object. Neither is ours to find fault with.
fn author(package: &Object<'_>) -> Option<String> {
    let mut ignored = Problems::new();
    let view = package.get("author")?;
    if view.is_text() {
        return view.label(&mut ignored);
    }
    view.object(&mut ignored)?.label("name", &mut ignored)
}

fn without_prefix(name: Located) -> Located {
    match name.text.strip_prefix(NAME_PREFIX).filter(|bare| !bare.is_empty()) {
        Some(bare) => Located { text: bare.to_owned(), at: name.at },
        None => name,
    }
}

/// A text of the class that people read.
fn label(located: Located, problems: &mut Problems) -> Option<String> {
    let unprintable = |character| is_unprintable(character) && !matches!(character, '\n' | '\t');
    if located.text.trim().is_empty()
        || located.text.len() > LONGEST_LABEL
        || located.text.chars().any(unprintable)
    {
        let problem = Problem::error(located.at, "is empty, too long, or holds invisible characters");
        problems.push(problem.hint("write plain text"));
        return None;
    }
    Some(located.text)
}
