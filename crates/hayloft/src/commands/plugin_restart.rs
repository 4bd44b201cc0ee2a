//! `hayloft plugin restart`

use http::Method;

use super::{Context, plugin_get};
use crate::cli::PluginArgs;
use crate::failure::Failure;

/// Starts a plugin anew, also one that is held back because it crashed too often.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, of: &PluginArgs) -> Result<(), Failure> {
    let shown = context.plugin(of).await?.ask(Method::POST, "/restart", None).await?;
    plugin_get::print(&shown, of.within.server.format)
}
