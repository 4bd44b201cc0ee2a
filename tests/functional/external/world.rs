//! The outside, and plugins that reach it.

use hayloft_testkit::http_client::Body;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{HttpClient, Organization, PluginFolder, Response, TestServer};
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{mcp_plugin, one_tool, until, workspace_file};

pub(super) const PLUGIN: &str = "hay-plugin-far";

/// The code of a plugin whose `onStart` has this body.
pub(super) fn code(on_start: &str) -> String {
    format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';
         export default defineHayPlugin(({{ register }}) => ({{
           name: 'far',
           onInitialize() {{ register.config({{ key: {{ type: 'string', sensitive: true }} }}); }},
           async onStart({{ mcp, config, logger }}) {{ {on_start} }},
         }}));"
    )
}

/// The body of an `onStart` that hands over one server, `simple`, at this path of the simple one.
pub(super) fn one_at(path: &str) -> String {
    format!("await mcp.startExternal({{ id: 'simple', url: 'http://simple.outside.test/{path}' }});")
}

/// The `manifest.json` of a plugin that is nothing but one server elsewhere, with these keys beside.
pub(super) fn manifest(url: &str, transport: &str, more: &Value) -> String {
    let mut manifest = json!({
        "id": PLUGIN, "name": "Far", "version": "1.0.0", "description": "x", "author": "x",
        "type": ["mcp-connector"], "entry": "./index.js",
        "capabilities": { "mcp": { "connection": { "type": "remote", "url": url }, "transport": transport } },
    });
    let keys = more.as_object().expect("an object").clone();
    manifest.as_object_mut().expect("an object").extend(keys);
    manifest.to_string()
}

/// A plugin that is a class with a setting `key` to authenticate with, whose `registerMCP` has this body.
pub(super) fn class(register_mcp: &str) -> PluginFolder {
    let entry = format!(
        r#"const {{ HayPlugin, startPluginWorker }} = require("@hay/plugin-sdk");
class Far extends HayPlugin {{
  constructor() {{
    super({{ id: "{PLUGIN}", name: "Far", version: "1.0.0", capabilities: ["mcp"],
      auth: {{ type: "bearer", configField: "key" }},
      config: {{ key: {{ type: "string", label: "Key", encrypted: true }} }} }});
  }}
  async registerMCP() {{ {register_mcp} }}
}}
module.exports = Far;
if (require.main === module) startPluginWorker(Far);
"#
    );
    let manifest = json!({
        "name": PLUGIN, "version": "1.0.0", "main": "index.js", "type": "commonjs",
        "dependencies": { "@hay/plugin-sdk": "*" },
    });
    let plugins = PluginFolder::new();
    plugins.plugin(PLUGIN).manifest(&manifest).file("index.js", entry);
    plugins
}

/// The outside, and a server that may reach it for one plugin.
pub(super) struct World {
    pub(super) acme: Organization,
    pub(super) server: TestServer,
    pub(super) outside: NodeService,
    plugins: PluginFolder,
    _folder: TempDir,
}

impl World {
    /// With a plugin whose `onStart` has this body, beside a local one with the tool `local__act`.
    pub(super) async fn start(on_start: &str) -> Self {
        let plugins = PluginFolder::new();
        plugins.hay_package(PLUGIN, &["mcp", "config"], &code(on_start));
        Self::with(plugins).await
    }

    /// With a plugin that is nothing but one server elsewhere, switched on.
    pub(super) async fn all_elsewhere(url: &str, transport: &str, more: &Value) -> Self {
        let plugins = PluginFolder::new();
        plugins.plugin(PLUGIN).file("manifest.json", manifest(url, transport, more));
        let world = Self::with(plugins).await;
        let detail = world.enable().await;
        assert_eq!(detail["state"], "ready", "{detail:#}");
        world
    }

    /// With these plugins.
    pub(super) async fn with(plugins: PluginFolder) -> Self {
        Self::with_settings(plugins, &[]).await
    }

    /// With these plugins, on a host with these settings in its environment.
    pub(super) async fn with_settings(plugins: PluginFolder, settings: &[(&str, &str)]) -> Self {
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

    pub(super) async fn enable(&self) -> Value {
        self.acme.enable(PLUGIN, json!({})).await
    }

    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Response {
        self.acme.call_tool(&format!("far__{tool}"), arguments).await
    }

    pub(super) async fn tools(&self) -> Vec<String> {
        let listed = self.acme.get("tools").await.expect(200).json();
        let tools = listed["tools"].as_array().expect("a list").iter();
        tools.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }

    pub(super) async fn until_listed(&self, tool: &str) {
        let name = format!("far__{tool}");
        until("the tools", async || self.tools().await.contains(&name)).await;
    }

    pub(super) async fn no_worker(&self) {
        until("the worker to end", async || self.workers().await == 0).await;
    }

    pub(super) async fn workers(&self) -> usize {
        let workers = self.server.admin().get("/v1/workers").await.expect(200).json();
        workers["workers"].as_array().expect("a list").len()
    }

    /// The plugin, as people see it.
    pub(super) async fn detail(&self) -> Value {
        self.acme.get(&format!("plugins/{PLUGIN}")).await.expect(200).json()
    }

    /// One MCP server of the plugin, as people see it.
    pub(super) async fn shown(&self, id: &str) -> Value {
        let detail = self.detail().await;
        let servers = detail["mcpServers"].as_array().expect("a list").iter();
        let mut own = servers.filter(|server| server["id"] == id);
        own.next().cloned().unwrap_or_default()
    }

    /// What keeps one of its servers from answering, as people see it.
    pub(super) async fn last_error(&self, id: &str) -> String {
        self.shown(id).await["lastError"].as_str().unwrap_or_default().to_owned()
    }

    /// Writes a file of the plugin anew.
    pub(super) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.plugins.path().join(PLUGIN).join(file), text).expect("a file of the plugin");
    }

    /// What the simple server has seen.
    pub(super) async fn seen(&self) -> Value {
        self.ask_outside("/seen").await.json()
    }

    /// From now on the simple server answers with this status at `/fickle`; with 200 as at any other path.
    pub(super) async fn make_fickle(&self, status: u16) {
        self.ask_outside(&format!("/fickle/{status}")).await.expect(200);
    }

    async fn ask_outside(&self, path: &str) -> Response {
        let port = self.outside.announcement()["simple"].as_u64().expect("a port");
        let request = Request::get(format!("http://127.0.0.1:{port}{path}")).body(Body::default());
        HttpClient::new().send(request.expect("a request")).await
    }

    pub(super) async fn logs(&self) -> String {
        self.acme.get(&format!("plugins/{PLUGIN}/logs")).await.text()
    }
}
