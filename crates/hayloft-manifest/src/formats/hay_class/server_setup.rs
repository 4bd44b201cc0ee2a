//! The lines that install and build a class's MCP servers, read as text from its calls of `registerLocalMCP`.
//!
//! A class hands its servers over while it runs, and by then its folder cannot change any more. So what makes their
//! folders ready is read beforehand, as far as it is plain texts; the host compares it with what the class then says.

use std::sync::LazyLock;

use hayloft_model::plugin::Setup;
use hayloft_model::{Problem, Problems};
use regex::Regex;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::constructor::plain_object;
use crate::folder::Folder;
use crate::registration::server::{self, Place};

/// Most servers that are looked for.
const MOST_SERVERS: usize = 50;

/// What is to be done for all of them, each step once.
pub(super) fn read(folder: &Folder, path: &str, source: &str, problems: &mut Problems) -> Setup {
    static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bregisterLocalMCP\s*\(\s*\{").ok());
    let mut setup = Setup::default();
    let Some(call) = CALL.as_ref() else { return setup };
    for found in call.find_iter(source).take(MOST_SERVERS) {
        let Some(server) = plain_object(source, found.end() - 1) else { continue };
        let line = source.get(..found.start()).unwrap_or_default().matches('\n').count() + 1;
        let of_one = one(folder, &server.into_iter().collect(), &format!("{path} (line {line})"), problems);
        for (all, some) in [(&mut setup.install, of_one.install), (&mut setup.build, of_one.build)] {
            for command in some {
                if !all.contains(&command) {
                    all.push(command);
                }
            }
        }
    }
    setup
}

fn one(folder: &Folder, server: &Value, at: &str, problems: &mut Problems) -> Setup {
    let mut message = json!({ "startCommand": "node" });
    for key in ["serverPath", "cwd", "installCommand", "buildCommand"] {
        if let Some(value) = server.get(key) {
            message[key] = value.clone();
        }
    }
    if message.get("installCommand").is_none() && message.get("buildCommand").is_none() {
        return Setup::default();
    }
    let Ok(raw) = to_raw_value(&message) else { return Setup::default() };
    let (server, found) = server::read(&raw, Place::Local, folder.root());
    // The code may mean something else than it seems to: it is its registration that counts, and is refused for this.
    for problem in found {
        let warning = Problem::warning(
            format!("{at}#{}", problem.at.replace("server.", "registerLocalMCP.")),
            problem.message,
        );
        problems.push(problem.hint.into_iter().fold(warning, Problem::hint));
    }
    server.map(|server| server.setup).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Modules;

    fn shown(source: &str) -> (Vec<String>, Vec<String>, String) {
        let plugin = tempfile::tempdir().unwrap();
        let folder = Folder::open(plugin.path(), Modules::There).unwrap();
        let mut problems = Problems::new();
        let setup = read(&folder, "dist/index.js", source, &mut problems);
        let lines = |commands: Vec<hayloft_model::plugin::Command>| {
            let line = |command: hayloft_model::plugin::Command| {
                format!("{}:{} {}", command.folder.display(), command.program, command.arguments.join(" "))
            };
            commands.into_iter().map(line).collect::<Vec<_>>()
        };
        (lines(setup.install), lines(setup.build), problems.to_string())
    }

    #[test]
    fn the_lines_of_all_servers_are_found_where_they_are_plain() {
        let source = r#"
            await this.sdk.mcp.registerLocalMCP({ serverPath: "./mcp", startCommand: "node index.js",
                installCommand: "npm ci --ignore-scripts", buildCommand: `npm run build && cd sub && node make.js`, tools });
            await this.sdk.mcp.registerLocalMCP({ startCommand: start(), installCommand: 'npm ci', env: { A: this.config.a } });
            await sdk.registerLocalMCP({ serverPath: "mcp", startCommand: "node b.js", installCommand: "npm ci --ignore-scripts" });
            await sdk.registerLocalMCP({ startCommand: "node c.js", buildCommand: build });
            await sdk.registerLocalMCP(server);
        "#;
        let (install, build, problems) = shown(source);
        assert_eq!(install, ["mcp:npm ci --ignore-scripts", ":npm ci"]);
        assert_eq!(build, ["mcp:npm run build", "mcp/sub:node make.js"]);
        assert_eq!(problems, "");
    }

    #[test]
    fn a_line_that_needs_a_shell_is_told_with_its_place() {
        let source =
            "\n x.registerLocalMCP({ startCommand: 'node x.js', installCommand: 'npm ci | tee log' })";
        let (install, _, problems) = shown(source);
        assert!(install.is_empty());
        assert!(problems.contains("dist/index.js (line 2)#registerLocalMCP.installCommand"), "{problems}");
        assert!(problems.contains("needs a shell") && problems.starts_with("warning"), "{problems}");
    }
}
