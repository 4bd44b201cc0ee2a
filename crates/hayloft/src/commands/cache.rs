//! `hayloft cache`

use http::Method;
use serde_json::{Value, json};

use super::Context;
use crate::cli::CacheCommand;
use crate::failure::Failure;
use crate::output;

/// Shows or chooses whether an organization's results of tools are kept.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, command: CacheCommand) -> Result<(), Failure> {
    let (within, choice) = match command {
        CacheCommand::Show(args) => (args, None),
        CacheCommand::On(args) => (args, Some(Value::Bool(true))),
        CacheCommand::Off(args) => (args, Some(Value::Bool(false))),
        CacheCommand::Default(args) => (args, Some(Value::Null)),
    };
    let organization = context.organization(&within).await?;
    let shown = match choice {
        None => organization.get("/tools/cache").await?,
        Some(enabled) => {
            organization.ask(Method::PUT, "/tools/cache", Some(&json!({ "enabled": enabled }))).await?
        }
    };
    if within.server.format.json {
        return output::json(&shown);
    }
    let enabled = if shown["enabled"] == true { "on" } else { "off" };
    let by = if shown["chosen"].is_null() { "the operator's default" } else { "the organization's choice" };
    output::line(format!("{enabled} ({by})"))
}
