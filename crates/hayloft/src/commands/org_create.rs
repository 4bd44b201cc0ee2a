//! `hayloft org create`

use hayloft_host::CreateOrganizationError;
use http::Method;
use serde_json::json;

use super::{Context, offline};
use crate::cli::ServerArgs;
use crate::client::Reached;
use crate::failure::Failure;
use crate::output;

/// Makes an organization and prints its id.
///
/// # Errors
/// When it is not made.
pub(crate) async fn run(context: &Context<'_>, name: &str, server: &ServerArgs) -> Result<(), Failure> {
    let ServerArgs { connection, format } = server;
    let made = match context.reach(connection).await? {
        Reached::Server(client) => {
            client.ask(Method::POST, "/v1/orgs", Some(&json!({ "name": name }))).await?
        }
        Reached::Nobody { data_dir } => {
            offline::as_administrator(context, connection, &data_dir, async |host, administrator| {
                let made = host.create_organization(administrator, name).await.map_err(not_made)?;
                Ok(json!({ "id": made.id, "name": made.name, "createdAt": made.created_at }))
            })
            .await?
        }
    };
    if format.json { output::json(&made) } else { output::line(made["id"].as_str().unwrap_or_default()) }
}

fn not_made(error: CreateOrganizationError) -> Failure {
    let failure = Failure::caused("failed to make the organization", &error);
    match error {
        CreateOrganizationError::Invalid(problems) => failure.problems(problems),
        CreateOrganizationError::Denied(_) | CreateOrganizationError::Store(_) => failure,
    }
}
