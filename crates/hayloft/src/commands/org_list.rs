//! `hayloft org list`

use http::Method;

use super::Context;
use crate::cli::ServerArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the organizations that the token can see.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, server: &ServerArgs) -> Result<(), Failure> {
    let listed = context.client(&server.connection).await?.ask(Method::GET, "/v1/orgs", None).await?;
    if server.format.json {
        return output::json(&listed);
    }
    output::table(["id", "name", "made"], output::rows(&listed, "orgs", ["id", "name", "createdAt"]))
}
