//! `hayloft token revoke`

use hayloft_model::TokenId;
use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::OrgArgs;
use crate::failure::Failure;
use crate::output;

/// Takes a token back.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, token: TokenId, within: &OrgArgs) -> Result<(), Failure> {
    let organization = context.organization(within).await?;
    organization.ask(Method::DELETE, &format!("/tokens/{token}"), None).await?;
    if within.server.format.json {
        return output::json(&json!({ "id": token, "revoked": true }));
    }
    output::line(format_args!("revoked {token}"))
}
