//! A shelf of its own for each test, and plugins that tests write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hayloft_model::Problem;
use hayloft_model::plugin::Package;
use hayloft_packages::{
    InstallError, InstallLimits, Options, Packages, Phase, Provided, Toolchain, find_npm,
};
use hayloft_sandbox::{Options as SandboxOptions, Sandbox, Tier};
use tempfile::TempDir;

use crate::registry::TestRegistry;

pub(crate) struct Fixture {
    pub(crate) packages: Packages,
    pub(crate) registry: Arc<TestRegistry>,
    scratch: TempDir,
}

impl Fixture {
    pub(crate) async fn new(registry: Arc<TestRegistry>) -> Self {
        Self::with(registry, |_| {}).await
    }

    pub(crate) async fn with(registry: Arc<TestRegistry>, change: impl FnOnce(&mut Options)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("canary"), "precious").unwrap();
        let node = runtime().join("node").canonicalize().unwrap();
        let sandbox = SandboxOptions {
            stage: beside_this_test("hayloft-stage"),
            programs: vec![node.clone()],
            paths: Vec::new(),
            owner: format!("installs-{}", std::process::id()),
            strongest: Tier::A,
        };
        let sandbox = tokio::task::spawn_blocking(|| Sandbox::start(sandbox)).await.unwrap().unwrap();
        let sdk = Provided {
            name: String::from("@hay/plugin-sdk"),
            path: runtime().join("node_modules/@hay/plugin-sdk").canonicalize().unwrap(),
        };
        let mut options = Options {
            shelf: scratch.path().join("packages"),
            sandbox,
            toolchain: Toolchain {
                npm: find_npm(&node, &[PathBuf::from("/usr/local/bin"), PathBuf::from("/usr/bin")]),
                esbuild: Some(runtime().join("esbuild").canonicalize().unwrap()),
                components: None,
                node,
            },
            provided: vec![sdk],
            at_hand: Vec::new(),
            registry: registry.registry(),
            dial: Arc::clone(&registry) as _,
            limits: InstallLimits::default(),
            keep: 2,
            script_grants: Default::default(),
        };
        change(&mut options);
        Self { packages: Packages::open(options).unwrap(), registry, scratch }
    }

    pub(crate) fn shelf(&self) -> PathBuf {
        self.scratch.path().join("packages")
    }

    /// A file of the host that no package may see.
    pub(crate) fn canary(&self) -> PathBuf {
        self.scratch.path().join("canary")
    }

    pub(crate) fn left_in_staging(&self) -> usize {
        fs::read_dir(self.shelf().join(".staging")).unwrap().count()
    }
}

/// A plugin's folder.
pub(crate) struct Plugin {
    name: &'static str,
    folder: TempDir,
}

impl Plugin {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn package(self, rest: &str) -> Self {
        let name = self.name;
        let text = format!(
            r#"{{ "name": "{name}", "version": "1.0.0", "hay-plugin": {{ "entry": "./dist/index.js", "displayName": "X", "category": "utility", "capabilities": [] }}, {rest} }}"#
        );
        self.file("package.json", &text)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The package as a host finds it.
    pub(crate) fn read(&self) -> Package {
        let (descriptor, problems) = hayloft_manifest::read_source(self.root());
        Package {
            root: self.root().to_owned(),
            content_hash: hayloft_manifest::content_hash(self.root()).unwrap(),
            descriptor: descriptor.unwrap_or_else(|| panic!("{problems}")),
            start: Default::default(),
        }
    }
}

/// Why a package was refused: how far it came, and the first problem.
pub(crate) fn refusal(outcome: Result<Package, InstallError>) -> (Phase, Problem) {
    match outcome {
        Err(InstallError::Refused { phase, problems } | InstallError::Unavailable { phase, problems }) => {
            (phase, problems.into_iter().next().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn runtime() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/runtime")
}

fn beside_this_test(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name(program);
    assert!(program.exists(), "there is no `{}`: run `cargo build -p hayloft-stage`", program.display());
    program
}
