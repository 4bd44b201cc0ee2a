//! `hayloft org remove`

use hayloft_model::OrganizationId;
use http::Method;

use super::Context;
use crate::cli::ConnectionArgs;
use crate::failure::Failure;
use crate::output;

/// Removes an organization.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    organization: OrganizationId,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    client.ask(Method::DELETE, &format!("/v1/orgs/{organization}"), None).await?;
    output::line(format_args!("removed {organization}"))
}
