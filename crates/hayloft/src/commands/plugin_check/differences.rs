//! What a plugin registers, in lines; and where that differs from what its folder declares.

use hayloft_model::plugin::{Capability, McpServerDeclaration};
use hayloft_model::{PluginDescriptor, Problem, Problems, Registration};

/// Everything that it registers: what kind, its name, and what a person asks next.
pub(super) fn registered(registration: &Registration) -> Vec<[String; 3]> {
    let row = |kind: &str, name: &str, more: String| [kind.to_owned(), name.to_owned(), more];
    let mut rows = Vec::new();
    for (name, field) in &registration.config_schema.fields {
        rows.push(row("setting", name, if field.required { "required" } else { "" }.to_owned()));
    }
    rows.extend(
        registration.auth_methods.iter().map(|method| row("auth method", method.id(), String::new())),
    );
    for (kind, servers) in
        [("MCP server", &registration.mcp.local), ("MCP server elsewhere", &registration.mcp.external)]
    {
        for server in servers {
            rows.push(row(kind, server.id.as_str(), String::new()));
            rows.extend(server.tools.iter().map(|tool| row("tool", &tool.name, server.id.to_string())));
        }
    }
    for route in &registration.routes {
        rows.push(row("route", &format!("{} {}", route.method, route.path), String::new()));
    }
    rows.extend(
        registration.procedures.iter().map(|procedure| row("procedure", &procedure.path, String::new())),
    );
    rows.extend(registration.crons.iter().map(|cron| row("cron", &cron.name, cron.schedule.clone())));
    rows.extend(
        registration.ui_extensions.iter().map(|part| row("UI extension", &part.slot, part.component.clone())),
    );
    rows.extend(registration.pages.iter().map(|page| row("page", &page.id, page.title.clone())));
    rows
}

/// Where it registers less than it declares. Where it registers more, the registration itself has a problem.
pub(super) fn of(descriptor: &PluginDescriptor, registration: &Registration) -> Problems {
    let mut problems = Problems::new();
    let registers = [
        (Capability::Routes, "routes", !registration.routes.is_empty()),
        (Capability::Auth, "auth methods", !registration.auth_methods.is_empty()),
        (Capability::Config, "settings", !registration.config_schema.fields.is_empty()),
        (Capability::Cron, "scheduled jobs", !registration.crons.is_empty()),
        (
            Capability::Ui,
            "UI extensions or pages",
            !registration.ui_extensions.is_empty() || !registration.pages.is_empty(),
        ),
    ];
    for (capability, what, has_some) in registers {
        if descriptor.declares(capability) && !has_some {
            let message =
                format!("declares `{capability}`, and registers no {what} before it has an organization");
            let hint = format!("leave `{capability}` out if that is all that it does");
            problems.push(Problem::warning("capabilities", message).hint(hint));
        }
    }
    let declared = descriptor.declared.mcp.local.iter().chain(&descriptor.declared.mcp.external);
    for server in declared {
        let by_code = registration
            .mcp
            .local
            .iter()
            .chain(&registration.mcp.external)
            .find(|other| other.id == server.id);
        problems.extend(by_code.map(|by_code| tools(server, by_code)).unwrap_or_default());
    }
    problems
}

/// Tools that only one of the two names.
fn tools(declared: &McpServerDeclaration, registered: &McpServerDeclaration) -> Problems {
    if registered.tools.is_empty() {
        return Problems::new();
    }
    let has = |server: &McpServerDeclaration, name: &str| server.tools.iter().any(|tool| tool.name == name);
    let only_declared = declared.tools.iter().filter(|tool| !has(registered, &tool.name));
    let only_registered = registered.tools.iter().filter(|tool| !has(declared, &tool.name));
    let lacking =
        only_declared.map(|tool| format!("declares the tool `{}`, which its code does not have", tool.name));
    let further =
        only_registered.map(|tool| format!("has the tool `{}`, which it does not declare", tool.name));
    let at = format!("mcp.{}", declared.id);
    lacking.chain(further).map(|message| Problem::warning(at.clone(), message)).collect()
}

#[cfg(test)]
mod tests {
    use hayloft_model::plugin::{FormatName, Runtime};
    use serde_json::json;

    use super::*;

    fn registration(value: serde_json::Value) -> Registration {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_declared_and_not_there_is_said() {
        let runtime = Runtime::Node { entry: "index.js".into() };
        let plugin = PluginDescriptor {
            capabilities: vec![Capability::Routes, Capability::Mcp, Capability::Config],
            declared: registration(json!({ "mcp": { "local": [
                { "id": "main", "tools": [{ "name": "one" }, { "name": "two" }] },
                { "id": "quiet", "tools": [{ "name": "any" }] },
            ] } })),
            ..PluginDescriptor::new("a".parse().unwrap(), "1.0.0", FormatName("x".into()), runtime)
        };
        let found = registration(json!({
            "configSchema": { "key": { "type": "string", "required": true } },
            "mcp": { "local": [{ "id": "main", "tools": [{ "name": "two" }, { "name": "three" }] }, { "id": "quiet" }] },
        }));
        let problems: Vec<String> = of(&plugin, &found)
            .iter()
            .map(|problem| format!("{}: {}", problem.at, problem.message))
            .collect();
        assert_eq!(
            problems,
            [
                "capabilities: declares `routes`, and registers no routes before it has an organization",
                "mcp.main: declares the tool `one`, which its code does not have",
                "mcp.main: has the tool `three`, which it does not declare",
            ]
        );
        let rows = registered(&found).into_iter().map(|row| row.join(" ")).collect::<Vec<_>>();
        assert_eq!(rows[0], "setting key required");
        assert!(rows.contains(&"tool three main".to_owned()), "{rows:?}");
    }
}
