//! The port through which workers get what to run and for whom.

use futures::future::BoxFuture;
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, OrganizationId, Priority, Revision, Secret};

use crate::{KeptServer, Pooling};

/// Knows the desired state of instances.
pub trait LaunchSource: Send + Sync + 'static {
    /// What to start for an instance that somebody needs now. Asked once per start, however many wait.
    fn launch<'a>(&'a self, key: &'a InstanceKey) -> BoxFuture<'a, Result<Launch, LaunchRefused>>;
}

/// What to start and for whom.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The plugin's code.
    pub package: Package,
    /// Whether a worker of it may be ready before it is known for whom.
    pub pooling: Pooling,
    /// The organization and its values.
    pub binding: Binding,
    /// How urgent it is among the starts of the same organization.
    pub priority: Priority,
}

/// What a worker is told when it is given to an organization.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Whose worker it becomes.
    pub organization: OrganizationId,
    /// The organization's name; empty if it has none.
    pub organization_name: String,
    /// The revision of its configuration.
    pub revision: Revision,
    /// The values that the organization saved.
    pub config: ConfigValues,
    /// The method that it chose and its credentials.
    pub credentials: Option<Credentials>,
    /// Host variables that the plugin may read and that are set.
    pub environment: Vec<(String, Secret<String>)>,
    /// The MCP servers that the plugin's folder lists, to be kept up beside the plugin's own code, if it has any.
    pub servers: Vec<KeptServer>,
    /// The organization's settings as variables of the servers that are kept up, those of the list above and those that
    /// the plugin's code hands over.
    pub server_environment: Vec<(String, Secret<String>)>,
    /// Texts that its logs and whatever else it says must never show. Very short ones are shown all the same, since nothing would be left to read.
    pub secrets: Vec<Secret<String>>,
}

/// Why an instance is not to be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchRefused {
    /// The organization has not switched the plugin on.
    #[error("the plugin is not enabled")]
    NotEnabled,
    /// Required values are missing.
    #[error("required settings are missing: {}", missing.join(", "))]
    Unconfigured {
        /// Their names.
        missing: Vec<String>,
    },
    /// It crashed too often.
    #[error("the plugin is quarantined: {reason}")]
    Quarantined {
        /// What happened.
        reason: String,
    },
    /// Its package or its configuration cannot be used.
    #[error("the plugin cannot be used: {reason}")]
    Failed {
        /// What is wrong.
        reason: String,
    },
}
