//! The organizations of earlier runs and their tokens: a token is shown once, so it is kept here.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One organization of the demonstration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) token: String,
}

/// What earlier runs kept; nothing if there was none, or if it cannot be understood.
pub(super) fn read(data: &Path) -> Vec<Kept> {
    let text = fs::read_to_string(file(data)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps them for later runs, readable by this user only.
pub(super) fn write(data: &Path, organizations: &[Kept]) -> Result<()> {
    let file = file(data);
    let text = serde_json::to_string_pretty(organizations)? + "\n";
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write `{}`", file.display()))
}

fn file(data: &Path) -> PathBuf {
    data.join("demo-organizations.json")
}
