//! `hayloft plugin uninstall`

use http::Method;
use serde_json::json;

use super::Context;
use crate::cli::PluginArgs;
use crate::failure::Failure;
use crate::output;

/// Removes a plugin that the organization uploaded.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, purge: bool, of: &PluginArgs) -> Result<(), Failure> {
    let below = format!("/installation?purge={purge}");
    context.plugin(of).await?.ask(Method::DELETE, &below, None).await?;
    let plugin = &of.plugin;
    if of.within.server.format.json {
        return output::json(&json!({ "pluginId": plugin, "purged": purge }));
    }
    output::line(format_args!("removed {plugin}"))
}
