//! Plugins with dependencies start from one file where that changes nothing, and authors do not notice; what is
//! installed is remembered, resumed and tidied up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hayloft_testkit::{PluginFiles, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::until;

/// A plugin with a dependency that came along, and an entry in any module system.
fn plugin(folder: &PluginFolder, id: &str, entry: &str) -> PluginFiles {
    folder
        .hay_package(id, &["routes"], entry)
        .file(
            "lib/fail.js",
            "// The second line throws.\nexport function fail() { throw new Error('on purpose'); }\n",
        )
        .file(
            "node_modules/dep/package.json",
            r#"{ "name": "dep", "version": "1.0.0", "main": "./main.js" }"#,
        )
        .file("node_modules/dep/main.js", "module.exports = { name: 'dep', counted: 0 };\n")
}

fn starts(server: &TestServer, id: &str) -> Value {
    let starts = entries(&server.data_folder().join("packages/.starts").join(id));
    let start = starts.into_iter().find(|path| path.is_dir()).expect("a folder with what starts fast");
    serde_json::from_slice(&fs::read(start.join("start.json")).unwrap()).unwrap()
}

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_bundle_runs_and_its_stacks_name_the_authors_files() {
    let folder = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
import dep from "dep";
import { fail } from "./lib/fail.js";
export default defineHayPlugin(({ register }) => ({
  name: "fast",
  onInitialize() {
    register.route("GET", "/", (_request, response) => {
      let stack;
      try { fail(); } catch (error) { stack = error.stack; }
      response.json({ name: dep.name, stack, variable: process.env.NODE_COMPILE_CACHE ?? null });
    });
  },
}));
"#;
    plugin(&folder, "hay-plugin-fast", entry);
    let mut server = TestServer::builder().plugins(folder.path()).start().await;
    let acme = server.organization("Acme").await;
    let shown = acme.enable("hay-plugin-fast", json!({})).await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    let log = acme.get("plugins/hay-plugin-fast/installation/log").await.expect(200).text();
    assert!(log.contains("files in one"), "{log}");
    assert_eq!(starts(&server, "hay-plugin-fast")["bundle"], ".hayloft/entry.cjs");
    let said = acme.route(&Method::GET, "hay-plugin-fast", "/", &[], "").await.expect(200).json();
    assert_eq!((&said["name"], &said["variable"]), (&json!("dep"), &Value::Null));
    let stack = said["stack"].as_str().unwrap();
    assert!(stack.starts_with("Error: on purpose\n    at fail ("), "{stack}");
    assert!(stack.contains("/lib/fail.js:2:32)") && !stack.contains(".hayloft"), "{stack}");

    // When it was installed is remembered.
    let installed_at = shown["installedAt"].clone();
    assert!(installed_at.is_string(), "{shown:#}");
    server.restart().await;
    let again = acme.get("plugins/hay-plugin-fast").await.expect(200).json();
    assert_eq!(again["installedAt"], installed_at);
    assert_eq!(
        acme.route(&Method::GET, "hay-plugin-fast", "/", &[], "").await.expect(200).json()["name"],
        "dep"
    );

    // What Node compiled is code: a version with another one does not start.
    server.terminate().await;
    let versions = server.data_folder().join("packages/.starts/hay-plugin-fast");
    let compiled =
        entries(&versions).into_iter().map(|path| path.join("compiled")).find(|path| path.exists());
    let tag = entries(&compiled.expect("compiled code")).remove(0);
    let file = entries(&tag).remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "evil").unwrap();
    server.restart().await;
    acme.route(&Method::GET, "hay-plugin-fast", "/", &[], "").await;
    let shown = acme.get("plugins/hay-plugin-fast").await.expect(200).json();
    assert_eq!(shown["state"], "failed", "{shown:#}");
    assert!(acme.get("audit").await.expect(200).text().contains("package.tampered"));
}

#[tokio::test]
async fn a_bundle_that_registers_something_else_is_not_used() {
    let folder = PluginFolder::new();
    // What no bundler can know: how many modules were loaded.
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
import dep from "dep";
const { _cache } = process.getBuiltinModule("module");
const loaded = Object.keys(_cache).filter((file) => file.endsWith("/main.js")).length;
export default defineHayPlugin(({ register }) => ({
  name: "other",
  onInitialize() {
    register.config({ [`loaded${loaded}`]: { type: "string" } });
    register.route("GET", "/", (_request, response) => response.json({ loaded, name: dep.name }));
  },
}));
"#;
    plugin(&folder, "hay-plugin-other", entry);
    let server = TestServer::builder().plugins(folder.path()).start().await;
    let acme = server.organization("Acme").await;
    let shown = acme.enable("hay-plugin-other", json!({})).await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert!(shown["configSchema"].get("loaded1").is_some(), "{shown:#}");
    server.logged("its bundle registers something else").await;
    assert_eq!(starts(&server, "hay-plugin-other")["bundle"], Value::Null);
    let said = acme.route(&Method::GET, "hay-plugin-other", "/", &[], "").await.expect(200).json();
    assert_eq!(said, json!({ "loaded": 1, "name": "dep" }));
}

