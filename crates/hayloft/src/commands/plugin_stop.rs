//! `hayloft plugin stop`

use http::Method;

use super::{Context, plugin_get};
use crate::cli::PluginArgs;
use crate::failure::Failure;

/// Ends what runs of a plugin, which stays switched on.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, of: &PluginArgs) -> Result<(), Failure> {
    let shown = context.plugin(of).await?.ask(Method::POST, "/stop", None).await?;
    plugin_get::print(&shown, of.within.server.format)
}
