//! `hayloft plugin health`

use std::process::ExitCode;

use hayloft_model::PluginId;
use http::Method;

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Tells whether a plugin is well. The exit code is 1 when it is not.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    plugin: &PluginId,
    org: &OrgArgs,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<ExitCode, Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let path = format!("/v1/orgs/{}/plugins/{}/health", segment(&organization), segment(plugin.as_str()));
    let health = client.ask(Method::GET, &path, None).await?;
    if format.json {
        output::json(&health)?;
    } else {
        let line = format!("{}: {}", output::text(&health, "status"), output::text(&health, "message"));
        output::line(output::plain(&line))?;
    }
    Ok(if health["success"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
