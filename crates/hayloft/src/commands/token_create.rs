//! `hayloft token create`

use hayloft_host::{CreateToken, CreateTokenError};
use hayloft_model::{OrganizationId, Role};
use http::Method;
use serde_json::json;

use super::{Context, offline};
use crate::cli::{OrgArgs, RoleArg, ServerArgs};
use crate::client::Reached;
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

/// Makes a token and prints it, the only time that it is seen.
///
/// # Errors
/// When it is not made.
pub(crate) async fn run(
    context: &Context<'_>,
    role: RoleArg,
    name: Option<String>,
    within: &OrgArgs,
) -> Result<(), Failure> {
    let OrgArgs { org, server: ServerArgs { connection, format } } = within;
    let role = Role::from(role);
    let made = match context.reach(connection).await? {
        Reached::Server(client) => {
            let organization = client.organization(org.as_deref()).await?;
            let mut wish = json!({ "role": role });
            if let Some(name) = name {
                wish["name"] = name.into();
            }
            Place::organization(client, &organization).ask(Method::POST, "/tokens", Some(&wish)).await?
        }
        Reached::Nobody { data_dir } => {
            let organization: OrganizationId =
                org.as_deref().and_then(|id| id.parse().ok()).ok_or_else(|| {
                    Failure::wrong_use("no server is running, so the organization must be named by its id")
                        .hint("name it with `--org org_…`, or start the server with `hayloft serve`")
                })?;
            offline::as_administrator(context, connection, &data_dir, async |host, administrator| {
                let wish = CreateToken { role, name };
                let made = host.create_token(administrator, organization, wish).await.map_err(not_made)?;
                Ok(json!({ "id": made.id, "role": made.role, "token": made.token.expose() }))
            })
            .await?
        }
    };
    if format.json { output::json(&made) } else { output::line(made["token"].as_str().unwrap_or_default()) }
}

fn not_made(error: CreateTokenError) -> Failure {
    let failure = Failure::caused("failed to make the token", &error);
    match error {
        CreateTokenError::Invalid(problems) => failure.problems(problems),
        CreateTokenError::Denied(_) | CreateTokenError::Store(_) => failure,
    }
}
