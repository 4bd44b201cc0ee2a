//! `hayloft plugin stop`

use hayloft_model::PluginId;
use http::Method;

use super::{Context, plugin_get};
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;

/// Ends what runs of a plugin, which stays switched on.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    plugin: &PluginId,
    org: &OrgArgs,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let path = format!("/v1/orgs/{}/plugins/{}/stop", segment(&organization), segment(plugin.as_str()));
    let shown = client.ask(Method::POST, &path, None).await?;
    plugin_get::print(&shown, format)
}
