//! `hayloft plugin list`

use http::Method;

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Lists the plugins that an organization can have.
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
        client.ask(Method::GET, &format!("/v1/orgs/{}/plugins", segment(&organization)), None).await?;
    if format.json {
        return output::json(&listed);
    }
    let rows = output::rows(&listed, "plugins", ["id", "name", "version", "state", "lastError"]);
    output::table(["id", "name", "version", "state", "last error"], rows)
}
