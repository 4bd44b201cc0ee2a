//! The formats that plugins are written in: one reader each, all of one shape.
//!
//! A reader turns its format's files into a [`Draft`] and names what is wrong with the files. It must not decide
//! anything that is the same for every format: that is [`crate::normalize`].

use hayloft_model::plugin::{FormatName, LimitName, Runtime};
use hayloft_model::{PluginDescriptor, Problems};

use crate::document::View;
use crate::folder::Folder;

mod hay_package;

pub(crate) use hay_package::manifest_schema;

/// One format: how to know it and how to read it.
pub(crate) struct Format {
    /// Its name in descriptors, in the worker protocol and for people.
    pub(crate) name: &'static str,
    /// Words that are this format's own: outside the doors nobody may say them.
    pub(crate) words: &'static [&'static str],
    /// The reason to take a folder for this format, if there is one.
    pub(crate) recognize: fn(&Folder) -> Option<&'static str>,
    /// What a folder lacks that looks as if it were meant for this format.
    pub(crate) missing: fn(&Folder, &mut Problems),
    /// Reads the folder; `None` if there is nothing to go on with.
    pub(crate) read: fn(&Folder, &mut Problems) -> Option<Draft>,
    /// What to write, and where, so that the plugin may read these environment variables beside its present ones.
    pub(crate) allow_env: fn(&PluginDescriptor, &[&str]) -> String,
    /// Where the plugin asks for a limit.
    pub(crate) limit_place: fn(LimitName) -> String,
}

/// Every format, in the order in which a folder is tried.
const FORMATS: [&Format; 1] = [&hay_package::FORMAT];

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
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) format: &'static str,
    pub(crate) id: Option<Located>,
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
    pub(crate) runtime: Option<Runtime>,
}

/// A text and its place.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) at: String,
}

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
}
