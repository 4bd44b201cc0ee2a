//! `hayloft audit list`

use http::Method;

use super::Context;
use crate::cli::AuditListArgs;
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Lists what happened to an organization, or to the host itself, newest first.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, args: AuditListArgs) -> Result<(), Failure> {
    let client = context.client(&args.server.connection).await?;
    let trail = match args.org {
        Some(org) => {
            let organization = client.organization(Some(&org)).await?;
            format!("/v1/orgs/{}/audit", segment(&organization))
        }
        None => String::from("/v1/audit"),
    };
    let listed = client.ask(Method::GET, &format!("{trail}?limit={}", args.limit), None).await?;
    if args.server.format.json {
        return output::json(&listed);
    }
    let columns = ["at", "actor", "action", "subject", "detail"];
    output::table(["when", "who", "what", "to what", "more"], output::rows(&listed, "entries", columns))
}
