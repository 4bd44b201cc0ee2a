//! MCP servers that are processes: what a plugin may start beside its worker, and how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use hayloft_sandbox::{Command, Stdio};
use indexmap::IndexMap;

use crate::environment::{self, BadVariable};
use crate::gate;
use crate::launch;
use crate::settings::Settings;

/// What a plugin asks for.
pub(crate) struct Wish {
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: String,
    pub(crate) environment: IndexMap<String, String>,
}

/// Why it does not get it. Told to the plugin's author.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishRefused {
    #[error("its `cwd` `{0}` does not lead to a folder inside the plugin")]
    Folder(String),
    #[error("its `command` `{0}` does not lead to a file inside the plugin")]
    Command(String),
    #[error(
        "its `command` `{0}` is not on the path: name `node`, a program of the system, or a file of the plugin such as `./bin/server` or `./node_modules/.bin/server`"
    )]
    NotFound(String),
    #[error("its `env` cannot be passed: {0}")]
    Variable(#[from] BadVariable),
}

/// The process of an MCP server, in its worker's jail.
pub(crate) fn command(
    settings: &Settings,
    root: &Path,
    home: (&Path, &Path),
    wish: Wish,
) -> Result<Command, WishRefused> {
    let node = &settings.runtime.node;
    let (inside, on_host) = home;
    let working_directory = folder(root, &wish.folder)?;
    let program = program(root, &working_directory, node, &wish.command)?;
    let mut environment = environment::of_child(node, inside, &wish.environment)?;
    if !launch::has_own_network(settings) {
        environment.extend(gate::child_variables(&settings.runtime.runner, &gate::socket(on_host)));
    }
    Ok(Command {
        label: format!("the MCP server `{}`", wish.command),
        program,
        arguments: wish.arguments.into_iter().map(Into::into).collect(),
        working_directory,
        environment,
        descriptors: Vec::new(),
        stdin: Stdio::Piped,
        stdout: Stdio::Piped,
        stderr: Stdio::Piped,
    })
}

/// A folder inside the plugin, with all links followed.
fn folder(root: &Path, wanted: &str) -> Result<PathBuf, WishRefused> {
    let refused = || WishRefused::Folder(wanted.to_owned());
    let resolved = inside(root, root, Path::new(wanted)).ok_or_else(refused)?;
    if resolved.is_dir() { Ok(resolved) } else { Err(refused()) }
}

fn program(root: &Path, folder: &Path, node: &Path, command: &str) -> Result<PathBuf, WishRefused> {
    if command == "node" {
        return Ok(node.to_owned());
    }
    let wanted = Path::new(command);
    if wanted.is_absolute() {
        return Ok(wanted.to_owned());
    }
    if command.contains('/') {
        // Authors think of the folder that the server runs in, or of the plugin's root: both are inside.
        return [folder, root]
            .into_iter()
            .filter_map(|base| inside(root, base, wanted))
            .find(|file| file.is_file())
            .ok_or_else(|| WishRefused::Command(command.to_owned()));
    }
    ["/usr/local/bin", "/usr/bin", "/bin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(command))
        .find(|file| is_program(file))
        .ok_or_else(|| WishRefused::NotFound(command.to_owned()))
}

/// The path with all links followed, if it stays inside the root.
fn inside(root: &Path, base: &Path, path: &Path) -> Option<PathBuf> {
    if path.components().any(|part| matches!(part, Component::Prefix(_) | Component::RootDir)) {
        return None;
    }
    let resolved = fs::canonicalize(base.join(path)).ok()?;
    let root = fs::canonicalize(root).ok()?;
    resolved.starts_with(root).then_some(resolved)
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_runs_inside_its_plugin() {
        let plugin = tempfile::tempdir().unwrap();
        let root = plugin.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("mcp/bin")).unwrap();
        fs::write(root.join("mcp/bin/server"), "").unwrap();
        fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", root.join("out")).unwrap();
        std::os::unix::fs::symlink("mcp", root.join("in")).unwrap();
        for (wanted, expected) in [
            ("", Some("")),
            (".", Some("")),
            ("mcp", Some("mcp")),
            ("./mcp/../mcp", Some("mcp")),
            ("in", Some("mcp")),
            ("..", None),
            ("mcp/../..", None),
            ("/", None),
            ("/tmp", None),
            ("out", None),
            ("out/tmp", None),
            ("file", None),
            ("missing", None),
            ("nul\0", None),
        ] {
            // Joining an empty part would leave a trailing slash.
            let expected =
                expected.map(|expected| if expected.is_empty() { root.clone() } else { root.join(expected) });
            assert_eq!(folder(&root, wanted).ok(), expected, "{wanted:?}");
        }

        let node = Path::new("/opt/node");
        let mcp = root.join("mcp");
        for (command, expected) in [
            ("node", Some(PathBuf::from("/opt/node"))),
            ("./bin/server", Some(mcp.join("bin/server"))),
            ("mcp/bin/server", Some(mcp.join("bin/server"))),
            ("/usr/bin/env", Some(PathBuf::from("/usr/bin/env"))),
            ("../../etc/passwd", None),
            ("out/bin/sh", None),
            ("no-such-program-anywhere", None),
            ("", None),
        ] {
            assert_eq!(program(&root, &mcp, node, command).ok(), expected, "{command}");
        }
        assert!(program(&root, &mcp, node, "sh").is_ok());
    }
}
