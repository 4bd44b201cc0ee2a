//! `hayloft plugin permissions`

use http::Method;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{FormatArgs, PluginArgs};
use crate::failure::Failure;
use crate::output;

/// Shows what a plugin may do and what it asks for, and grants exactly what was shown if that is wanted.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, grant: bool, of: &PluginArgs) -> Result<(), Failure> {
    let plugin = context.plugin(of).await?;
    let mut shown = plugin.get("").await?;
    let asked = shown["pendingPermissions"].clone();
    if grant && asked.as_array().is_some_and(|asked| !asked.is_empty()) {
        let wish = json!({ "permissions": asked });
        shown = plugin.ask(Method::POST, "/permissions", Some(&wish)).await?;
    }
    print(&shown, of.within.server.format)
}

fn print(plugin: &Value, format: FormatArgs) -> Result<(), Failure> {
    if format.json {
        return output::json(&json!({
            "grantedPermissions": plugin["grantedPermissions"],
            "pendingPermissions": plugin["pendingPermissions"],
        }));
    }
    let mut rows = Vec::new();
    for (list, state) in [("grantedPermissions", "granted"), ("pendingPermissions", "asked for")] {
        let listed = output::rows(plugin, list, ["kind", "name"]).into_iter();
        rows.extend(listed.map(|[kind, name]| [kind, name, state.to_owned()]));
    }
    output::table(["kind", "name", ""], rows)
}
