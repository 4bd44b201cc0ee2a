//! `hayloft plugin permissions`

use hayloft_model::PluginId;
use http::Method;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{ConnectionArgs, FormatArgs, OrgArgs};
use crate::client::segment;
use crate::failure::Failure;
use crate::output;

/// Shows what a plugin may do and what it asks for, and grants exactly what was shown if that is wanted.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(
    context: &Context<'_>,
    plugin: &PluginId,
    org: &OrgArgs,
    grant: bool,
    connection: &ConnectionArgs,
    format: FormatArgs,
) -> Result<(), Failure> {
    let client = context.client(connection).await?;
    let organization = client.organization(org).await?;
    let path = format!("/v1/orgs/{}/plugins/{}", segment(&organization), segment(plugin.as_str()));
    let mut shown = client.ask(Method::GET, &path, None).await?;
    let asked = shown["pendingPermissions"].clone();
    if grant && asked.as_array().is_some_and(|asked| !asked.is_empty()) {
        let wish = json!({ "permissions": asked });
        shown = client.ask(Method::POST, &format!("{path}/permissions"), Some(&wish)).await?;
    }
    print(&shown, format)
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
