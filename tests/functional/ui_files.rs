//! What a plugin shows in the dashboard reaches browsers: as its build made it, to those who may see it.

use std::fs;
use std::os::unix::fs::symlink;

use hayloft_testkit::{Api, PluginFolder, Response, TestServer};
use http::Method;
use serde_json::json;

use crate::packages::{installed, server};

const SCRIPT: &str = "export default { template: '<p>hello</p>' };";

/// A plugin in the earlier format with one page, and the interface that its author built.
fn with_page(folder: &PluginFolder, id: &str, meta: &serde_json::Value) {
    let manifest = json!({
        "id": id, "name": "Board", "version": "1.0.0", "description": "Shows things", "author": "Tests",
        "type": ["analytics"], "entry": "./dist/index.js",
        "capabilities": { "ui": { "routes": [
            { "path": "/board", "component": "./components/Page.vue", "name": "board", "meta": meta },
        ] } },
    });
    let plugin = folder.plugin(id);
    let root = plugin.root().to_owned();
    plugin
        .file("manifest.json", manifest.to_string())
        .file("components/Page.vue", "<template/>")
        .file("dist/index.js", "module.exports = 'the code of the worker';")
        .file("dist/ui.js", SCRIPT)
        .file("dist/ui.js.map", "{}")
        .file("dist/style.css", "p { color: teal }")
        .file("dist/assets/page.html", "<script>alert(1)</script>")
        .file("dist/assets/logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>");
    symlink("../../manifest.json", root.join("dist/assets/outside.json")).unwrap();
}

async fn again(api: &Api, path: &str, tag: &str) -> Response {
    api.send(&Method::GET, path, &[("if-none-match", tag)], "").await
}

#[tokio::test]
async fn the_interface_is_for_those_who_are_signed_in_unless_a_page_is_open() {
    let folder = PluginFolder::new();
    with_page(&folder, "hay-plugin-board", &json!({ "title": "Board", "requiresAuth": true }));
    with_page(&folder, "hay-plugin-silent", &json!({ "title": "Board" }));
    with_page(&folder, "hay-plugin-open", &json!({ "title": "Board", "requiresAuth": false }));
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let agent = server.api(Some(&acme.create_token("agent").await));
    let nobody = server.api(None);

    for closed in ["hay-plugin-board", "hay-plugin-silent"] {
        let path = format!("/plugins/ui/{closed}/ui.js");
        for stranger in [&nobody, &server.api(Some("hlt_unknown"))] {
            let refused = stranger.get(&path).await.expect(401);
            assert!(refused.header("www-authenticate").is_some_and(|told| told.starts_with("Bearer")));
            assert!(!refused.text().contains(SCRIPT));
        }
        for known in [&acme.api, &agent, &server.admin()] {
            assert_eq!(known.get(&path).await.expect(200).text(), SCRIPT);
        }
    }
    let open = nobody.get("/plugins/ui/hay-plugin-open/ui.js").await.expect(200);
    assert_eq!(open.text(), SCRIPT);
    assert_eq!(open.header("cache-control"), Some("no-cache"));
    nobody.get("/plugins/ui/hay-plugin-none/ui.js").await.expect(404);
}

