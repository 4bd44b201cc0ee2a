//! `hayloft plugin disable`

use hayloft_model::PluginId;
use http::Method;

use super::{Context, plugin_get};
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;

/// Switches a plugin off, and deletes its settings if that is asked for.
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
    let path = format!("/v1/orgs/{}/plugins/{}", segment(&organization), segment(plugin.as_str()));
    let mut shown = client.ask(Method::DELETE, &path, None).await?;
    if purge {
        client.ask(Method::DELETE, &format!("{path}/configuration"), None).await?;
        shown = client.ask(Method::GET, &path, None).await?;
    }
    plugin_get::print(&shown, format)
}
