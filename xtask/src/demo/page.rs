//! What the demonstration prints: everything that somebody needs to make the first call, ready to paste.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::prepare::{Organization, Tool};
use super::rest::part;

/// The longest of the words that stand beside the names of plugins.
const ENDPOINT: &str = "MCP endpoint";

/// The whole text. `node` is the folder of a Node that is new enough for the MCP inspector.
pub(super) fn text(
    address: &str,
    organizations: &[Organization],
    node: &Path,
    data: &Path,
    log: &Path,
) -> String {
    let mut page = format!("\nHayloft is ready at {address}\n");
    for organization in organizations {
        add_organization(&mut page, address, organization);
    }
    if let Some(first) = organizations.first() {
        add_commands(&mut page, address, node, first);
    }
    line(&mut page, "");
    line(&mut page, &format!("administrator's token: {}", data.join("admin-token").display()));
    line(&mut page, &format!("log: {}", log.display()));
    line(&mut page, "Ctrl-C stops everything; the data stays for the next run.");
    page
}

fn add_organization(page: &mut String, address: &str, organization: &Organization) {
    line(page, "");
    line(page, &format!("organization `{}` ({})", organization.name, organization.id));
    let names = organization.plugins.iter().map(|plugin| plugin.name.chars().count());
    let width = names.chain([ENDPOINT.len()]).max().unwrap_or_default();
    for plugin in &organization.plugins {
        let tools = organization.tools.iter().filter(|tool| tool.plugin == plugin.id).count();
        let tools = format!("{tools} tool{}", if tools == 1 { "" } else { "s" });
        let error = plugin.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        line(page, &format!("  {:<width$}  {:<13} {tools}{error}", plugin.name, plugin.state));
    }
    line(page, &format!("  {:<width$}  {address}/v1/mcp", ENDPOINT));
    line(page, &format!("  {:<width$}  {}", "token", organization.token));
}

fn add_commands(page: &mut String, address: &str, node: &Path, organization: &Organization) {
    let token = &organization.token;
    if let Some(tool) = simplest(&organization.tools) {
        let arguments = json!({ "arguments": sample(&tool.input_schema) });
        line(page, "\ncall a tool:");
        line(
            page,
            &format!(
                "  curl -s {address}/v1/orgs/{}/tools/{}/call -H 'authorization: Bearer {token}' \
                 -H 'content-type: application/json' -d {}",
                organization.id,
                part(&tool.name),
                quoted(&arguments.to_string())
            ),
        );
    }
    line(page, "\nlist the tools with an MCP client:");
    line(
        page,
        &format!(
            "  PATH={}:$PATH npx -y @modelcontextprotocol/inspector --cli {address}/v1/mcp --transport http \
             --header 'Authorization: Bearer {token}' --method tools/list",
            node.display()
        ),
    );
    let server = json!({
        "mcpServers": {
            "hayloft": {
                "type": "http",
                "url": format!("{address}/v1/mcp"),
                "headers": { "Authorization": format!("Bearer {token}") },
            },
        },
    });
    line(page, "\nor in an MCP client's configuration:");
    line(page, &format!("  {server}"));
}

fn line(page: &mut String, text: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(page, "{text}");
}

/// The tool that takes the fewest arguments, but not none: calling it shows most.
fn simplest(tools: &[Tool]) -> Option<&Tool> {
    let count = |tool: &Tool| required(&tool.input_schema).len();
    tools.iter().filter(|tool| count(tool) > 0).min_by_key(|tool| count(tool)).or_else(|| tools.first())
}

fn required(schema: &Value) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Arguments that the schema takes, as far as its kinds say.
fn sample(schema: &Value) -> Value {
    let value = |name: &str| {
        let property = schema.pointer("/properties").and_then(|properties| properties.get(name));
        let first = property.and_then(|property| property.get("enum")).and_then(|options| options.get(0));
        let kind = property.and_then(|property| property.get("type")).and_then(Value::as_str);
        match (first, kind) {
            (Some(option), _) => option.clone(),
            (None, Some("number" | "integer")) => json!(1),
            (None, Some("boolean")) => json!(true),
            (None, Some("array")) => json!([]),
            (None, Some("object")) => json!({}),
            (None, _) => json!("world"),
        }
    };
    required(schema).into_iter().map(|name| (name.to_owned(), value(name))).collect()
}

/// A text as one argument of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::prepare::Plugin;
    use super::*;

    #[test]
    fn the_page_can_be_pasted_from() {
        let tool =
            |name: &str, input_schema| Tool { name: name.into(), plugin: "hello".into(), input_schema };
        let greet = json!({ "properties": { "name": { "type": "string" } }, "required": ["name"] });
        let organization = Organization {
            name: "demo".into(),
            id: "org_1".into(),
            token: "hlt_1".into(),
            plugins: vec![Plugin {
                name: "Hello".into(),
                id: "hello".into(),
                state: "ready".into(),
                error: None,
            }],
            tools: vec![tool("hello__now", json!({})), tool("hello__greet", greet)],
            refused: Vec::new(),
        };
        let text = text(
            "http://h:1",
            &[organization],
            Path::new("node/bin"),
            Path::new("data"),
            Path::new("data/server.log"),
        );
        let expected = [
            "Hayloft is ready at http://h:1\n",
            "organization `demo` (org_1)\n  Hello         ready         2 tools\n",
            "curl -s http://h:1/v1/orgs/org_1/tools/hello__greet/call -H 'authorization: Bearer hlt_1' \
             -H 'content-type: application/json' -d '{\"arguments\":{\"name\":\"world\"}}'\n",
            "--cli http://h:1/v1/mcp --transport http --header 'Authorization: Bearer hlt_1' --method tools/list\n",
            "\"url\":\"http://h:1/v1/mcp\"",
        ];
        for part in expected {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
