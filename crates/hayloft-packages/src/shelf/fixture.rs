//! A shelf with one version, for the tests of this module's parts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use hayloft_model::{ContentHash, PluginId};

use super::{Closed, Shelf};

pub(super) struct Fixture {
    _scratch: tempfile::TempDir,
    pub(super) shelf: Shelf,
    pub(super) plugin: PluginId,
    pub(super) hash: ContentHash,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&scratch.path().join("packages")).unwrap();
        let plugin = "@scope/orders".parse().unwrap();
        Self { _scratch: scratch, shelf, plugin, hash: ContentHash::from_bytes([7; 32]) }
    }

    pub(super) fn publish(&self) -> PathBuf {
        let staging = self.shelf.stage("1").unwrap();
        let whole = staging.path().join("whole");
        fs::create_dir_all(whole.join("dist")).unwrap();
        fs::write(whole.join("dist/index.js"), "1").unwrap();
        fs::write(whole.join("package.json"), "{}").unwrap();
        symlink("dist/index.js", whole.join("main.js")).unwrap();
        self.shelf.publish(&self.plugin, self.hash, &Closed::of(whole).unwrap()).unwrap();
        self.shelf.find(&self.plugin, self.hash).unwrap()
    }

    pub(super) fn verify(&self) -> Result<(), String> {
        self.shelf.verify(&self.plugin, self.hash).map_err(|tampered| tampered.at.display().to_string())
    }
}

pub(super) fn loosen(root: &Path) {
    fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
}

pub(super) fn open(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    if path.exists() {
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    } else {
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(path, text).unwrap();
}
