//! An MCP server that a plugin's code hands to the host while it runs: read without trust, like all that a worker says,
//! and by the same rules as one that a folder lists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hayloft_model::plugin::{Command, DeclaredTool, McpEndpoint, McpServer, ServerAuth, Setup};
use hayloft_model::{Problem, Problems, Secret, ServerId};
use serde_json::value::RawValue;

use crate::document::{Document, Naming, Object};
use crate::folder::{Folder, Modules, Unusable, relative_path};
use crate::formats::Located;
use crate::words::quoted;
use crate::{command_line, npm_words, tool, transport, web_address};

mod auth;

/// Most variables or headers of one server.
const MOST_TEXTS: usize = 200;

/// Where the server is that a message hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a process of the plugin's folder.
    Local,
    /// Elsewhere.
    Remote,
}

/// A server that was handed over.
#[derive(Clone, Debug)]
pub struct RegisteredServer {
    /// What it is called, where it is, and what it speaks.
    pub server: McpServer,
    /// Variables for its process alone.
    pub environment: BTreeMap<String, Secret<String>>,
    /// Headers of each request to one that is elsewhere.
    pub headers: BTreeMap<String, Secret<String>>,
    /// What the host adds to them.
    pub auth: ServerAuth,
    /// What it says that it will have.
    pub tools: Vec<DeclaredTool>,
    /// What makes its folder ready to run.
    pub setup: Setup,
}

/// Reads a message that hands a server over, of a plugin in this folder, where its start command is looked up if it is
/// one of npm's. One with an error is no server. Keys that nothing reads are passed over,
/// since newer SDKs send more. Places begin with `server`.
#[must_use]
pub fn read(raw: &RawValue, place: Place, root: &Path) -> (Option<RegisteredServer>, Problems) {
    let mut problems = Problems::new();
    let document = match Document::parse(raw.get(), Naming::Message("server")) {
        Ok(document) => document,
        Err(problem) => return (None, problem.into()),
    };
    let server = document.root().object(&mut problems).and_then(|server| {
        server.check_ambiguous(&mut problems);
        let mut server = handed_over(&server, place, &mut problems)?;
        if let McpEndpoint::Process { command } = &mut server.server.endpoint {
            let folder = Folder::open(root, Modules::There).map_err(|problem| problems.push(problem)).ok()?;
            let given = std::mem::take(command);
            *command = npm_words::resolved(&folder, given, "server.startCommand", &mut problems)?;
        }
        Some(server)
    });
    (server.filter(|_| !problems.has_errors()), problems)
}

fn handed_over(server: &Object<'_>, place: Place, problems: &mut Problems) -> Option<RegisteredServer> {
    let id = id(server, place, problems);
    let tools = server.get("tools").map(|list| tool::read_all(&list, problems)).unwrap_or_default();
    let mut setup = Setup::default();
    let mut environment = BTreeMap::new();
    let mut headers = BTreeMap::new();
    let mut auth = ServerAuth::default();
    let endpoint = match place {
        Place::Local => {
            environment = texts(server, "env", problems);
            let folder = folder(server, problems);
            let line = |key: &str, problems: &mut Problems| {
                let line = Located::optional(server, key, problems)?;
                command_line::commands(&line.text, &line.at, problems)
            };
            let within = |commands: Option<Vec<Command>>| -> Vec<Command> {
                let commands = commands.unwrap_or_default().into_iter();
                commands.map(|command| Command { folder: below(&folder, &command), ..command }).collect()
            };
            setup.install = within(line("installCommand", problems));
            setup.build = within(line("buildCommand", problems));
            let start = Located::required(server, "startCommand", problems);
            let start = start.and_then(|start| command_line::command(&start.text, &start.at, problems));
            start.map(|command| McpEndpoint::Process {
                command: Command { folder: below(&folder, &command), ..command },
            })
        }
        Place::Remote => {
            headers = texts(server, "headers", problems);
            if let Some(view) = server.get("auth") {
                auth = auth::read(&view, &mut headers, problems);
            }
            let url =
                server.required("url", problems).and_then(|url| web_address::read_server(&url, problems));
            url.map(|url| McpEndpoint::Remote { url })
        }
    };
    let key = if server.get("transports").is_some() { "transports" } else { "transport" };
    let named = transport::named(server, key, problems);
    let endpoint = endpoint?;
    let transports = transport::usable(named, &endpoint, &server.place_of(key), problems);
    Some(RegisteredServer {
        server: McpServer { id: id?, endpoint, transports },
        environment,
        headers,
        auth,
        tools,
        setup,
    })
}

/// Where a command runs that runs below a folder.
fn below(folder: &Path, command: &Command) -> PathBuf {
    // Joining nothing would leave a slash.
    folder.components().chain(command.folder.components()).collect()
}

/// The id that the plugin gave, or the one of the only server of its kind.
fn id(server: &Object<'_>, place: Place, problems: &mut Problems) -> Option<ServerId> {
    let key = if server.get("id").is_some() { "id" } else { "serverId" };
    let given = Located::optional(server, key, problems);
    let text = match (&given, place) {
        (Some(given), _) => given.text.as_str(),
        (None, _) if server.get(key).is_some() => return None,
        (None, Place::Local) => "local",
        (None, Place::Remote) => "remote",
    };
    match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            problems.push(Problem::error(server.place_of(key), format!("{error}")));
            None
        }
    }
}

