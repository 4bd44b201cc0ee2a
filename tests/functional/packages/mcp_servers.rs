//! MCP servers of the registry, as npm installs them in a jail, are started by their commands and work in one.

use hayloft_testkit::PluginFolder;
use serde_json::{Value, json};

use super::{installed, routes_plugin, server};
use crate::support::listed;

const PLUGIN: &str = "hay-plugin-notes";

const ENTRY: &str = r#"import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(() => ({
  name: "notes",
  async onStart({ mcp }) {
    await mcp.startLocalStdio({ id: "files", command: "npx", args: ["-y", "@modelcontextprotocol/server-filesystem", tmpdir()] });
    await mcp.startLocalStdio({
      id: "memory", command: "npx", args: ["-y", "@modelcontextprotocol/server-memory"],
      env: { MEMORY_FILE_PATH: join(tmpdir(), "memory.jsonl") },
    });
    await mcp.startLocal("where", () => ({
      listTools: () => [{ name: "where", inputSchema: { type: "object" } }],
      callTool: () => tmpdir(),
    }));
  },
}));
"#;

#[tokio::test]
async fn the_protocols_own_servers_are_installed_and_work() {
    let folder = PluginFolder::new();
    let package = json!({
        "dependencies": {
            "@hay/plugin-sdk": "^0.1.0",
            "@modelcontextprotocol/server-filesystem": "2026.8.31",
            "@modelcontextprotocol/server-memory": "2026.8.31",
        },
        "hay-plugin": { "entry": "./dist/index.js", "displayName": "Notes", "category": "tool", "capabilities": ["mcp"] },
    });
    routes_plugin(&folder, PLUGIN, &package, &[("dist/index.js", ENTRY)]);
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, PLUGIN).await;
    assert_eq!(
        (&shown["installation"]["state"], &shown["state"]),
        (&json!("installed"), &json!("ready")),
        "{shown:#}"
    );
    for tool in ["notes__write_file", "notes__create_entities", "notes__where"] {
        listed(&acme, tool).await;
    }
    let mut client = acme.mcp();
    client.open().await;
    let mut call = async |tool: &str, arguments: Value| {
        let answer = client.call_tool(tool, arguments).await;
        let result = answer.result().clone();
        assert_ne!(result["isError"], true, "{tool}: {result:#}");
        result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{tool}: {result:#}")).to_owned()
    };
    let place = call("notes__where", json!({})).await;
    let file = format!("{place}/note.txt");
    call("notes__write_file", json!({ "path": file, "content": "a red kite" })).await;
    assert_eq!(call("notes__read_text_file", json!({ "path": file })).await, "a red kite");

    let kite = json!({ "name": "kite", "entityType": "toy", "observations": ["it is red"] });
    call("notes__create_entities", json!({ "entities": [kite] })).await;
    let graph: Value = serde_json::from_str(&call("notes__read_graph", json!({})).await).unwrap();
    assert_eq!(graph["entities"], json!([kite]), "{graph:#}");
    // It keeps them in the file that it was told, where its neighbour finds them.
    let kept = call("notes__read_text_file", json!({ "path": format!("{place}/memory.jsonl") })).await;
    assert!(kept.contains("it is red"), "{kept}");
}
