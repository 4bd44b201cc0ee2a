//! `hayloft plugin logs`

use hayloft_model::PluginId;
use http::Method;

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Prints what a plugin's workers wrote last.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    plugin: &PluginId,
    org: &OrgArgs,
    tail: u32,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let (organization, plugin) = (segment(&organization), segment(plugin.as_str()));
    let path = format!("/v1/orgs/{organization}/plugins/{plugin}/logs?tail={tail}");
    let shown = client.ask(Method::GET, &path, None).await?;
    if format.json {
        return output::json(&shown);
    }
    for [at, level, stream, message, meta] in
        output::rows(&shown, "lines", ["at", "level", "stream", "message", "meta"])
    {
        let line = format!("{at} {level:<5} {stream:<6} {message} {meta}");
        output::line(output::plain(line.trim_end()))?;
    }
    Ok(())
}
