//! `hayloft token revoke`

use hayloft_model::TokenId;
use http::Method;

use super::Context;
use crate::cli::{ConnectionArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Takes a token back.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    token: TokenId,
    org: &OrgArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    client.ask(Method::DELETE, &format!("/v1/orgs/{}/tokens/{token}", segment(&organization)), None).await?;
    output::line(format_args!("revoked {token}"))
}
