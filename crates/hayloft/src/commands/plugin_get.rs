//! `hayloft plugin get`

use serde_json::Value;

use super::Context;
use crate::cli::{FormatArgs, PluginArgs};
use crate::failure::Failure;
use crate::output;

/// Shows a plugin.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, of: &PluginArgs) -> Result<(), Failure> {
    print(&context.plugin(of).await?.get("").await?, of.within.server.format)
}

/// Prints a plugin: what a person asks first, then its settings.
///
/// # Errors
/// When nobody reads.
pub(super) fn print(plugin: &Value, format: FormatArgs) -> Result<(), Failure> {
    if format.json {
        return output::json(plugin);
    }
    let mut rows = Vec::new();
    for (label, member) in [
        ("id", "id"),
        ("name", "name"),
        ("version", "version"),
        ("enabled", "enabled"),
        ("state", "state"),
        ("last error", "lastError"),
        ("revision", "revision"),
        ("active revision", "activeRevision"),
    ] {
        rows.push([label.to_owned(), output::text(plugin, member)]);
    }
    rows.retain(|[_, value]| !value.is_empty());
    // A plugin without auth methods is asked too, and what it says then is nothing that a person gave.
    if let Some(auth) = plugin["auth"].as_object()
        && (!plugin["auth"]["methodId"].is_null() || plugin["auth"]["valid"] == false)
    {
        let verdict =
            match (auth.get("valid").and_then(Value::as_bool), auth.get("error").and_then(Value::as_str)) {
                (Some(true), _) => String::from("valid"),
                (Some(false), Some(error)) => format!("not valid: {error}"),
                (Some(false), None) => String::from("not valid"),
                (None, _) => String::from("not checked yet"),
            };
        rows.push(["credentials".to_owned(), verdict]);
    }
    for missing in plugin["missing"].as_array().into_iter().flatten() {
        rows.push(["missing".to_owned(), output::text(missing, "field")]);
    }
    // What a plugin that is off asks for is granted by switching it on; of one that is on somebody must hear.
    if plugin["enabled"] == true {
        for [kind, name] in output::rows(plugin, "pendingPermissions", ["kind", "name"]) {
            rows.push(["asks for".to_owned(), format!("{kind} {name}")]);
        }
    }
    for (name, value) in plugin["config"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push([format!("setting {name}"), value]);
    }
    for problem in plugin["problems"].as_array().into_iter().flatten() {
        let text = format!("{}: {}", output::text(problem, "at"), output::text(problem, "message"));
        rows.push([output::text(problem, "severity"), text]);
    }
    output::table(["", ""], rows)
}
