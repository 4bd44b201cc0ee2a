//! `hayloft plugin logs`

use super::Context;
use crate::cli::PluginArgs;
use crate::failure::Failure;
use crate::output;

/// Prints what a plugin's workers wrote last.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, tail: u32, of: &PluginArgs) -> Result<(), Failure> {
    let shown = context.plugin(of).await?.get(&format!("/logs?tail={tail}")).await?;
    if of.within.server.format.json {
        return output::json(&shown);
    }
    for [at, level, stream, message, meta] in
        output::rows(&shown, "lines", ["at", "level", "stream", "message", "meta"])
    {
        let line = format!("{at} {level:<5} {stream:<6} {message} {meta}");
        output::line(output::plain(line.trim_end()))?;
    }
    Ok(())
}
