//! `hayloft org remove`

use hayloft_model::OrganizationId;
use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::ServerArgs;
use crate::failure::Failure;
use crate::output;

/// Removes an organization.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    organization: OrganizationId,
    server: &ServerArgs,
) -> Result<(), Failure> {
    let client = context.client(&server.connection).await?;
    client.ask(Method::DELETE, &format!("/v1/orgs/{organization}"), None).await?;
    if server.format.json {
        return output::json(&json!({ "id": organization, "removed": true }));
    }
    output::line(format_args!("removed {organization}"))
}
