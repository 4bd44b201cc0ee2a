//! `capabilities.mcp`: one server, started from the folder or reached elsewhere, and the tools that it will have.

use std::path::Path;

use hayloft_model::plugin::{Command, McpDeclarations, McpEndpoint, McpServer, McpServerDeclaration, Setup};
use hayloft_model::{Problem, Problems, ServerId};

use crate::document::{Object, View};
use crate::folder::{Folder, Unusable, relative_path};
use crate::formats::Located;
use crate::normalize::suggestion;
use crate::words::quoted;
use crate::{command_line, npm_words, tool, transport, web_address};

/// The name of the one server that a manifest has.
const SERVER: &str = "main";

/// Where a server's code lies when nothing says so.
const USUAL_FOLDER: &str = "mcp";

const KEYS: [&str; 8] = [
    "connection",
    "serverPath",
    "tools",
    "transport",
    "auth",
    "installCommand",
    "buildCommand",
    "startCommand",
];

/// What the section says.
#[derive(Default)]
pub(super) struct Section {
    pub(super) server: Option<McpServer>,
    pub(super) declarations: McpDeclarations,
    pub(super) setup: Setup,
}

/// Where a server is, as far as the section says.
enum Place<'d> {
    Local,
    Remote(View<'d>),
}

pub(super) fn read(folder: &Folder, mcp: &Object<'_>, problems: &mut Problems) -> Section {
    mcp.check_keys(&KEYS, problems);
    let before = problems.iter().filter(|problem| problem.severity == hayloft_model::Severity::Error).count();
    let tools = mcp.get("tools").map(|list| tool::read_all(&list, problems)).unwrap_or_default();
    let named = transport::named(mcp, "transport", problems);
    let server_path = server_path(folder, mcp, problems);
    let start = Located::optional(mcp, "startCommand", problems);
    let install = line(mcp, "installCommand", problems);
    let build = line(mcp, "buildCommand", problems);
    let endpoint = match place(mcp, problems) {
        Some(Place::Remote(url)) => {
            if let Some(start) = &start {
                let message = "starts nothing: the server is elsewhere";
                problems.push(Problem::warning(&start.at, message).hint("remove it, or the `url`"));
            }
            web_address::read_server(&url, problems).map(|url| McpEndpoint::Remote { url })
        }
        Some(Place::Local) => command(folder, mcp, start.as_ref(), server_path.as_deref(), problems)
            .map(|command| McpEndpoint::Process { command }),
        None => None,
    };
    let setup = Setup {
        install: install.unwrap_or_else(|| usual_installation(folder, server_path.as_deref())),
        build: build.unwrap_or_default(),
    };
    let id = SERVER.parse::<ServerId>();
    let (Ok(id), Some(endpoint)) = (id, endpoint) else {
        let errors =
            problems.iter().filter(|problem| problem.severity == hayloft_model::Severity::Error).count();
        if errors == before {
            problems.push(
                Problem::error(mcp.at(), "says neither how to start a server nor where one is").hint(
                    "write `\"startCommand\": \"node mcp/index.js\"`, or a `connection` of type `remote` with its `url`",
                ),
            );
        }
        return Section { setup, ..Section::default() };
    };
    let declaration = McpServerDeclaration { id: id.clone(), name: None, description: None, tools };
    let declarations = match &endpoint {
        McpEndpoint::Process { .. } => McpDeclarations { local: vec![declaration], external: Vec::new() },
        McpEndpoint::Remote { .. } => McpDeclarations { local: Vec::new(), external: vec![declaration] },
    };
    let transports = transport::usable(named, &endpoint, &mcp.place_of("transport"), problems);
    Section { server: Some(McpServer { id, endpoint, transports }), declarations, setup }
}

