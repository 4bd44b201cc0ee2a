//! The lines by which a plugin says how its MCP server is installed, built and started.

use std::fs;

use hayloft_testkit::PluginFolder;
use serde_json::json;

use super::installed;
use crate::support::{text_of, until};

/// A server of one tool without dependencies, which says by what it was started.
const SERVER: &str = r#"#!/usr/bin/env node
const { createInterface } = require("node:readline");
const methods = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "x", version: "1" } }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [{ name: "how", inputSchema: { type: "object" } }] }),
  "tools/call": () => ({ content: [{ type: "text", text: [require("./made.cjs"), require("is-number")(1), ...process.argv.slice(2)].join(" ") }] }),
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params = {} } = JSON.parse(line);
  if (id !== undefined) process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result: methods[method]?.(params) ?? {} }) + "\n");
});
"#;

#[tokio::test]
async fn the_lines_of_a_registered_server_are_run_and_npms_words_start_it() {
    let folder = PluginFolder::new();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // A class whose server is installed and built by the lines that the class itself registers.
    write(
        "hay-plugin-lines/package.json",
        r#"{ "name": "hay-plugin-lines", "version": "1.0.0", "main": "index.js", "dependencies": { "@hay/plugin-sdk": "*" } }"#,
    );
    write(
        "hay-plugin-lines/index.js",
        r#"const { HayPlugin } = require("@hay/plugin-sdk");
class Lines extends HayPlugin {
  constructor() { super({ id: "hay-plugin-lines", name: "Lines", version: "1.0.0", capabilities: ["mcp"] }); }
  async registerMCP() {
    await this.sdk.mcp.registerLocalMCP({
      serverPath: "./server",
      installCommand: "npm install --no-package-lock",
      buildCommand: "npm run make",
      startCommand: "npm start -- by-start",
    });
  }
}
module.exports = { Lines };
"#,
    );
    let server = r#"{ "name": "server", "version": "1.0.0", "bin": "./index.js", "dependencies": { "is-number": "7.0.0" },
        "scripts": { "make": "node make.cjs", "start": "node ./index.js" } }"#;
    let make = "require('fs').writeFileSync('made.cjs', 'module.exports = \"made\"');";
    for (name, text) in [("package.json", server), ("make.cjs", make), ("index.js", SERVER)] {
        write(&format!("hay-plugin-lines/server/{name}"), text);
    }
    // A class whose server is a package that it depends on, which is there once it was installed.
    write(
        "hay-plugin-words/package.json",
        r#"{ "name": "hay-plugin-words", "version": "1.0.0", "main": "index.js",
          "dependencies": { "@hay/plugin-sdk": "*", "words-server": "file:./server", "is-number": "7.0.0" } }"#,
    );
    write(
        "hay-plugin-words/index.js",
        r#"const { HayPlugin } = require("@hay/plugin-sdk");
class Words extends HayPlugin {
  constructor() { super({ id: "hay-plugin-words", name: "Words", version: "1.0.0", capabilities: ["mcp"] }); }
  async registerMCP() {
    await this.sdk.mcp.registerLocalMCP({ startCommand: "npx words-server by-words" });
  }
}
module.exports = { Words };
"#,
    );
    let package = server.replace(r#""name": "server""#, r#""name": "words-server""#);
    for (name, text) in
        [("package.json", &*package), ("made.cjs", "module.exports = 'shipped';"), ("index.js", SERVER)]
    {
        write(&format!("hay-plugin-words/server/{name}"), text);
    }
    // A manifest whose server is a package that it depends on.
    let manifest = |id: &str, start: &str| {
        json!({
            "id": id, "name": id, "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
            "entry": "./dist/index.js",
            "capabilities": { "mcp": { "connection": { "type": "local" }, "transport": "stdio", "startCommand": start } },
        })
        .to_string()
    };
    write(
        "hay-plugin-npx/manifest.json",
        &manifest("hay-plugin-npx", "npx -y everything-server@^1.0.0 by-npx"),
    );
    write(
        "hay-plugin-npx/package.json",
        r#"{ "name": "hay-plugin-npx", "dependencies": { "everything-server": "file:./server", "is-number": "7.0.0" } }"#,
    );
    let package = server.replace(r#""name": "server""#, r#""name": "everything-server""#);
    for (name, text) in
        [("package.json", &*package), ("made.cjs", "module.exports = 'shipped';"), ("index.js", SERVER)]
    {
        write(&format!("hay-plugin-npx/server/{name}"), text);
    }
    // One that nobody installs.
    write("hay-plugin-lost/manifest.json", &manifest("hay-plugin-lost", "npx -y not-installed"));
    write("hay-plugin-lost/package.json", r#"{ "name": "lost", "dependencies": { "is-number": "7.0.0" } }"#);

    let server = super::server(&folder).start().await;
    let acme = server.organization("Acme").await;
    for (plugin, expected) in
        [("lines", "made true by-start"), ("npx", "shipped true by-npx"), ("words", "shipped true by-words")]
    {
        let id = format!("hay-plugin-{plugin}");
        let shown = installed(&acme, &id).await;
        let log = acme.get(&format!("plugins/{id}/installation/log")).await.expect(200).json();
        assert_eq!(shown["installation"]["state"], "installed", "{shown:#}\n{log:#}");
        until("its server has listed its tool", async || {
            let listed = acme.get("tools").await.expect(200).json();
            listed.to_string().contains(&format!("{plugin}__how"))
        })
        .await;
        assert_eq!(text_of(acme.call_tool(&format!("{plugin}__how"), json!({})).await), expected);
    }
    let lost = installed(&acme, "hay-plugin-lost").await;
    let problem = &lost["installation"]["problems"][0];
    let at = problem["at"].as_str().unwrap();
    assert!(at.starts_with("manifest.json#capabilities.mcp.startCommand"), "{lost:#}");
    assert!(
        problem["hint"].as_str().unwrap().contains("add `not-installed` to the `dependencies`"),
        "{lost:#}"
    );
}
