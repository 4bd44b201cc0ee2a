//! Plugins with dependencies, as authors ship them: installed, built and run from a version of their own. The registry
//! is the real one.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use hayloft_testkit::http_client::request;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{HttpClient, Organization, PluginFiles, PluginFolder, TestServer, TestServerBuilder};
use http::Method;
use serde_json::{Value, json};

use crate::support::{one_tool, text_of, until, workspace_file};

mod documents;
mod drivers;
mod mcp_servers;
mod server_lines;

/// How long real packages may take to come from the real registry.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

const REGISTRY: &str = "registry.npmjs.org";

/// A server with a folder of plugins that finds the registry.
pub(crate) fn server(folder: &PluginFolder) -> TestServerBuilder {
    with_registry().plugins(folder.path())
}

/// A server that finds the registry where this machine does, on whatever network that is.
#[expect(clippy::disallowed_methods, reason = "the test tells the server what this machine finds")]
pub(crate) fn with_registry() -> TestServerBuilder {
    let address =
        (REGISTRY, 443).to_socket_addrs().unwrap().map(|address| address.ip()).find(IpAddr::is_ipv4).unwrap();
    TestServer::builder()
        .environment("HAYLOFT_REGISTRY_ADDRESS", &format!("{REGISTRY}:443={address}:443"))
        .environment("PATH", "/usr/local/bin:/usr/bin:/bin")
        // Hundreds of modules are loaded, and how busy the machine is is not what is tested.
        .environment("HAYLOFT_LIMITS_ON_INITIALIZE", "60s")
        .patience(PATIENCE)
}

/// A plugin whose route `/` answers what an expression is, built from TypeScript or as it is.
fn routes_plugin(folder: &PluginFolder, id: &str, package: &Value, files: &[(&str, &str)]) -> PluginFiles {
    let mut manifest = json!({
        "name": id,
        "version": "1.0.0",
        "type": "module",
        "hay-plugin": { "entry": "./dist/index.js", "displayName": id, "category": "integration", "capabilities": ["routes"] },
    });
    manifest.as_object_mut().unwrap().extend(package.as_object().unwrap().clone());
    let root = folder.path().join(id);
    fs::create_dir_all(&root).unwrap();
    let mut plugin = folder.plugin(id).manifest(&manifest);
    // Authors' folders have no SDK in them.
    fs::remove_dir_all(root.join("node_modules")).unwrap();
    for (name, text) in files {
        plugin = plugin.file(name, text);
    }
    plugin
}

