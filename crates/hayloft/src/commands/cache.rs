//! `hayloft cache`

use http::Method;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{CacheArgs, CacheCommand};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Shows or chooses whether an organization's results of tools are kept.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, command: CacheCommand) -> Result<(), Failure> {
    let (CacheArgs { org, connection, format }, choice) = match command {
        CacheCommand::Show(args) => (args, None),
        CacheCommand::On(args) => (args, Some(Value::Bool(true))),
        CacheCommand::Off(args) => (args, Some(Value::Bool(false))),
        CacheCommand::Default(args) => (args, Some(Value::Null)),
    };
    let client = context.client(&connection).await?;
    let organization = client.organization(&org).await?;
    let path = format!("/v1/orgs/{}/tools/cache", segment(&organization));
    let shown = match choice {
        None => client.ask(Method::GET, &path, None).await?,
        Some(enabled) => client.ask(Method::PUT, &path, Some(&json!({ "enabled": enabled }))).await?,
    };
    if format.json {
        return output::json(&shown);
    }
    let enabled = if shown["enabled"] == true { "on" } else { "off" };
    let by = if shown["chosen"].is_null() { "the operator's default" } else { "the organization's choice" };
    output::line(format!("{enabled} ({by})"))
}
