//! Throw-away plugins: files given in the test, in a folder that the server is pointed at.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::workspace;

/// A folder of plugins that is deleted when this is dropped.
#[derive(Debug)]
pub struct PluginFolder {
    folder: TempDir,
}

impl PluginFolder {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hayloft-plugins-").tempdir();
        let folder = folder.expect("a temporary folder");
        // Workers may be other users than whoever runs the test.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("a folder for all to read");
        Self { folder }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Begins a plugin with nothing in it but the SDK under `node_modules`.
    #[must_use]
    pub fn plugin(&self, folder: &str) -> PluginFiles {
        let root = self.path().join(folder);
        let scope = root.join("node_modules/@hay");
        fs::create_dir_all(&scope).expect("a folder for the plugin");
        symlink(workspace::plugin_sdk(), scope.join("plugin-sdk")).expect("a link to the SDK");
        PluginFiles { root }
    }

    /// A whole plugin in the canonical format: its manifest with these capabilities, and its entry as an ES module.
    pub fn hay_package(&self, id: &str, capabilities: &[&str], entry: &str) -> PluginFiles {
        self.plugin(id.trim_start_matches('@'))
            .manifest(&json!({
                "name": id,
                "version": "1.0.0",
                "type": "module",
                "hay-plugin": {
                    "entry": "./index.js",
                    "displayName": id,
                    "category": "tool",
                    "capabilities": capabilities,
                    "env": [],
                },
            }))
            .file("index.js", entry)
    }

    /// A link to a plugin elsewhere, such as one of the samples.
    pub fn link(&self, plugin: &Path) {
        let name = plugin.file_name().expect("a plugin's folder has a name");
        symlink(plugin, self.path().join(name)).expect("a link to the plugin");
    }
}

impl Default for PluginFolder {
    fn default() -> Self {
        Self::new()
    }
}

/// A plugin being written.
#[derive(Clone, Debug)]
pub struct PluginFiles {
    root: PathBuf,
}

impl PluginFiles {
    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes `package.json`.
    pub fn manifest(self, manifest: &Value) -> Self {
        let text = format!("{manifest:#}\n");
        self.file("package.json", text)
    }

    /// Writes a file, replacing what was there.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let file = self.root.join(path);
        fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder for the file");
        fs::write(&file, content)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", file.display()));
        self
    }

    /// Brings a whole folder from elsewhere, such as an installed package. Its links are left out, its files are the same
    /// ones where that is possible: nobody writes into a package.
    pub fn tree(self, path: &str, source: &Path) -> Self {
        copy_tree(source, &self.root.join(path));
        self
    }
}

fn copy_tree(source: &Path, target: &Path) {
    fs::create_dir_all(target).expect("a folder for the files");
    for entry in fs::read_dir(source).unwrap_or_else(|error| panic!("{}: {error}", source.display())) {
        let entry = entry.expect("an entry of the folder");
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let kind = entry.file_type().expect("the kind of the entry");
        if kind.is_dir() {
            copy_tree(&from, &to);
        } else if kind.is_file() && fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).expect("a copy of the file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_its_files_and_the_sdk() {
        let folder = PluginFolder::new();
        let plugin =
            folder.hay_package("@acme/tickets", &["mcp"], "export default 1;\n").file("src/a.txt", "a");
        assert_eq!(fs::read_to_string(plugin.root().join("src/a.txt")).unwrap(), "a");
        let manifest = fs::read_to_string(plugin.root().join("package.json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&manifest).unwrap()["name"], "@acme/tickets");
        assert!(plugin.root().join("node_modules/@hay/plugin-sdk/package.json").exists());
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