/// Switches a plugin on and waits until it is installed or is not.
pub(crate) async fn installed(organization: &Organization, plugin: &str) -> Value {
    let answer = organization.put(&format!("plugins/{plugin}"), &json!({ "enabled": true })).await;
    assert!([200, 202, 422].contains(&answer.status.as_u16()), "{}", answer.text());
    let wait = async {
        loop {
            let shown = organization.get(&format!("plugins/{plugin}")).await.expect(200).json();
            let installing = shown["installation"]["state"] == "installing" || shown["state"] == "installing";
            if !installing && shown["state"] != "starting" {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the installation ends")
}

#[tokio::test]
async fn a_typescript_plugin_without_its_build_runs_on_stripe() {
    let script = workspace_file("tests/functional/fixtures/charges.cjs");
    let provider = NodeService::start::<&str>(&script, &[], &[]);
    let provider_port = &provider.announcement()["port"];
    let folder = PluginFolder::new();
    let source = r#"
import { defineHayPlugin } from "@hay/plugin-sdk";
import Stripe from "stripe";
import names from "./names.json" with { type: "json" };

export default defineHayPlugin(({ register }) => ({
  name: names.name,
  onInitialize() {
    register.route("GET", "/", async (_request, response) => {
      const stripe = new Stripe("sk_test_x", { host: "pay.outside.test", port: 12111, protocol: "http" });
      const { data } = await stripe.charges.list({ limit: 2 });
      response.json({ name: names.name, charges: data.map(({ id, amount }) => [id, amount]) });
    });
  },
}));
"#;
    routes_plugin(
        &folder,
        "hay-plugin-pay",
        &json!({
            "scripts": { "prebuild": "rm -rf dist", "build": "tsc" },
            "dependencies": { "@hay/plugin-sdk": "file:../../../packages/plugin-sdk", "stripe": "^19.0.0" },
            "devDependencies": { "typescript": "^5.9.0", "@types/node": "^22.0.0" },
        }),
        &[
            ("src/index.ts", source),
            ("src/names.json", r#"{ "name": "pay" }"#),
            (
                "tsconfig.json",
                r#"{ "extends": "../../tsconfig.json", "compilerOptions": { "outDir": "./dist", "rootDir": "./src", "module": "NodeNext", "moduleResolution": "NodeNext" }, "include": ["src/**/*"] }"#,
            ),
        ],
    );
    let settings = tempfile::tempdir().unwrap();
    let config = settings.path().join("hayloft.toml");
    let private = json!([format!("pay.outside.test:12111=127.0.0.1:{provider_port}")]);
    fs::write(&config, format!("[network.private]\nhay-plugin-pay = {private}\n")).unwrap();
    let server = server(&folder).environment("HAYLOFT_CONFIG", config.to_str().unwrap()).start().await;
    let acme = server.organization("Acme").await;
    let before = acme.get("plugins/hay-plugin-pay").await.expect(200).json();
    assert_eq!((&before["needsInstallation"], &before["needsBuilding"]), (&json!(true), &json!(true)));
    let shown = installed(&acme, "hay-plugin-pay").await;
    let log = acme.get("plugins/hay-plugin-pay/installation/log").await.expect(200).json();
    assert_eq!(shown["installation"]["state"], "installed", "{shown:#}\n{}", log["text"].as_str().unwrap());
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!((&shown["needsInstallation"], &shown["needsBuilding"]), (&json!(false), &json!(false)));
    let answer = acme.route(&Method::GET, "hay-plugin-pay", "/", &[], "").await.expect(200).json();
    assert_eq!(answer, json!({ "name": "pay", "charges": [["ch_1", 1200]] }));
    let url = format!("http://127.0.0.1:{provider_port}/asked");
    let asked =
        HttpClient::new().send(request(&Method::GET, &url, &[], String::new())).await.expect(200).json();
    let expected = json!([{
        "method": "GET", "url": "/v1/charges?limit=2", "authorization": "Bearer sk_test_x", "host": "pay.outside.test:12111",
    }]);
    assert_eq!(asked, expected);
    assert!(!folder.path().join("hay-plugin-pay/dist").exists(), "the author's folder is as it was");
}

#[tokio::test]
async fn a_plugin_on_the_shopify_sdk_and_a_server_with_a_lockfile_are_installed() {
    let folder = PluginFolder::new();
    let entry = r#"
import { defineHayPlugin } from "@hay/plugin-sdk";
import "@shopify/shopify-api/adapters/node";
import { ApiVersion } from "@shopify/shopify-api";

export default defineHayPlugin(({ register }) => ({
  name: "shop",
  onInitialize() {
    register.route("GET", "/", (_request, response) => response.json({ versions: Object.keys(ApiVersion).length > 0 }));
  },
}));
"#;
    routes_plugin(
        &folder,
        "hay-plugin-shop",
        &json!({ "dependencies": { "@hay/plugin-sdk": "^0.1.0", "@shopify/shopify-api": "^12.0.0" } }),
        &[("dist/index.js", entry)],
    );
    // The older format, with a server that has dependencies and a lockfile of its own.
    let lockfile = r#"{ "name": "server", "version": "1.0.0", "lockfileVersion": 3, "packages": {
      "": { "name": "server", "version": "1.0.0", "dependencies": { "is-number": "7.0.0" } },
      "node_modules/is-number": { "version": "7.0.0", "resolved": "https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz",
        "integrity": "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==" } } }"#;
    let legacy = folder.path().join("hay-plugin-legacy");
    fs::create_dir_all(legacy.join("mcp")).unwrap();
    let manifest = json!({
        "id": "hay-plugin-legacy", "name": "Legacy", "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js",
        "capabilities": { "mcp": {
            "connection": { "type": "local" }, "transport": "stdio",
            "installCommand": "cd mcp && npm ci --ignore-scripts", "startCommand": "node mcp/index.js", "tools": [],
        } },
    });
    for (name, text) in [
        ("manifest.json", manifest.to_string()),
        (
            "mcp/package.json",
            json!({ "name": "server", "version": "1.0.0", "dependencies": { "is-number": "7.0.0" } })
                .to_string(),
        ),
        ("mcp/package-lock.json", lockfile.to_owned()),
        ("mcp/index.js", String::from("require('is-number');")),
    ] {
        fs::write(legacy.join(name), text).unwrap();
    }
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shop = installed(&acme, "hay-plugin-shop").await;
    assert_eq!(shop["state"], "ready", "{shop:#}");
    let answer = acme.route(&Method::GET, "hay-plugin-shop", "/", &[], "").await.expect(200).json();
    assert_eq!(answer, json!({ "versions": true }));

    let legacy = installed(&acme, "hay-plugin-legacy").await;
    assert_eq!(legacy["installation"]["state"], "installed", "{legacy:#}");
    let log = acme.get("plugins/hay-plugin-legacy/installation/log").await.expect(200).json();
    assert!(log["text"].as_str().unwrap().contains("$ mcp: npm ci --ignore-scripts"), "{log}");
}

#[tokio::test]
async fn a_version_that_cannot_be_made_is_said_and_the_one_before_goes_on() {
    let folder = PluginFolder::new();
    let write = |version: &str, script: &str| {
        let entry = format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'v', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }} }}));",
            one_tool(&format!("return {{ content: [{{ type: 'text', text: '{version}' }}] }};"))
        );
        let manifest = json!({
            "name": "hay-plugin-v", "version": version, "type": "module",
            "hay-plugin": { "entry": "./dist/index.js", "displayName": "V", "category": "tool", "capabilities": ["mcp"] },
            "scripts": { "build": script },
        });
        let root = folder.path().join("hay-plugin-v");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/index.js"), entry).unwrap();
        fs::write(root.join("package.json"), manifest.to_string()).unwrap();
    };
    let good = "mkdir -p dist && cp src/index.js dist/index.js";
    write("1.0.0", good);
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, "hay-plugin-v").await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    let said = async || text_of(acme.call_tool("v__act", json!({})).await);
    assert_eq!(said().await, "1.0.0");

    write("2.0.0", "echo this does not build && exit 3");
    until("the problem of the newer version", async || {
        let shown = acme.get("plugins/hay-plugin-v").await.expect(200).text();
        shown.contains("its newer version is not used") && shown.contains("this does not build")
    })
    .await;
    assert_eq!(said().await, "1.0.0");

    write("3.0.0", good);
    until("the third version", async || said().await == "3.0.0").await;
    let shown = acme.get("plugins/hay-plugin-v").await.expect(200).json();
    assert_eq!(shown["version"], "3.0.0");
}

