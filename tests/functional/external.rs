//! MCP servers elsewhere: the host reaches them itself, under the plugin's network policy, whether or not a worker runs.

use std::time::{Duration, Instant};

use hayloft_testkit::http_client::Body;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{HttpClient, Organization, PluginFolder, Response, TestServer};
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{mcp_plugin, one_tool, text_of, until, until_idle, workspace_file};

pub(crate) const PLUGIN: &str = "hay-plugin-far";

/// The code of a plugin whose `onStart` has this body.
pub(crate) fn code(on_start: &str) -> String {
    format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';
         export default defineHayPlugin(({{ register }}) => ({{
           name: 'far',
           onInitialize() {{ register.config({{ key: {{ type: 'string', sensitive: true }} }}); }},
           async onStart({{ mcp, config, logger }}) {{ {on_start} }},
         }}));"
    )
}

/// The outside, and a server that may reach it for one plugin.
pub(crate) struct World {
    pub(crate) acme: Organization,
    pub(crate) server: TestServer,
    outside: NodeService,
    plugins: PluginFolder,
    _folder: TempDir,
}

impl World {
    /// With a plugin whose `onStart` has this body, beside a local one with the tool `local__act`.
    pub(crate) async fn start(on_start: &str) -> Self {
        let plugins = PluginFolder::new();
        plugins.hay_package(PLUGIN, &["mcp", "config"], &code(on_start));
        Self::with(plugins).await
    }

    /// With these plugins.
    pub(crate) async fn with(plugins: PluginFolder) -> Self {
        Self::with_settings(plugins, &[]).await
    }

    /// With these plugins, on a host with these settings in its environment.
    pub(crate) async fn with_settings(plugins: PluginFolder, settings: &[(&str, &str)]) -> Self {
        let script = workspace_file("tests/functional/fixtures/external.cjs");
        let outside = NodeService::start::<&str>(&script, &[], &[]);
        mcp_plugin(&plugins, "hay-plugin-local", &one_tool("return 'here';"));
        let port = |name: &str| outside.announcement()[name].as_u64().expect("a port");
        let grants: Vec<String> = [
            ("http.outside.test:80", "http"),
            ("sse.outside.test:80", "sse"),
            ("socket.outside.test:80", "socket"),
            ("simple.outside.test:80", "simple"),
            ("api.outside.test:443", "secure"),
            ("evil.outside.test:443", "secure"),
            ("mute.outside.test:80", "mute"),
            ("mute.outside.test:443", "mute"),
        ]
        .iter()
        .map(|(host, name)| format!("{host}=127.0.0.1:{}", port(name)))
        .chain([String::from("nobody.outside.test:80=127.0.0.1:1")])
        .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = workspace_file("tests/functional/fixtures/outside-cert.pem");
        let config = folder.path().join("hayloft.toml");
        let text = format!(
            "[network]\ncertificates = {}\n[network.private]\n{PLUGIN} = {}\n",
            json!(certificate),
            json!(grants)
        );
        std::fs::write(&config, text).expect("a configuration");
        let builder = TestServer::builder()
            .plugins(plugins.path())
            .environment("HAYLOFT_CONFIG", config.to_str().expect("a path in UTF-8"))
            .environment("HAYLOFT_LIMITS_IDLE", "1s");
        let settings = settings.iter();
        let builder = settings.fold(builder, |builder, (name, value)| builder.environment(name, value));
        let server = builder.start().await;
        let acme = server.organization("Acme").await;
        Self { acme, server, outside, plugins, _folder: folder }
    }

    pub(crate) async fn enable(&self) -> Value {
        self.acme.enable(PLUGIN, json!({})).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Response {
        self.acme.call_tool(&format!("far__{tool}"), arguments).await
    }

    async fn tools(&self) -> Vec<String> {
        let listed = self.acme.get("tools").await.expect(200).json();
        let tools = listed["tools"].as_array().expect("a list").iter();
        tools.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }

    pub(crate) async fn until_listed(&self, tool: &str) {
        let name = format!("far__{tool}");
        until("the tools", async || self.tools().await.contains(&name)).await;
    }

    pub(crate) async fn no_worker(&self) {
        until_idle("the worker to end", async || self.workers().await == 0).await;
    }

    pub(crate) async fn workers(&self) -> usize {
        let workers = self.server.admin().get("/v1/workers").await.expect(200).json();
        workers["workers"].as_array().expect("a list").len()
    }

    /// One MCP server of the plugin, as people see it.
    pub(crate) async fn shown(&self, id: &str) -> Value {
        let detail = self.acme.get(&format!("plugins/{PLUGIN}")).await.expect(200).json();
        let servers = detail["mcpServers"].as_array().expect("a list").iter();
        let mut own = servers.filter(|server| server["id"] == id);
        own.next().cloned().unwrap_or_default()
    }

    /// Writes a file of the plugin anew.
    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.plugins.path().join(PLUGIN).join(file), text).expect("a file of the plugin");
    }

    /// What the simple server has seen.
    pub(crate) async fn seen(&self) -> Value {
        self.ask_outside("/seen").await.json()
    }

    /// From now on the simple server answers with this status at `/fickle`; with 200 as at any other path.
    pub(crate) async fn make_fickle(&self, status: u16) {
        self.ask_outside(&format!("/fickle/{status}")).await.expect(200);
    }

    async fn ask_outside(&self, path: &str) -> Response {
        let port = self.outside.announcement()["simple"].as_u64().expect("a port");
        let request = Request::get(format!("http://127.0.0.1:{port}{path}")).body(Body::default());
        HttpClient::new().send(request.expect("a request")).await
    }

    async fn logs(&self) -> String {
        self.acme.get(&format!("plugins/{PLUGIN}/logs")).await.text()
    }
}

