//! `hayloft token role`

use hayloft_model::{Role, TokenId};
use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::{ConnectionArgs, OrgArgs, RoleArg};
use crate::client::segment;
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
    org: &OrgArgs,
    connection: &ConnectionArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let role = Role::from(role);
    let path = format!("/v1/orgs/{}/tokens/{token}", segment(&organization));
    client.ask(Method::PUT, &path, Some(&json!({ "role": role }))).await?;
    output::line(format_args!("{token} is {role} now"))
}
