//! Servers that a plugin's code starts with `npx` are the ones in its folder; nothing is fetched while it runs.

use hayloft_testkit::{PluginFiles, PluginFolder, TestServer};
use serde_json::json;

use crate::support::{stdio_server, text_of};

/// A plugin that starts one server with these words.
fn plugin(folder: &PluginFolder, id: &str, command: &str, args: &[&str]) -> PluginFiles {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({{ name: 'x', onStart: ({{ mcp }}) =>\n\
           mcp.startLocalStdio({{ id: 'child', command: {}, args: {} }}) }}));",
        json!(command),
        json!(args),
    );
    folder.hay_package(id, &["mcp"], &entry)
}

#[tokio::test]
async fn a_program_of_the_folder_is_started_and_any_other_is_named() {
    let folder = PluginFolder::new();
    plugin(&folder, "hay-plugin-has", "npx", &["-y", "thing@1", "given"])
        .file(
            "node_modules/thing/package.json",
            r#"{ "name": "thing", "version": "1.0.0", "bin": "cli.js" }"#,
        )
        .file(
            "node_modules/thing/cli.js",
            format!("#!/usr/bin/env node\n{}", stdio_server("process.argv[2]")),
        );
    plugin(&folder, "hay-plugin-lacks", "npx", &["-y", "@modelcontextprotocol/server-memory"]);
    plugin(&folder, "hay-plugin-asks", "npm", &["start"]);
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-has", json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert_eq!(text_of(acme.call_tool("has__act", json!({})).await), "given");

    for (id, told) in [
        (
            "hay-plugin-lacks",
            "there is no program of a package `@modelcontextprotocol/server-memory` in the plugin's folder, and nothing is \
             fetched while it runs. Add `@modelcontextprotocol/server-memory` to the `dependencies` of `package.json`",
        ),
        ("hay-plugin-asks", "`npm` starts no server: there is no package manager where plugins run"),
    ] {
        let detail = acme.enable(id, json!({})).await;
        assert_eq!(detail["state"], "degraded", "{detail:#}");
        assert!(detail["lastError"].as_str().unwrap().contains(told), "{detail:#}");
    }
}