#[tokio::test]
async fn a_folder_of_an_organization_is_seen_by_it_alone() {
    let folder = PluginFolder::new();
    let server = server(&folder).start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let place = format!("custom/{}/hay-plugin-mine", acme.id);
    folder.hay_package("hay-plugin-shared", &[], "export default () => ({ name: 'x' });");
    let staged = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({ name: 'mine' }));";
    let mine = staged.hay_package("hay-plugin-mine", &[], entry);
    fs::create_dir_all(folder.path().join(&place).parent().unwrap()).unwrap();
    copy(mine.root().to_owned(), folder.path().join(&place));
    let ids = async |organization: &Organization| {
        let listed = organization.get("plugins").await.expect(200).json();
        let mut ids: Vec<String> = listed["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|plugin| plugin["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    until("the organization's own plugin", async || {
        ids(&acme).await == ["hay-plugin-mine", "hay-plugin-shared"]
    })
    .await;
    assert_eq!(ids(&other).await, ["hay-plugin-shared"]);
    assert_eq!(installed(&acme, "hay-plugin-mine").await["state"], "ready");
    for below in [
        "plugins/hay-plugin-mine",
        "plugins/hay-plugin-mine/logs",
        "plugins/hay-plugin-mine/installation/log",
    ] {
        other.get(below).await.expect(404);
    }
    other.put("plugins/hay-plugin-mine", &json!({ "enabled": true })).await.expect(404);
    assert_eq!(acme.get("plugins/hay-plugin-mine").await.expect(200).json()["isCustom"], true);
}

#[tokio::test]
async fn what_was_installed_and_is_changed_since_does_not_start() {
    let folder = PluginFolder::new();
    let text = "return { content: [{ type: 'text', text: 'mine' }] };";
    crate::support::mcp_plugin(&folder, "hay-plugin-kept", &one_tool(text));
    let mut server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, "hay-plugin-kept").await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    let said = async || acme.call_tool("kept__act", json!({})).await;
    assert_eq!(text_of(said().await), "mine");
    server.restart().await;
    assert_eq!(text_of(said().await), "mine", "a restart alone changes nothing");
    server.terminate().await;

    let versions = server.data_folder().join("packages/hay-plugin-kept");
    let version = fs::read_dir(&versions)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let entry = version.join("index.js");
    let (before, times) =
        (fs::read_to_string(&entry).unwrap(), fs::metadata(&entry).unwrap().modified().unwrap());
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&entry, before.replace("'mine'", "'evil'")).unwrap();
    fs::File::options().write(true).open(&entry).unwrap().set_modified(times).unwrap();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o444)).unwrap();

    server.restart().await;
    let refused = said().await;
    assert!(
        !refused.text().contains("evil") && refused.text().contains("is not what was installed"),
        "{}",
        refused.text()
    );
    let shown = acme.get("plugins/hay-plugin-kept").await.expect(200).json();
    assert_eq!(shown["state"], "failed");
    assert!(
        shown["lastError"].as_str().unwrap().contains("`index.js` is not what was installed"),
        "{shown:#}"
    );
    let audit = acme.get("audit").await.expect(200).text();
    assert!(audit.contains("package.tampered") && audit.contains("index.js"), "{audit}");

    // Whoever switches it on has it installed anew, from the author's folder.
    let again = installed(&acme, "hay-plugin-kept").await;
    assert_eq!(again["state"], "ready", "{again:#}");
    assert_eq!(text_of(said().await), "mine");
}

