//! `hayloft plugin disable`

use http::Method;

use super::{Context, plugin_get};
use crate::cli::PluginArgs;
use crate::failure::Failure;

/// Switches a plugin off, and deletes its settings if that is asked for.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, purge: bool, of: &PluginArgs) -> Result<(), Failure> {
    let plugin = context.plugin(of).await?;
    let mut shown = plugin.ask(Method::DELETE, "", None).await?;
    if purge {
        plugin.ask(Method::DELETE, "/configuration", None).await?;
        shown = plugin.get("").await?;
    }
    plugin_get::print(&shown, of.within.server.format)
}
