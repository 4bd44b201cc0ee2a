//! Four front doors: a folder goes in, a [`PluginDescriptor`] and [`Problems`] come out.
//!
//! Each plugin format is read by one file in `formats` into a draft; [`normalize`] turns every draft into a
//! descriptor on one path, and past this crate nobody asks which format it was. What an author wrote is never an
//! error of ours: every reader finds all problems at once, each with its place and a hint.
//!
//! This crate must not know workers, tenants or the network, and it never runs a plugin's code.
//!
//! To add a format: one file in `formats` that exports a `Format`, its line in [`formats`], golden cases in
//! `tests/golden/<format>/`, and a sample plugin.

use std::cmp::Ordering;
use std::path::Path;

use hayloft_model::plugin::LimitName;
use hayloft_model::{PluginDescriptor, Problems};

mod command_line;
pub mod content_hash;
pub mod discover;
mod document;
pub mod facts;
mod folder;
pub mod formats;
mod interface;
pub mod known_hashes;
mod module_file;
mod network;
mod normalize;
mod npm_words;
pub mod probe;
pub mod registration;
pub mod report;
pub mod schema;
mod tool;
mod transport;
mod unused;
mod version_range;
mod web_address;
mod words;

pub use content_hash::{HashError, content_hash};
pub use discover::{Discovered, discover};
pub use formats::migrate::{self, Migration, migrate};
pub use interface::{Interface, interface};
pub use known_hashes::{KnownHashes, Measured};
pub use normalize::needs_grant;
pub use probe::{Evidence, probe};
pub use report::{Report, check};

use folder::{Folder, Modules};

/// Reads a plugin's folder without running any of its code. The descriptor is there if and only if no problem is an
/// error; all problems are found in one go.
#[must_use]
pub fn read_plugin(folder: &Path) -> (Option<PluginDescriptor>, Problems) {
    read(folder, Modules::There)
}

/// The same for a folder as its author left it: modules that its own build makes may still be missing, which is a
/// warning then.
#[must_use]
pub fn read_source(folder: &Path) -> (Option<PluginDescriptor>, Problems) {
    read(folder, Modules::Expected)
}

/// How one version of a plugin stands to another: semantic versions by their precedence, what is none of these by no
/// order at all.
#[must_use]
pub fn compare_versions(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (semver::Version::parse(one).ok()?, semver::Version::parse(other).ok()?);
    Some(one.cmp_precedence(&other))
}

fn read(folder: &Path, modules: Modules) -> (Option<PluginDescriptor>, Problems) {
    let folder = match Folder::open(folder, modules) {
        Ok(folder) => folder,
        Err(problem) => return (None, problem.into()),
    };
    let (recognized, mut problems) = probe::recognize(&folder);
    let Some((format, _)) = recognized else { return (None, problems) };
    // A folder in two formats is read in none: half of what would be said about it would be wrong.
    if problems.has_errors() {
        return (None, problems);
    }
    let draft = (format.read)(&folder, &mut problems);
    let descriptor = draft.and_then(|draft| normalize::descriptor(draft, &mut problems));
    (descriptor.filter(|_| !problems.has_errors()), problems)
}

/// Where a plugin asks for a limit, as a problem names it.
#[must_use]
pub fn limit_place(descriptor: &PluginDescriptor, name: LimitName) -> String {
    let place = formats::named(&descriptor.format).and_then(|format| format.limit_place);
    place.map_or_else(|| format!("limits.{name}"), |place| place(name))
}