/// The folder that its commands run in, relative to the plugin's. A path to a file stands for the folder of the file.
fn folder(server: &Object<'_>, problems: &mut Problems) -> PathBuf {
    let key = if server.get("serverPath").is_some() { "serverPath" } else { "cwd" };
    let Some(path) = Located::optional(server, key, problems).filter(|path| !path.text.is_empty()) else {
        return PathBuf::new();
    };
    match relative_path(&path.text) {
        Ok(folder) if folder.extension().is_some_and(|extension| is_script(&extension.to_string_lossy())) => {
            folder.parent().map(PathBuf::from).unwrap_or_default()
        }
        Ok(folder) => folder,
        // It names the plugin's own folder.
        Err(Unusable::NotAFile) => PathBuf::new(),
        Err(_) => {
            let message = format!("{} does not lead to a folder of the plugin", quoted(&path.text));
            problems.push(Problem::error(&path.at, message).hint("name one relative to it, such as `./mcp`"));
            PathBuf::new()
        }
    }
}

fn is_script(extension: &str) -> bool {
    ["js", "mjs", "cjs", "ts", "mts", "cts"].contains(&extension)
}

/// Texts by names that the plugin chose.
pub(super) fn texts(
    server: &Object<'_>,
    key: &str,
    problems: &mut Problems,
) -> BTreeMap<String, Secret<String>> {
    let Some(object) = server.get(key).and_then(|view| view.object(problems)) else { return BTreeMap::new() };
    let fields = object.fields(problems);
    if fields.len() > MOST_TEXTS {
        let message = format!("has {} entries; at most {MOST_TEXTS} are taken", fields.len());
        problems.push(Problem::error(object.at(), message));
    }
    fields
        .into_iter()
        .filter_map(|(name, view)| Some((name.to_owned(), Secret::new(view.text(problems)?.to_owned()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use hayloft_model::plugin::McpTransport;

    use super::*;

    fn read_value(value: &Value, place: Place) -> (Option<RegisteredServer>, String) {
        let raw = RawValue::from_string(value.to_string()).unwrap();
        let (server, problems) = read(&raw, place, Path::new("."));
        (server, problems.to_string())
    }

    #[test]
    fn both_spellings_of_a_local_server_are_the_same() {
        let tools = json!([{ "name": "echo", "label": "Echo", "input_schema": { "type": "object" } }]);
        let plugin = json!({ "serverPath": "./mcp/", "startCommand": "A=1 node index.js 'a b'", "transport": "sse|stdio",
            "env": { "KEY": "k" }, "installCommand": "npm ci", "tools": tools, "unknown": 1 });
        let runner = json!({ "kind": "local", "id": "local", "cwd": "mcp", "startCommand": "A=1 node index.js 'a b'",
            "transports": ["sse", "stdio"], "env": { "KEY": "k" }, "installCommand": "npm ci", "tools": tools });
        for value in [plugin, runner] {
            let (server, problems) = read_value(&value, Place::Local);
            assert_eq!(problems, "");
            let RegisteredServer { server, environment, tools, setup, .. } = server.unwrap();
            let command = Command {
                program: "node".into(),
                arguments: vec!["index.js".into(), "a b".into()],
                environment: BTreeMap::from([("A".into(), "1".into())]),
                folder: "mcp".into(),
            };
            assert_eq!((server.id.as_str(), server.endpoint), ("local", McpEndpoint::Process { command }));
            assert_eq!(server.transports, [McpTransport::Stdio, McpTransport::Sse]);
            assert_eq!(environment["KEY"].expose(), "k");
            assert_eq!((tools[0].name.as_str(), tools[0].title.as_deref()), ("echo", Some("Echo")));
            assert_eq!(setup.install[0].folder, PathBuf::from("mcp"));
        }
    }

    #[test]
    fn a_server_elsewhere_has_an_address() {
        let value = json!({ "url": "https://mcp.example.com", "headers": { "X-Key": "k" }, "auth": { "type": "oauth2" } });
        let (server, problems) = read_value(&value, Place::Remote);
        let server = server.unwrap();
        assert_eq!((problems.as_str(), server.server.id.as_str()), ("", "remote"));
        assert_eq!(server.server.transports, [McpTransport::Http, McpTransport::Sse]);
        assert_eq!(server.headers["X-Key"].expose(), "k");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let value = json!({ "id": "a b\n", "serverPath": "../out", "startCommand": "node a.js | tee x", "transport": "carrier",
            "env": { "__proto__x": 1 }, "tools": [{ "label": "no name" }] });
        let (server, problems) = read_value(&value, Place::Local);
        assert!(server.is_none());
        for place in [
            "server.id",
            "server.serverPath",
            "server.startCommand",
            "server.transport",
            "server.env",
            "server.tools[0]",
        ] {
            assert!(problems.contains(place), "{place}: {problems}");
        }
        for value in [json!({}), json!({ "url": "file:///etc/passwd" }), json!({ "url": 3 }), json!(3)] {
            assert!(read_value(&value, Place::Remote).0.is_none(), "{value}");
        }
        assert!(read_value(&json!({}), Place::Local).1.contains("server.startCommand: is missing"));
    }
}