#[tokio::test]
async fn a_file_has_its_type_its_tag_and_no_rights() {
    let folder = PluginFolder::new();
    with_page(&folder, "hay-plugin-board", &json!({ "title": "Board" }));
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let path = |file: &str| format!("/plugins/ui/hay-plugin-board/{file}");
    for (file, kind) in [
        ("ui.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("assets/logo.svg", "image/svg+xml"),
    ] {
        let answer = acme.api.get(&path(file)).await.expect(200);
        assert_eq!(answer.header("content-type"), Some(kind), "{file}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("vary"), Some("authorization"));
        let tag = answer.header("etag").unwrap().to_owned();
        let unchanged = again(&acme.api, &path(file), &tag).await.expect(304);
        assert!(unchanged.text().is_empty());
        assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
        again(&acme.api, &path(file), "\"0123\"").await.expect(200);
    }
    // The tag of a file that has one to a stranger tells them nothing.
    let tag = acme.api.get(&path("ui.js")).await.header("etag").unwrap().to_owned();
    again(&server.api(None), &path("ui.js"), &tag).await.expect(401);
    for withheld in [
        "index.js",
        "ui.js.map",
        "assets/page.html",
        "assets/outside.json",
        "assets",
        "..%2findex.js",
        "none.js",
    ] {
        let refused = acme.api.get(&path(withheld)).await;
        assert!((400..405).contains(&refused.status.as_u16()), "{withheld}: {}", refused.status);
        assert!(!refused.text().contains("the code of the worker"), "{withheld}");
    }
}

#[tokio::test]
async fn what_a_build_makes_is_what_is_served() {
    let folder = PluginFolder::new();
    let plugin = folder.plugin("hay-plugin-built").manifest(&json!({
        "name": "hay-plugin-built", "version": "1.0.0", "type": "module",
        "scripts": { "build": "mkdir -p dist && cp src/*.js dist/" },
        "hay-plugin": {
            "entry": "./dist/index.js", "displayName": "Built", "category": "tool", "capabilities": ["ui"],
        },
    }));
    let plugin = plugin
        .file("src/ui.js", SCRIPT)
        .file("components/Panel.vue", "<template/>")
        .file(
            "src/index.js",
            "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
             export default defineHayPlugin(({ register }) => ({ name: 'built',\n\
               onInitialize() { register.ui({ slot: 'after-settings', component: 'components/Panel.vue' }); } }));",
        );
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let path = "/plugins/ui/hay-plugin-built/ui.js";
    acme.api.get(path).await.expect(404);
    let shown = installed(&acme, "hay-plugin-built").await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!(acme.api.get(path).await.expect(200).text(), SCRIPT);
    // The author's folder has none.
    assert!(fs::metadata(plugin.root().join("dist")).is_err());
}

#[tokio::test]
async fn an_interface_is_built_beside_an_entry_that_is_there() {
    let folder = PluginFolder::new();
    let manifest = json!({
        "name": "hay-plugin-half", "version": "1.0.0", "type": "module",
        // What Vite would do, as far as anybody can tell from outside.
        "scripts": { "build": "cp src/ui.js dist/ # vite build" },
        "hay-plugin": {
            "entry": "./dist/index.js", "displayName": "Half", "category": "tool", "capabilities": ["ui"],
        },
    });
    folder
        .plugin("hay-plugin-half")
        .manifest(&manifest)
        .file("src/ui.js", SCRIPT)
        .file("components/Panel.vue", "<template/>")
        .file("dist/index.js", "export default () => ({ name: 'half' });");
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, "hay-plugin-half").await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!(acme.api.get("/plugins/ui/hay-plugin-half/ui.js").await.expect(200).text(), SCRIPT);
}

/// A component with another in it, types, and styles of its own.
const PANEL: &str = "<script setup lang=\"ts\">
import Part from './Part.vue';
defineProps<{ apiBaseUrl: string }>();
</script>
<template><p class=\"panel\">{{ apiBaseUrl }}<Part /></p></template>
<style scoped>.panel { color: teal }</style>";

#[tokio::test]
async fn components_without_a_build_of_their_own_are_compiled_when_they_are_installed() {
    let folder = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';
export default defineHayPlugin(({ register }) => ({
  name: 'shown',
  onInitialize() { register.ui({ slot: 'after-settings', component: 'components/Panel.vue' }); },
}));";
    folder
        .hay_package("hay-plugin-shown", &["ui"], entry)
        .file("components/Panel.vue", PANEL)
        .file("components/Part.vue", "<template><b>part</b></template>");
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let before = acme.get("plugins/hay-plugin-shown").await.expect(200).json();
    assert_eq!((&before["needsInstallation"], &before["needsBuilding"]), (&json!(false), &json!(false)));
    let shown = installed(&acme, "hay-plugin-shown").await;
    let log = acme.get("plugins/hay-plugin-shown/installation/log").await.expect(200).json();
    let log = log["text"].as_str().unwrap();
    assert_eq!(shown["installation"]["state"], "installed", "{shown:#}\n{log}");
    assert!(log.contains("$ compile-components components/Panel.vue components/Part.vue"), "{log}");

    let file = async |name: &str| {
        let path = format!("/plugins/ui/hay-plugin-shown/{name}");
        acme.api.get(&path).await.expect(200).text()
    };
    let module = file("ui.js").await;
    // Both are exports of one module, by their paths, and Vue is the dashboard's.
    for words in ["\"components/Panel.vue\"", "\"components/Part.vue\"", "from\"vue\""] {
        assert!(module.contains(words), "{words}: {module}");
    }
    let style = file("style.css").await;
    assert!(style.starts_with(".panel[data-v-"), "{style}");
    assert!(!folder.path().join("hay-plugin-shown/dist").exists(), "the author's folder is as it was");
}

#[tokio::test]
async fn a_component_that_cannot_be_compiled_is_a_warning_and_the_plugin_works() {
    let folder = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';
export default defineHayPlugin(({ register }) => ({
  name: 'shown',
  onInitialize() {
    register.ui({ slot: 'after-settings', component: 'components/Panel.vue' });
    register.route('GET', '/', (_request, response) => response.json({ works: true }));
  },
}));";
    folder
        .hay_package("hay-plugin-shown", &["ui", "routes"], entry)
        .file("components/Panel.vue", "<template>\n  <p>{{ open }\n</template>")
        .file("components/Styled.vue", "<template><p/></template>\n<style lang=\"scss\">a { b {} }</style>");
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, "hay-plugin-shown").await;
    assert_eq!((&shown["installation"]["state"], &shown["state"]), (&json!("installed"), &json!("ready")));
    let problems: Vec<_> = shown["problems"].as_array().unwrap().iter().collect();
    for (at, message) in [("components/Panel.vue:2:", "end sign"), ("components/Styled.vue:2:1", "scss")] {
        let told = problems.iter().any(|problem| {
            problem["at"].as_str().is_some_and(|place| place.starts_with(at))
                && problem["severity"] == "warning"
                && problem["message"].as_str().is_some_and(|text| text.contains(message))
        });
        assert!(told, "{at}: {shown:#}");
    }
    let answer = acme.route(&Method::GET, "hay-plugin-shown", "/", &[], "").await.expect(200).json();
    assert_eq!(answer["works"], true);
    acme.api.get("/plugins/ui/hay-plugin-shown/ui.js").await.expect(404);
}