/// A plugin that is built by a script.
fn built(folder: &PluginFolder, version: &str, script: &str) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(({{ register }}) => ({{ name: 'b', onInitialize() {{\n  register.config({{ word: {{ type: 'string', required: true }}, secret: {{ type: 'string', sensitive: true }} }});\n  register.route('GET', '/', (_request, response) => response.json('{version}')); }} }}));"
    );
    let manifest = json!({
        "name": "hay-plugin-b", "version": version, "type": "module",
        "hay-plugin": { "entry": "./dist/index.js", "displayName": "B", "category": "tool", "capabilities": ["routes", "config"] },
        "scripts": { "build": script },
    });
    let root = folder.path().join("hay-plugin-b");
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/index.js"), entry).unwrap();
    fs::write(root.join("package.json"), manifest.to_string()).unwrap();
}

const COPY: &str = "mkdir -p dist && cp src/index.js dist/index.js";

#[tokio::test]
async fn a_wish_that_was_taken_comes_true_after_the_host_was_killed() {
    let folder = PluginFolder::new();
    built(&folder, "1.0.0", &format!("sleep 6 && {COPY}"));
    let mut server = TestServer::builder()
        .plugins(folder.path())
        .environment("HAYLOFT_LIMITS_SAVE_ANSWER", "500ms")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let wish = json!({ "enabled": true, "config": { "word": "kept", "secret": "s3cret" } });
    let answer = acme.put("plugins/hay-plugin-b", &wish).await.expect(202).json();
    assert_eq!(answer["state"], "installing", "{answer:#}");
    server.kill_9().await;
    let files: Vec<_> = entries(&server.data_folder()).into_iter().filter(|path| path.is_file()).collect();
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "what is wished lies sealed");
    }
    server.restart().await;
    until("the wish", async || acme.get("plugins/hay-plugin-b").await.expect(200).json()["state"] == "ready")
        .await;
    let shown = acme.get("plugins/hay-plugin-b").await.expect(200).json();
    assert_eq!(shown["config"]["word"], "kept", "{shown:#}");
    assert_eq!(acme.route(&Method::GET, "hay-plugin-b", "/", &[], "").await.expect(200).json(), "1.0.0");

    // It came true once: who switches it off then finds it off.
    acme.put("plugins/hay-plugin-b", &json!({ "enabled": false })).await.expect(200);
    server.kill_9().await;
    server.restart().await;
    let shown = acme.get("plugins/hay-plugin-b").await.expect(200).json();
    assert_eq!((&shown["enabled"], &shown["state"]), (&json!(false), &json!("disabled")), "{shown:#}");
}

#[tokio::test]
async fn old_versions_go_and_what_failed_stays_known() {
    let folder = PluginFolder::new();
    built(&folder, "1.0.0", COPY);
    let mut server =
        TestServer::builder().plugins(folder.path()).environment("HAYLOFT_KEEP_VERSIONS", "1").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-b", json!({ "word": "x" })).await;
    let said = async || acme.route(&Method::GET, "hay-plugin-b", "/", &[], "").await.json();
    let versions = |server: &TestServer| {
        let all = entries(&server.data_folder().join("packages/hay-plugin-b"));
        all.into_iter().filter(|path| path.is_dir() && path.extension().is_none()).count()
    };
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        built(&folder, version, COPY);
        until(version, async || said().await == version).await;
    }
    until("the old ones to go", async || versions(&server) == 2).await;

    built(&folder, "5.0.0", "echo this does not build && exit 3");
    until("the failure", async || {
        acme.get("plugins/hay-plugin-b").await.expect(200).text().contains("this does not build")
    })
    .await;
    assert_eq!(said().await, "4.0.0");
    // The older one goes on after a restart, with the same words beside it at once.
    server.restart().await;
    let shown = acme.get("plugins/hay-plugin-b").await.expect(200).json();
    assert_eq!((&shown["version"], &shown["installation"]["state"]), (&json!("4.0.0"), &json!("installed")));
    assert!(shown.to_string().contains("this does not build"), "{shown:#}");
    assert!(shown["installedAt"].is_string(), "{shown:#}");
    assert_eq!(said().await, "4.0.0");
}
