//! The host's own procedures `plugins.<name>`, in the shapes that programs written against them read. Each asks the same
//! use case as an endpoint of REST; none of them decides anything.

use hayloft_host::{CallableKind, Host};
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{Caller, OrganizationId, PluginId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::problem::ProblemDetails;
use crate::trpc::wire::Written;
use crate::trpc::{Code, TrpcError};

mod configure;
mod disable;
mod enable;
mod get;
mod get_all;
mod get_config;
mod get_instances;
mod get_mcp_tools;
mod health_check;
mod invoke_tool;
mod refresh_mcp_tools;
mod restart;
mod shape;
mod statistics;
mod stop;
mod stop_all;
mod test_connection;
mod validate_auth;

use super::{oauth, sources};

/// A procedure of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Procedure {
    GetAll,
    Get,
    Enable,
    Disable,
    Configure,
    GetConfig,
    InvokeTool,
    HealthCheck,
    Restart,
    Stop,
    StopAll,
    ValidateAuth,
    TestConnection,
    GetMcpTools,
    RefreshMcpTools,
    GetInstances,
    Statistics,
    OAuth(oauth::Procedure),
    Sources,
}

/// Who asks for what.
pub(super) struct Asked<'a> {
    pub(super) host: &'a Host,
    pub(super) caller: &'a Caller,
    pub(super) organization: OrganizationId,
    input: Option<Box<RawValue>>,
}

impl Procedure {
    /// The procedure of a name, and what it is called as; nothing where either will do.
    pub(super) fn find(name: &str) -> Option<(Self, Option<CallableKind>)> {
        use CallableKind::{Mutation, Query};
        let found = match name {
            "plugins.getAll" => (Self::GetAll, Query),
            "plugins.get" => (Self::Get, Query),
            "plugins.enable" => (Self::Enable, Mutation),
            "plugins.disable" => (Self::Disable, Mutation),
            "plugins.updateConfig" | "plugins.configure" => (Self::Configure, Mutation),
            "plugins.getConfig" => (Self::GetConfig, Query),
            "plugins.invokeTool" => (Self::InvokeTool, Mutation),
            "plugins.healthCheck" => (Self::HealthCheck, Query),
            "plugins.restart" => (Self::Restart, Mutation),
            "plugins.stop" => (Self::Stop, Mutation),
            "plugins.stopAll" => (Self::StopAll, Mutation),
            "plugins.validateAuth" => (Self::ValidateAuth, Mutation),
            "plugins.testConnection" => (Self::TestConnection, Mutation),
            "plugins.getMCPTools" => (Self::GetMcpTools, Query),
            "plugins.refreshMCPTools" => (Self::RefreshMcpTools, Mutation),
            "plugins.getInstances" => (Self::GetInstances, Query),
            "plugins.statistics" | "plugins.metrics" => (Self::Statistics, Query),
            "plugins.oauth.isAvailable" => (Self::OAuth(oauth::Procedure::IsAvailable), Query),
            "plugins.oauth.status" => (Self::OAuth(oauth::Procedure::Status), Query),
            "plugins.oauth.initiate" => (Self::OAuth(oauth::Procedure::Initiate), Mutation),
            "plugins.oauth.revoke" => (Self::OAuth(oauth::Procedure::Revoke), Mutation),
            "sources.register" | "sources.activate" | "sources.deactivate" => (Self::Sources, Mutation),
            "sources.list" | "sources.getByCategory" => (Self::Sources, Query),
            _ => return None,
        };
        let (procedure, kind) = found;
        // It changes nothing that is saved, and programs call it as either.
        let either = matches!(procedure, Self::TestConnection | Self::ValidateAuth);
        Some((procedure, (!either).then_some(kind)))
    }

    /// Answers a call.
    pub(super) async fn answer(self, asked: Asked<'_>) -> Result<Written, TrpcError> {
        let answered = match self {
            // What servers said passes raw.
            Self::InvokeTool => return invoke_tool::answer(asked).await,
            Self::GetMcpTools => return get_mcp_tools::answer(asked),
            Self::RefreshMcpTools => return refresh_mcp_tools::answer(asked).await,
            Self::GetAll => get_all::answer(asked).await,
            Self::Get => get::answer(asked).await,
            Self::Enable => enable::answer(asked).await,
            Self::Disable => disable::answer(asked).await,
            Self::Configure => configure::answer(asked).await,
            Self::GetConfig => get_config::answer(asked).await,
            Self::HealthCheck => health_check::answer(asked).await,
            Self::Restart => restart::answer(asked).await,
            Self::Stop => stop::answer(asked).await,
            Self::StopAll => stop_all::answer(asked).await,
            Self::ValidateAuth => validate_auth::answer(asked).await,
            Self::TestConnection => test_connection::answer(asked).await,
            Self::GetInstances => get_instances::answer(asked),
            Self::Statistics => statistics::answer(asked).await,
            Self::OAuth(procedure) => oauth::answer(procedure, asked).await,
            Self::Sources => Err(sources::refusal()),
        };
        answered.map(Written::from)
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        host: &'a Host,
        caller: &'a Caller,
        organization: OrganizationId,
        input: Option<Box<RawValue>>,
    ) -> Self {
        Self { host, caller, organization, input }
    }

    /// What the procedure is given. Members that nothing reads are passed over, as tRPC's own servers do.
    pub(super) fn input<T: DeserializeOwned>(&self) -> Result<T, TrpcError> {
        let text = self.input.as_ref().map_or("{}", |input| input.get());
        serde_json::from_str(text).map_err(|error| {
            TrpcError::new(Code::BadRequest, format!("the input is not what this takes: {error}"))
        })
    }

    /// The same where nothing need be given.
    fn optional_input<T: DeserializeOwned + Default>(&self) -> Result<T, TrpcError> {
        let is_nothing = self.input.as_ref().is_none_or(|input| input.get().trim() == "null");
        if is_nothing { Ok(T::default()) } else { self.input() }
    }
}

/// The plugin that a call is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfPlugin {
    plugin_id: String,
}

impl OfPlugin {
    pub(super) fn id(&self) -> Result<PluginId, TrpcError> {
        plugin_id(&self.plugin_id)
    }
}

/// A text that is no id names no plugin.
fn plugin_id(text: &str) -> Result<PluginId, TrpcError> {
    text.parse().map_err(|_| ProblemDetails::unknown_plugin().into())
}

/// Settings as a caller writes them.
fn values(fields: Map<String, Value>) -> ConfigValues {
    fields.into_iter().collect()
}

/// A chosen auth method as a caller writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenAuth {
    method_id: String,
    #[serde(default)]
    credentials: Map<String, Value>,
}

impl From<GivenAuth> for Credentials {
    fn from(given: GivenAuth) -> Self {
        Self { method_id: given.method_id, values: values(given.credentials) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_host_are_the_hosts() {
        for name in ["plugins.getAll", "plugins.oauth.isAvailable", "sources.list"] {
            assert!(Procedure::find(name).is_some(), "{name}");
        }
        for name in [
            "",
            "plugins",
            "plugins.",
            "plugins.getall",
            "plugins.getAll.x",
            "plugins.myPlugin.get",
            "getAll",
        ] {
            assert!(Procedure::find(name).is_none(), "{name}");
        }
    }
}
