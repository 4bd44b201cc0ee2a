//! The formats that plugins are written in: one reader each, all of one shape.
//!
//! A reader turns its format's files into a [`Draft`] and names what is wrong with the files. It must not decide
//! anything that is the same for every format: that is [`crate::normalize`].

use std::path::PathBuf;

use hayloft_model::plugin::{
    Capability, FormatName, LimitName, Listing, McpServer, NetworkTarget, Requirements, Runtime, Service,
    Setup, UpdateStrategy,
};
use hayloft_model::{PluginDescriptor, Problems, Registration};
use schemars::Schema;

use crate::document::{Object, View};
use crate::folder::Folder;

mod hatago;
mod hay_class;
mod hay_manifest;
mod hay_package;
pub mod migrate;
mod package_json;

/// One format: how to know it and how to read it.
pub(crate) struct Format {
    /// Its name in descriptors, in the worker protocol and for people.
    pub(crate) name: &'static str,
    /// Words that are this format's own: outside the doors nobody may say them.
    pub(crate) words: &'static [&'static str],
    /// What a folder in this format has: a fragment that completes "a plugin has …".
    pub(crate) looks_like: &'static str,
    /// The reason to take a folder for this format, if there is one.
    pub(crate) recognize: fn(&Folder) -> Option<Recognized>,
    /// What a folder lacks that looks as if it were meant for this format.
    pub(crate) missing: fn(&Folder, &mut Problems),
    /// Reads the folder; `None` if there is nothing to go on with.
    pub(crate) read: fn(&Folder, &mut Problems) -> Option<Draft>,
    /// What a setting's `env` means in it.
    pub(crate) setting_env: SettingEnv,
    /// Capabilities that its plugins use without naming them.
    pub(crate) implied: &'static [Capability],
    /// What to write, and where, so that the plugin may read these environment variables beside its present ones.
    pub(crate) allow_env: fn(&PluginDescriptor, &[&str]) -> String,
    /// Where the plugin asks for a limit, if its format has a place for that.
    pub(crate) limit_place: Option<fn(LimitName) -> String>,
    /// The JSON Schema of its manifest, for editors.
    pub(crate) schema: Option<ManifestSchema>,
    /// The manifest that a migration to the canonical format makes superfluous, where there is such a migration.
    pub(crate) migrates_from: Option<&'static str>,
}

/// Why a folder is taken for a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recognized {
    /// A fragment that completes "because …".
    pub(crate) because: &'static str,
    /// How sure that is.
    pub(crate) certainty: Certainty,
}

/// How sure it is that a folder is in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// The author says so: a second format that is sure too is a problem.
    Declared,
    /// It looks so, as long as no other format is declared.
    Inferred,
}

/// What a setting's `env` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingEnv {
    /// The host's variable that stands in while the organization gave no value. The manifest must list it.
    StandsIn,
    /// The name under which the value reaches the plugin's own processes. If the manifest lists it, the host's variable
    /// stands in too.
    Exported,
}

/// The schema of a manifest and the file that it is kept in.
pub(crate) struct ManifestSchema {
    /// The manifest's file name.
    pub(crate) manifest: &'static str,
    /// Where the schema lies, relative to the root of the repository.
    pub(crate) path: &'static str,
    /// What it describes, for people.
    pub(crate) title: &'static str,
    /// The schema.
    pub(crate) make: fn() -> Schema,
}

/// Every format, in the order in which a folder is tried.
const FORMATS: [&Format; 4] =
    [&hay_package::FORMAT, &hay_class::FORMAT, &hay_manifest::FORMAT, &hatago::FORMAT];

/// The names of all formats that can be read.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name)
}

/// The words that only the readers of formats may say: names of formats, of their files and of their keys.
pub fn words() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().flat_map(|format| format.words.iter().copied())
}

pub(crate) fn all() -> impl Iterator<Item = &'static Format> {
    FORMATS.into_iter()
}

pub(crate) fn named(name: &FormatName) -> Option<&'static Format> {
    all().find(|format| format.name == name.0)
}

/// What a reader found, as its author wrote it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) format: &'static str,
    pub(crate) id: Option<Located>,
    pub(crate) aliases: Vec<String>,
    pub(crate) version: Option<Located>,
    pub(crate) display_name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) category: Option<Located>,
    pub(crate) capabilities: Vec<Located>,
    pub(crate) env: Vec<Located>,
    pub(crate) channel: Option<Located>,
    pub(crate) auto_activate: bool,
    pub(crate) invisible: bool,
    pub(crate) limits: Vec<LocatedLimit>,
    pub(crate) update_strategy: UpdateStrategy,
    pub(crate) enabled_by_default: bool,
    pub(crate) listing: Listing,
    pub(crate) requirements: Requirements,
    pub(crate) services: Option<Vec<Service>>,
    pub(crate) free_settings: bool,
    pub(crate) network: Option<Vec<NetworkTarget>>,
    pub(crate) setup: Setup,
    pub(crate) servers: Vec<McpServer>,
    /// The module of the plugin's procedures and the place that names it.
    pub(crate) procedures: Option<(PathBuf, String)>,
    pub(crate) default_auth_method: Option<String>,
    pub(crate) without_settings_page: bool,
    pub(crate) declared: Registration,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) alternatives: Vec<Runtime>,
}

/// A text and its place.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) at: String,
}

/// Most entries in a list of a manifest.
const MOST_ITEMS: usize = 200;

/// A limit that the plugin asks for, and its place.
#[derive(Clone, Debug)]
pub(crate) struct LocatedLimit {
    pub(crate) name: LimitName,
    pub(crate) value: u64,
    pub(crate) at: String,
}

impl Located {
    /// The text of a value, or a problem.
    pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<Self> {
        view.text(problems).map(|text| Self { text: text.to_owned(), at: view.at() })
    }

    /// The text under a key that may be absent.
    pub(crate) fn optional(object: &Object<'_>, key: &str, problems: &mut Problems) -> Option<Self> {
        object.get(key).and_then(|view| Self::read(&view, problems))
    }

    /// The text under a key that must be there.
    pub(crate) fn required(object: &Object<'_>, key: &str, problems: &mut Problems) -> Option<Self> {
        object.required(key, problems).and_then(|view| Self::read(&view, problems))
    }

    /// The texts of a list that may be absent.
    pub(crate) fn list(object: &Object<'_>, key: &str, problems: &mut Problems) -> Vec<Self> {
        let items = object.items(key, MOST_ITEMS, problems);
        items.iter().filter_map(|item| Self::read(item, problems)).collect()
    }
}

/// The keys that a schema names at a place, such as `/properties`.
fn keys_of(schema: &Schema, pointer: &str) -> Vec<String> {
    let properties = schema.pointer(pointer).and_then(|value| value.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// The schema of a type that stands for a manifest's shape.
fn schema_of<T: schemars::JsonSchema>() -> Schema {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