fn copy(from: PathBuf, to: PathBuf) {
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_plugins_own_types_of_node_count_more_than_the_hosts() {
    let folder = PluginFolder::new();
    // Only the plugin's own copy knows this module, and its `node:fs` has nothing else.
    let files = [
        (
            "src/index.ts",
            "import { own } from \"only-here\";\nimport type { Thing } from \"node:fs\";\nexport const value: Thing = own;\n",
        ),
        (
            "types/index.d.ts",
            "declare module \"only-here\" { export const own: 1; }\ndeclare module \"node:fs\" { export type Thing = 1; }\n",
        ),
        ("types/package.json", r#"{ "name": "@types/node", "version": "1.0.0", "types": "index.d.ts" }"#),
        (
            "tsconfig.json",
            r#"{ "extends": "../../tsconfig.json", "compilerOptions": { "outDir": "./dist", "rootDir": "./src" }, "include": ["src/**/*"] }"#,
        ),
    ];
    routes_plugin(
        &folder,
        "hay-plugin-typed",
        &json!({
            "type": "commonjs",
            "scripts": { "build": "tsc" },
            "devDependencies": { "typescript": "^5.0.0", "@types/node": "file:./types" },
        }),
        &files,
    );
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, "hay-plugin-typed").await;
    let log = acme.get("plugins/hay-plugin-typed/installation/log").await.expect(200).json();
    // It builds; that it exports no plugin is another matter.
    let text = log["text"].as_str().unwrap();
    assert!(text.contains("$ npm run build") && !text.contains("error TS"), "{shown:#}\n{text}");
}
