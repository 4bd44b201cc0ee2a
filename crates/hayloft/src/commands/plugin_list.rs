//! `hayloft plugin list`

use super::Context;
use crate::cli::OrgArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the plugins that an organization can have.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, within: &OrgArgs) -> Result<(), Failure> {
    let listed = context.organization(within).await?.get("/plugins").await?;
    if within.server.format.json {
        return output::json(&listed);
    }
    let rows = output::rows(&listed, "plugins", ["id", "name", "version", "state", "lastError"]);
    output::table(["id", "name", "version", "state", "last error"], rows)
}
