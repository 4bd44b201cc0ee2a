//! The servers that a plugin's folder lists, as its workers keep them up and as calls find them.

use std::collections::BTreeSet;

use hayloft_model::config::{ConfigSchema, ConfigValues, Credentials};
use hayloft_model::plugin::{DeclaredTool, McpEndpoint, McpServer};
use hayloft_model::{InstanceKey, PluginDescriptor, Secret, ServerId, WorkerId};
use hayloft_workers::KeptServer;

use super::environment;
use crate::Host;

impl Host {
    /// What the processes of a plugin's servers find in their environment.
    pub(crate) fn server_environment(
        &self,
        descriptor: &PluginDescriptor,
        schema: &ConfigSchema,
        values: &ConfigValues,
        credentials: Option<&Credentials>,
    ) -> Vec<(String, Secret<String>)> {
        environment::exported(schema, values, credentials, |name| self.allowed_variable(descriptor, name))
    }

    /// The servers of a folder that are processes.
    pub(crate) fn listed_servers(servers: &[McpServer]) -> Vec<KeptServer> {
        let kept = servers.iter().filter_map(|server| match &server.endpoint {
            McpEndpoint::Process { command } => Some(KeptServer {
                id: server.id.clone(),
                command: command.clone(),
                transports: server.transports.clone(),
                environment: Vec::new(),
            }),
            McpEndpoint::Remote { .. } => None,
        });
        kept.collect()
    }

    /// The servers that an instance has whether or not they run at this moment.
    pub(crate) fn lasting_servers(&self, key: &InstanceKey, worker: WorkerId) -> BTreeSet<ServerId> {
        let mut servers = self.handed.of(worker);
        if let Some(plugin) = self.plugins.get(key.organization, &key.plugin)
            && let Some(descriptor) = plugin.descriptor()
        {
            servers.extend(descriptor.servers.iter().map(|server| server.id.clone()));
        }
        servers
    }

    /// What the servers of an instance say that they will have.
    pub(crate) fn declared_tools(&self, key: &InstanceKey) -> Vec<(ServerId, Vec<DeclaredTool>)> {
        let Some(plugin) = self.plugins.get(key.organization, &key.plugin) else { return Vec::new() };
        let registered = self.registered_for(&plugin, key);
        let mcp = match &registered {
            Some(registered) => &registered.registration.mcp,
            None => match plugin.descriptor() {
                Some(descriptor) => &descriptor.declared.mcp,
                None => return Vec::new(),
            },
        };
        let servers = mcp.local.iter().chain(&mcp.external);
        servers
            .filter(|server| !server.tools.is_empty())
            .map(|server| (server.id.clone(), server.tools.clone()))
            .collect()
    }
}
