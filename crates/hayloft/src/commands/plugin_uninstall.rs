//! `hayloft plugin uninstall`

use hayloft_model::PluginId;
use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Removes a plugin that the organization uploaded.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    plugin: &PluginId,
    org: &OrgArgs,
    purge: bool,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let path = format!(
        "/v1/orgs/{}/plugins/{}/installation?purge={purge}",
        segment(&organization),
        segment(plugin.as_str())
    );
    client.ask(Method::DELETE, &path, None).await?;
    if format.json {
        return output::json(&json!({ "pluginId": plugin, "purged": purge }));
    }
    output::line(format_args!("removed {plugin}"))
}