/// Where the server is. A connection that says nothing of it is local, unless it has an address.
fn place<'d>(mcp: &Object<'d>, problems: &mut Problems) -> Option<Place<'d>> {
    let Some(view) = mcp.get("connection") else {
        let starts = mcp.get("startCommand").is_some() || mcp.get("serverPath").is_some();
        return starts.then_some(Place::Local);
    };
    let connection = view.object(problems)?;
    connection.check_keys(&["type", "url"], problems);
    let url = connection.get("url");
    let Some(kind) = Located::optional(&connection, "type", problems) else {
        return Some(url.map_or(Place::Local, Place::Remote));
    };
    match kind.text.as_str() {
        "local" => {
            if let Some(url) = url {
                let message = "counts for nothing: the server is local";
                problems.push(
                    Problem::warning(url.at(), message).hint("write `\"type\": \"remote\"`, or remove it"),
                );
            }
            Some(Place::Local)
        }
        "remote" => match url {
            Some(url) => Some(Place::Remote(url)),
            None => {
                let problem =
                    Problem::error(connection.place_of("url"), "is missing, and a remote server needs it");
                problems.push(problem.hint("write its whole address, such as `https://mcp.example.com`"));
                None
            }
        },
        other => {
            let message = format!("{} is not a kind of connection", quoted(other));
            problems.push(Problem::error(&kind.at, message).hint(suggestion(other, &["local", "remote"])));
            None
        }
    }
}

/// What starts a local server: its command, or Node on its path.
fn command(
    folder: &Folder,
    mcp: &Object<'_>,
    start: Option<&Located>,
    server_path: Option<&Path>,
    problems: &mut Problems,
) -> Option<Command> {
    match (start, server_path) {
        (Some(start), _) => command_line::command(&start.text, &start.at, problems)
            .and_then(|command| npm_words::resolved(folder, command, &start.at, problems)),
        (None, Some(path)) => Some(Command {
            program: String::from("node"),
            arguments: vec![path.to_string_lossy().into_owned()],
            ..Command::default()
        }),
        // A path that is there and cannot be used has its own problem already.
        (None, None) if mcp.get("serverPath").is_some() => None,
        (None, None) => {
            let problem =
                Problem::error(mcp.place_of("startCommand"), "is missing, and a local server needs it");
            problems.push(
                problem.hint("write what starts it, such as `\"startCommand\": \"node mcp/index.js\"`"),
            );
            None
        }
    }
}

/// The server's file or folder. A command may start it in another way, so it need not be there yet.
fn server_path(folder: &Folder, mcp: &Object<'_>, problems: &mut Problems) -> Option<std::path::PathBuf> {
    let path = Located::optional(mcp, "serverPath", problems)?;
    let fault = match folder.locate(&path.text) {
        // A folder is as good as a file here.
        Ok(_) | Err(Unusable::NotAFile | Unusable::Missing) => return relative_path(&path.text).ok(),
        Err(Unusable::Absolute) => "is not a relative path",
        Err(Unusable::Outside) => "leads out of the plugin's folder",
        Err(Unusable::Malformed | Unusable::Unreadable) => "is not a path that can be used",
    };
    let problem = Problem::error(&path.at, format!("{} {fault}", quoted(&path.text)));
    problems
        .push(problem.hint("name the server's file or folder inside the plugin, such as `./mcp/index.js`"));
    None
}

fn line(mcp: &Object<'_>, key: &str, problems: &mut Problems) -> Option<Vec<Command>> {
    let line = Located::optional(mcp, key, problems)?;
    Some(command_line::commands(&line.text, &line.at, problems).unwrap_or_default())
}

/// A server with a package of its own is installed even when nothing says how.
fn usual_installation(folder: &Folder, server_path: Option<&Path>) -> Vec<Command> {
    let beside = server_path.map(|path| match path.extension() {
        Some(_) => path.parent().unwrap_or(Path::new("")).to_owned(),
        None => path.to_owned(),
    });
    let place = beside.unwrap_or_else(|| USUAL_FOLDER.into());
    let has = |name: &str| folder.locate(&place.join(name).to_string_lossy()).is_ok();
    if place.as_os_str().is_empty() || !has("package.json") {
        return Vec::new();
    }
    let install = if has("package-lock.json") { "ci" } else { "install" };
    vec![Command {
        program: String::from("npm"),
        arguments: vec![install.to_owned()],
        folder: place,
        ..Command::default()
    }]
}
