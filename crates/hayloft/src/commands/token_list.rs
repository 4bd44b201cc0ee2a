//! `hayloft token list`

use super::Context;
use crate::cli::OrgArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the tokens of an organization.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, within: &OrgArgs) -> Result<(), Failure> {
    let listed = context.organization(within).await?.get("/tokens").await?;
    if within.server.format.json {
        return output::json(&listed);
    }
    let rows = output::rows(&listed, "tokens", ["id", "role", "name", "createdAt", "revokedAt"]);
    output::table(["id", "role", "name", "made", "revoked"], rows)
}
