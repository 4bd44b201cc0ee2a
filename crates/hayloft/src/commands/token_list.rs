//! `hayloft token list`

use http::Method;

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Lists the tokens of an organization.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    org: &OrgArgs,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let listed =
        client.ask(Method::GET, &format!("/v1/orgs/{}/tokens", segment(&organization)), None).await?;
    if format.json {
        return output::json(&listed);
    }
    let rows = output::rows(&listed, "tokens", ["id", "role", "name", "createdAt", "revokedAt"]);
    output::table(["id", "role", "name", "made", "revoked"], rows)
}
