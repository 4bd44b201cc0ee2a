//! Take over an MCP server that a plugin's code hands to the host.

use hayloft_manifest::registration::server::{self, RegisteredServer};
use hayloft_mcp::client::remote::SecretHeaders;
use hayloft_mcp::tools_list;
use hayloft_model::plugin::{Command, DeclaredTool, McpEndpoint, McpServer};
use hayloft_model::{InstanceKey, Problem, Problems, Revision, Secret, ServerId, WorkerId};
use hayloft_workers::protocol::RegisterServer;
use hayloft_workers::{KeepRefused, KeptServer, Level};
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub use hayloft_manifest::registration::server::Place;

use super::handed::{HandedServer, MOST_CHANGES, MOST_SERVERS, RemoteServer};
use super::remote;
use crate::tools::publish::Others;
use crate::{Host, StoreError};

/// Why a server was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum RegisterServerError {
    /// The worker that asks serves no organization.
    #[error("the worker serves no organization")]
    NotBound,
    /// What it says cannot be used.
    #[error("the MCP server cannot be used: {}", first(.0))]
    Invalid(Problems),
    /// The worker hands over servers without end.
    #[error("a worker can hand over {MOST_SERVERS} MCP servers, and {MOST_CHANGES} times altogether")]
    TooOften,
    /// Its worker does not take it.
    #[error(transparent)]
    Refused(#[from] KeepRefused),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn first(problems: &Problems) -> String {
    problems.iter().next().map(|problem| format!("{}: {}", problem.at, problem.message)).unwrap_or_default()
}

impl Host {
    /// Takes over a server, in place of an earlier one of the same id. One that is a process is kept up as long as the
    /// worker lives; one elsewhere is reached from then on, whether or not the worker runs. Gives the id that it has. Until it lists its tools itself, those that it says it will have are listed.
    ///
    /// # Errors
    /// See [`RegisterServerError`].
    pub async fn register_server(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        place: Place,
        message: &RawValue,
    ) -> Result<ServerId, RegisterServerError> {
        let plugin = self.plugins.get(key.organization, &key.plugin);
        let package = plugin.as_ref().and_then(|plugin| plugin.package.as_ref());
        // What it depends on was installed there, and not where the plugin was read first.
        let code = self.workers.code_of(worker).await.ok_or(RegisterServerError::NotBound)?;
        let (registered, problems) = server::read(message, place, &code.root);
        let Some(registered) = registered else { return Err(RegisterServerError::Invalid(problems)) };
        for problem in &problems {
            self.workers.note(key, worker, Level::Warn, &format!("{}: {}", problem.at, problem.message));
        }
        let RegisteredServer { server, environment, headers, auth, tools, setup } = registered;
        let McpServer { id, endpoint, transports } = server;
        // What was read of the code before it ran was done when the package was installed.
        let done = package.map(|package| &package.descriptor.setup);
        let is_done = |commands: &[Command], done: Option<&[Command]>| {
            commands.iter().all(|command| done.is_some_and(|done| done.contains(command)))
        };
        if !is_done(&setup.install, done.map(|done| &*done.install))
            || !is_done(&setup.build, done.map(|done| &*done.build))
        {
            let message = format!(
                "the commands that install and build the MCP server `{id}` were not run, since they are not plain texts in \
                 the code: write them as such, or ship what they make"
            );
            self.workers.note(key, worker, Level::Warn, &message);
        }
        let (remote, local) = match endpoint {
            McpEndpoint::Remote { url } => {
                remote::reach::address(&url).map_err(|problem| {
                    let problem = Problem { at: String::from("server.url"), ..problem };
                    RegisterServerError::Invalid(problem.into())
                })?;
                let headers: Vec<_> = headers.into_iter().collect();
                check_headers(&headers)?;
                (Some(RemoteServer { url, transports, headers, auth }), None)
            }
            McpEndpoint::Process { command } => {
                let environment = environment.into_iter().collect();
                (None, Some(KeptServer { id: id.clone(), command, transports, environment }))
            }
        };
        // Known before it runs, so that what it lists can be compared with what it says here.
        if !self.handed.put(worker, id.clone(), HandedServer { remote, tools: tools.clone() }) {
            return Err(RegisterServerError::TooOften);
        }
        if let Some(local) = local
            && let Err(refused) = self.workers.keep(worker, local).await
        {
            self.handed.take_back(worker, &id);
            return Err(refused.into());
        }
        self.show_declared(key, &id, &tools).await?;
        // Of a worker that is still to serve, this is done when it does.
        self.adopt_remotes(key, worker, Others::Keep).await?;
        Ok(id)
    }

    /// The same for the message of a worker's channel.
    pub(crate) async fn register_sent(
        &self,
        key: &InstanceKey,
        worker: WorkerId,
        server: RegisterServer,
    ) -> Result<ServerId, RegisterServerError> {
        let (place, message) = spelled(server);
        let raw = serde_json::value::to_raw_value(&message).map_err(|error| {
            let problem = Problem::error("server", format!("cannot be read: {error}"));
            RegisterServerError::Invalid(problem.into())
        })?;
        self.register_server(key, worker, place, &raw).await
    }

    /// Lists what a server says that it will have, unless it has listed its tools itself already.
    async fn show_declared(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        tools: &[DeclaredTool],
    ) -> Result<(), StoreError> {
        if tools.is_empty() {
            return Ok(());
        }
        let definitions: Vec<Box<RawValue>> =
            tools.iter().filter_map(|tool| serde_json::value::to_raw_value(tool).ok()).collect();
        let definitions = tools_list(definitions.iter().map(|definition| &**definition));
        // Of revision 0, which takes the place of nothing that a server listed itself.
        self.store.tools().replace(key, server, Revision(0), &definitions).await?;
        self.load_tools(key).await
    }
}

/// Headers that cannot be sent are the plugin's mistake, and it is told at once.
fn check_headers(headers: &[(String, Secret<String>)]) -> Result<(), RegisterServerError> {
    let parsed = SecretHeaders::parse(headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
    parsed.map(drop).map_err(|problems| {
        let placed = problems
            .iter()
            .map(|problem| Problem { at: format!("server.headers.{}", problem.at), ..problem.clone() });
        RegisterServerError::Invalid(placed.collect())
    })
}

/// The message of the channel in the words of the reader.
fn spelled(server: RegisterServer) -> (Place, Value) {
    match server {
        RegisterServer::Local {
            id,
            cwd,
            start_command,
            install_command,
            build_command,
            transports,
            env,
            tools,
        } => {
            let message = json!({
                "id": id, "cwd": cwd, "startCommand": start_command, "installCommand": install_command,
                "buildCommand": build_command, "transports": transports, "env": env, "tools": tools,
            });
            (Place::Local, message)
        }
        RegisterServer::Remote { id, url, transports, headers, tools, auth } => {
            let mut message =
                json!({ "id": id, "url": url, "transports": transports, "headers": headers, "tools": tools });
            if let Some(auth) = auth {
                message["auth"] = json!(auth);
            }
            (Place::Remote, message)
        }
    }
}
