//! `hayloft plugin call`

use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use super::Context;
use super::plugin_enable::{json_object, text_or_stdin};
use crate::cli::OrgArgs;
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Calls a tool and prints its result. The exit code is 1 when the tool says no.
///
/// # Errors
/// When the arguments are no object, the server does not answer or refuses, or the plugin broke.
pub(crate) async fn run(
    context: &Context<'_>,
    tool: &str,
    arguments: &str,
    within: &OrgArgs,
) -> Result<ExitCode, Failure> {
    let arguments = json_object("JSON", &text_or_stdin(arguments)?)?;
    let organization = context.organization(within).await?;
    let (below, wish) = (format!("/tools/{}/call", segment(tool)), json!({ "arguments": arguments }));
    let result = organization.ask(Method::POST, &below, Some(&wish)).await?;
    if within.server.format.json {
        output::json(&result)?;
    } else {
        for block in result["content"].as_array().into_iter().flatten() {
            output::line(shown(block))?;
        }
    }
    Ok(if result["isError"] == true { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A content block: its text, or else what it is.
fn shown(block: &Value) -> String {
    match (block["type"].as_str(), block["text"].as_str()) {
        (Some("text"), Some(text)) => output::plain(text),
        _ => output::plain(&block.to_string()),
    }
}
