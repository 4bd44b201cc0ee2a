//! Programs that a plugin's folder asks for: words, never a shell's line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A program with its arguments. No shell reads them: what looks like a variable or a pattern is only text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// The program, as its author named it: found on the `PATH`, or relative to the folder below.
    pub program: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Variables that are set for it alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Where it runs, relative to the plugin's folder and never outside; empty for the folder itself.
    #[serde(default, skip_serializing_if = "is_root")]
    pub folder: PathBuf,
}

/// What makes the folder ready to run, in order. A command that fails ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Setup {
    /// Fetches what the code depends on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<Command>,
    /// Makes what runs from what was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build: Vec<Command>,
}

impl Setup {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.install.is_empty() && self.build.is_empty()
    }
}

fn is_root(folder: &Path) -> bool {
    folder.as_os_str().is_empty()
}
