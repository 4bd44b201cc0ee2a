//! `hayloft plugin health`

use std::process::ExitCode;

use super::Context;
use crate::cli::PluginArgs;
use crate::failure::Failure;
use crate::output;

/// Tells whether a plugin is well. The exit code is 1 when it is not.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, of: &PluginArgs) -> Result<ExitCode, Failure> {
    let health = context.plugin(of).await?.get("/health").await?;
    if of.within.server.format.json {
        output::json(&health)?;
    } else {
        let line = format!("{}: {}", output::text(&health, "status"), output::text(&health, "message"));
        output::line(output::plain(&line))?;
    }
    Ok(if health["success"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
