//! What is remembered of how versions were made: the log, and why the last attempt came to nothing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use hayloft_model::{ContentHash, PluginId, Problems};
use serde::{Deserialize, Serialize};

use super::Shelf;
use crate::Phase;

/// Why the last attempt to make a version came to nothing, or, beside a version that is there, what was left undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub(crate) phase: Phase,
    pub(crate) problems: Problems,
}

impl Shelf {
    /// Why the last attempt to make this version came to nothing, if it did, or what it left undone.
    pub(crate) fn failure(&self, plugin: &PluginId, hash: ContentHash) -> Option<Failure> {
        let text = fs::read(self.failure_of(plugin, hash)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn note_failure(
        &self,
        plugin: &PluginId,
        hash: ContentHash,
        failure: &Failure,
    ) -> io::Result<()> {
        let _folders = self.folders();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        fs::write(self.failure_of(plugin, hash), serde_json::to_vec(failure)?)
    }

    /// What the programs that made this version wrote, the last time.
    pub(crate) fn log(&self, plugin: &PluginId, hash: ContentHash) -> Option<String> {
        fs::read_to_string(self.log_of(plugin, hash)).ok()
    }

    pub(crate) fn keep_log(&self, plugin: &PluginId, hash: ContentHash, text: &str) -> io::Result<()> {
        let _folders = self.folders();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.plugin(plugin))?;
        fs::write(self.log_of(plugin, hash), text)
    }

    pub(super) fn failure_of(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.version(plugin, hash).with_added_extension("failure")
    }

    pub(super) fn log_of(&self, plugin: &PluginId, hash: ContentHash) -> PathBuf {
        self.version(plugin, hash).with_added_extension("log")
    }
}
