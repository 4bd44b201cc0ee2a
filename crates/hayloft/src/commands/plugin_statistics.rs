//! `hayloft plugin statistics`

use serde_json::Value;

use super::Context;
use crate::cli::PluginArgs;
use crate::failure::Failure;
use crate::output;

/// Shows how much a plugin's tools were used.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, of: &PluginArgs) -> Result<(), Failure> {
    let statistics = context.plugin(of).await?.get("/statistics").await?;
    if of.within.server.format.json {
        return output::json(&statistics);
    }
    let row = |name: String, of: &Value| {
        let number = |member: &str| of[member].as_f64().unwrap_or_default();
        [
            name,
            output::text(of, "totalInvocations"),
            format!("{:.2}", number("averageLatency")),
            format!("{:.2}", number("errorRate") * 100.0),
        ]
    };
    let tools = statistics["tools"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = tools.map(|tool| row(output::text(tool, "tool"), tool)).collect();
    rows.push(row(String::from("(all)"), &statistics));
    output::table(["tool", "calls", "average ms", "errors %"], rows)?;
    output::line(format!("workers that serve: {}", output::text(&statistics, "activeInstances")))
}
