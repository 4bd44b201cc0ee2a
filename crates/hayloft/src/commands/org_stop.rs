//! `hayloft org stop`

use hayloft_model::OrganizationId;
use http::Method;
use serde_json::Value;

use super::Context;
use crate::cli::ServerArgs;
use crate::failure::Failure;
use crate::output;

/// Ends all that runs of an organization, and prints which plugins that were.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    organization: OrganizationId,
    server: &ServerArgs,
) -> Result<(), Failure> {
    let client = context.client(&server.connection).await?;
    let stopped = client.ask(Method::POST, &format!("/v1/orgs/{organization}/stop"), None).await?;
    if server.format.json {
        return output::json(&stopped);
    }
    let plugins = stopped["stopped"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for plugin in plugins {
        output::line(format_args!("stopped {plugin}"))?;
    }
    Ok(())
}
