//! `hayloft token role`

use hayloft_model::{Role, TokenId};
use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::{OrgArgs, RoleArg};
use crate::failure::Failure;
use crate::output;

/// Gives a token another role.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    token: TokenId,
    role: RoleArg,
    within: &OrgArgs,
) -> Result<(), Failure> {
    let organization = context.organization(within).await?;
    let role = Role::from(role);
    let wish = json!({ "role": role });
    organization.ask(Method::PUT, &format!("/tokens/{token}"), Some(&wish)).await?;
    if within.server.format.json {
        return output::json(&json!({ "id": token, "role": role }));
    }
    output::line(format_args!("{token} is {role} now"))
}