#[tokio::test]
async fn real_servers_are_called_without_a_worker() {
    let mut world = World::start(
        "await mcp.startExternal({ id: 'http', url: 'http://http.outside.test/mcp' });
         await mcp.startExternal({ id: 'sse', url: 'http://sse.outside.test/sse' });
         await mcp.startExternal({ id: 'socket', url: 'ws://socket.outside.test/' });",
    )
    .await;
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    for tool in ["act", "get-sum"] {
        world.until_listed(tool).await;
    }
    until("all servers", async || {
        let mut all = true;
        for id in ["http", "sse", "socket"] {
            all &= world.shown(id).await["connected"] == true;
        }
        all
    })
    .await;
    let listed = world.tools().await;
    // Two servers have it, and each its own name.
    let sums: Vec<_> = listed.iter().filter(|name| name.contains("get-sum")).cloned().collect();
    assert_eq!(sums.len(), 2, "{listed:?}");
    world.no_worker().await;
    let check = async |world: &World| {
        for sum in &sums {
            let said = text_of(world.acme.call_tool(sum, json!({ "a": 2, "b": 3 })).await);
            assert!(said.contains('5'), "{said}");
        }
        assert_eq!(text_of(world.call("act", json!({ "a": 1 })).await), r#"{"a":1}"#);
        assert_eq!(world.workers().await, 0);
    };
    check(&world).await;
    let mut client = world.acme.mcp();
    client.open().await;
    let answer = client.call_tool(&sums[0], json!({ "a": 20, "b": 3 })).await;
    assert!(answer.result()["content"][0]["text"].as_str().unwrap().contains("23"), "{answer:?}");

    // Another run of the host knows them, and starts nothing to call them.
    world.server.restart().await;
    assert_eq!(world.tools().await, listed);
    check(&world).await;

    // What is switched off is gone.
    world.acme.put(&format!("plugins/{PLUGIN}"), &json!({ "enabled": false })).await.expect(200);
    assert_eq!(world.tools().await, [] as [String; 0]);
    world.acme.call_tool(&sums[0], json!({})).await.expect(404);
}

#[tokio::test]
async fn a_plugin_that_is_all_elsewhere_never_runs() {
    let plugins = PluginFolder::new();
    plugins.plugin(PLUGIN).file(
        "manifest.json",
        json!({
            "id": PLUGIN, "name": "Far", "version": "1.0.0", "description": "x", "author": "x",
            "type": ["mcp-connector"], "entry": "./index.js",
            "capabilities": { "mcp": {
                "connection": { "type": "remote", "url": "http://simple.outside.test/mcp" }, "transport": "http",
            } },
        })
        .to_string(),
    );
    let mut world = World::with(plugins).await;
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    world.until_listed("headers").await;
    let headers = text_of(world.call("headers", json!({})).await);
    assert!(headers.contains("simple.outside.test") && !headers.contains("authorization"), "{headers}");
    world.server.restart().await;
    text_of(world.call("headers", json!({})).await);
    assert_eq!(world.workers().await, 0);
    let detail = world.acme.get(&format!("plugins/{PLUGIN}")).await.expect(200).json();
    assert_eq!(detail["state"], "ready", "{detail:#}");
}

#[tokio::test]
async fn the_host_adds_what_authenticates_and_never_shows_it() {
    let mut world = World::start(
        "await mcp.startExternal({ id: 'key', url: 'http://simple.outside.test/locked',
           authHeaders: { Authorization: `Bearer ${config.get('key')}`, 'X-Own': 'own' } });
         await mcp.startExternal({ id: 'wrong', url: 'http://simple.outside.test/locked?',
           authHeaders: { Authorization: 'Bearer wrong-canary' } }).catch((error) => logger.error(String(error)));",
    )
    .await;
    world.acme.enable(PLUGIN, json!({ "key": "canary-key" })).await;
    world.until_listed("headers").await;
    world.no_worker().await;
    let said = text_of(world.call("headers", json!({})).await);
    assert!(said.contains("Bearer canary-key") && said.contains(r#""x-own":"own""#), "{said}");
    world.server.restart().await;
    assert!(text_of(world.call("headers", json!({})).await).contains("Bearer canary-key"));

    // Sealed where it lies, and nowhere to be read.
    let database = std::fs::read(world.server.data_folder().join("hayloft.db")).expect("the database");
    assert!(!String::from_utf8_lossy(&database).contains("canary-key"));
    let shown = world.acme.get(&format!("plugins/{PLUGIN}")).await.text() + &world.logs().await;
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_class_says_once_how_it_authenticates() {
    let plugins = PluginFolder::new();
    let entry = r#"const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
class Far extends HayPlugin {
  constructor() {
    super({ id: "hay-plugin-far", name: "Far", version: "1.0.0", capabilities: ["mcp"],
      auth: { type: "bearer", configField: "key" },
      config: { key: { type: "string", label: "Key", encrypted: true } } });
  }
  async registerMCP() {
    await this.sdk.mcp.registerRemoteMCP({ url: "http://simple.outside.test/locked", tools: [] });
  }
}
module.exports = Far;
if (require.main === module) startPluginWorker(Far);
"#;
    plugins
        .plugin(PLUGIN)
        .manifest(&json!({
            "name": PLUGIN, "version": "1.0.0", "main": "index.js", "type": "commonjs",
            "dependencies": { "@hay/plugin-sdk": "*" },
        }))
        .file("index.js", entry);
    let world = World::with(plugins).await;
    world.acme.enable(PLUGIN, json!({ "key": "wrong-canary" })).await;
    let refused = "refused the credentials (HTTP 401): not with \u{2022}";
    until("the refusal", async || {
        let shown = world.shown("remote").await;
        shown["lastError"].as_str().is_some_and(|error| error.contains(refused) && !error.contains("canary"))
    })
    .await;
    // Other settings count at once.
    world.acme.enable(PLUGIN, json!({ "key": "canary-key" })).await;
    world.until_listed("headers").await;
    world.no_worker().await;
    assert!(text_of(world.call("headers", json!({})).await).contains("Bearer canary-key"));
    assert!(!world.logs().await.contains("canary"));
}

#[tokio::test]
async fn tls_is_spoken_with_those_who_prove_their_name() {
    let world = World::start(
        "await mcp.startExternal({ id: 'good', url: 'https://api.outside.test/mcp' });
         await mcp.startExternal({ id: 'evil', url: 'https://evil.outside.test/mcp' });",
    )
    .await;
    world.enable().await;
    world.until_listed("headers").await;
    let said = text_of(world.call("headers", json!({})).await);
    assert!(said.contains(r#""host":"api.outside.test""#), "{said}");
    until("the reason", async || {
        let shown = world.shown("evil").await;
        shown["lastError"]
            .as_str()
            .is_some_and(|error| error.contains("failed to agree on TLS with `evil.outside.test`"))
    })
    .await;
}

#[tokio::test]
async fn a_dead_or_slow_server_holds_up_nobody_else() {
    let world = World::start(
        "const tools = [];
         for (const [id, url] of Object.entries({ tcp: 'http://mute.outside.test/', tls: 'https://mute.outside.test/',
           initialize: 'http://simple.outside.test/hang', nobody: 'http://nobody.outside.test/' }))
           await mcp.startExternal({ id, url });
         await mcp.startExternal({ id: 'good', url: 'http://simple.outside.test/mcp' });",
    )
    .await;
    let begun = Instant::now();
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    world.acme.enable("hay-plugin-local", json!({})).await;
    world.until_listed("headers").await;
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(world.tools().await.len() >= 5);
        assert!(text_of(world.call("headers", json!({})).await).contains("simple"));
        assert_eq!(text_of(world.acme.call_tool("local__act", json!({})).await), "here");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    until("what is wrong with it", async || {
        let shown = world.shown("nobody").await;
        shown["lastError"]
            .as_str()
            .is_some_and(|error| error.contains("failed to reach `nobody.outside.test`"))
    })
    .await;
    until("what is wrong with the slow one", async || {
        let shown = world.shown("initialize").await;
        shown["lastError"].as_str().is_some_and(|error| error.contains("did not answer"))
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_connection_dies_is_repeated_only_where_that_is_safe() {
    let world =
        World::start("await mcp.startExternal({ id: 'simple', url: 'http://simple.outside.test/mcp' });")
            .await;
    world.enable().await;
    world.until_listed("write").await;
    let problem = world.call("write", json!({})).await.expect(502).json();
    assert_eq!(problem["reason"], "crashed", "{problem:#}");
    assert!(
        problem["detail"].as_str().unwrap().contains("the connection broke before the answer"),
        "{problem:#}"
    );
    assert_eq!(world.seen().await["calls"], 1);
    // The next one is answered, then the first attempt of the last one is dropped and its second answered.
    text_of(world.call("write", json!({})).await);
    let said = text_of(world.call("read", json!({})).await);
    assert!(said.contains(r#""calls":4"#), "{said}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let mut world =
        World::start("await mcp.startExternal({ id: 'simple', url: 'http://simple.outside.test/mcp' });")
            .await;
    world.enable().await;
    world.until_listed("headers").await;
    text_of(world.call("headers", json!({})).await);
    let port = world.outside.announcement()["simple"].as_u64().expect("a port").to_string();
    world.outside.stop();
    // A call or two later nobody waits for it any more, and people see why. The first one may fail by itself, before the
    // session is known to be over.
    until("calls to be refused at once", async || {
        let begun = Instant::now();
        let answer = world.call("headers", json!({})).await.expect(503).json();
        let refused = answer["reason"] == "unavailable"
            && answer["detail"].as_str().unwrap().contains("simple.outside.test")
            && begun.elapsed() < Duration::from_millis(500);
        let shown = world.shown("simple").await;
        refused
            && shown["lastError"]
                .as_str()
                .is_some_and(|error| error.contains("failed to reach `simple.outside.test`"))
    })
    .await;
    assert!(world.tools().await.contains(&String::from("far__headers")));
    let script = workspace_file("tests/functional/fixtures/external.cjs");
    world.outside = NodeService::start::<&str>(&script, &[], &[("SIMPLE_PORT", &port)]);
    until("an answer", async || world.call("headers", json!({})).await.status == 200).await;
    assert_eq!(world.shown("simple").await["connected"], true);
}

#[tokio::test]
async fn hostile_addresses_and_servers_get_nowhere() {
    // Where nobody ever is told to go.
    let refused = [
        "file:///etc/passwd",
        "gopher://simple.outside.test/",
        "ftp://simple.outside.test/",
        "http://user@simple.outside.test/",
        "http://user:secret@simple.outside.test/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "https://*.outside.test/",
        "https://simple.outside.test./",
        "javascript:alert(1)",
    ];
    // Where the plugin may not go.
    let denied = [
        ("host", "https://other.outside.test/", "may not be reached"),
        ("port", "http://simple.outside.test:22/", "not at this port"),
        ("metadata", "http://metadata.google.internal/", "may not be reached"),
    ];
    // Servers that lead elsewhere, or drown who listens.
    let metadata = "http%3A%2F%2F169.254.169.254%2Flatest";
    let own = "http%3A%2F%2Fapi.outside.test%2F";
    let served = [
        ("meta", format!("http://simple.outside.test/redirect/{metadata}"), "redirects to"),
        ("granted", format!("http://simple.outside.test/redirect/{own}"), "redirects to"),
        ("huge", String::from("http://simple.outside.test/huge"), "longer than"),
    ];
    let external: Vec<_> = denied
        .iter()
        .map(|(id, url, _)| (*id, (*url).to_owned()))
        .chain(served.iter().map(|(id, url, _)| (*id, url.clone())))
        .chain([("good", String::from("http://simple.outside.test/mcp"))])
        .collect();
    let world = World::start(&format!(
        "const said = [];
         for (const url of {}) await mcp.startExternal({{ id: 'hostile', url }}).then(() => said.push(url), () => undefined);
         logger.info('taken: ' + JSON.stringify(said));
         for (const [id, url] of {}) await mcp.startExternal({{ id, url }});",
        json!(refused),
        json!(external)
    ))
    .await;
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert!(world.logs().await.contains("taken: []"), "{}", world.logs().await);
    world.until_listed("headers").await;
    text_of(world.call("headers", json!({})).await);
    let reasons = denied
        .iter()
        .map(|(id, _, reason)| (*id, *reason))
        .chain(served.iter().map(|(id, _, reason)| (*id, *reason)));
    for (id, reason) in reasons {
        until(&format!("the reason of `{id}`: {reason}"), async || {
            let shown = world.shown(id).await;
            shown["lastError"].as_str().is_some_and(|error| error.contains(reason))
        })
        .await;
    }
    let trail = world.acme.get("audit?limit=1000").await.expect(200).json();
    let told = |host: &str| {
        trail["entries"].as_array().unwrap().iter().any(|entry| {
            entry["action"] == "network.refused"
                && entry["detail"]["host"] == host
                && entry["detail"]["server"].is_string()
        })
    };
    assert!(told("other.outside.test") && told("metadata.google.internal"), "{trail:#}");
}
