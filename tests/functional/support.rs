//! Throw-away plugins that several promises are tested with.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use hayloft_testkit::{
    Organization, PluginFiles, PluginFolder, Response, TestServer, TestServerBuilder, workspace,
};
use serde_json::Value;

/// The sample plugins of the repository.
pub(crate) fn examples() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/examples"))
}

/// A server whose plugins run without a jail. In one they reach no network but the host's Plugin API and write to no
/// folder but their own temporary one; tests that need either to see what a plugin does say so by this.
pub(crate) fn unjailed(server: TestServerBuilder) -> TestServerBuilder {
    server.isolation("off").environment("HAYLOFT_STRONGEST_ISOLATION", "off")
}

/// Adds a plugin with one in-process MCP server `main`, whose object is given in JavaScript.
pub(crate) fn mcp_plugin(folder: &PluginFolder, id: &str, server: &str) {
    let entry = format!(
        r#"import {{ defineHayPlugin }} from "@hay/plugin-sdk";
export default defineHayPlugin(() => ({{
  name: "{id}",
  async onStart(ctx) {{
    await ctx.mcp.startLocal("main", () => ({server}));
  }},
}}));
"#
    );
    folder.hay_package(id, &["mcp"], &entry);
}

/// A server object with one tool `act` without parameters and this body.
pub(crate) fn one_tool(body: &str) -> String {
    format!(
        r#"{{
      listTools: () => [{{ name: "act", inputSchema: {{ type: "object" }} }}],
      callTool: async (name, args) => {{ {body} }},
    }}"#
    )
}

/// Adds a plugin whose one MCP server is `server.cjs` in its folder, run as a process beside it.
pub(crate) fn stdio_plugin(folder: &PluginFolder, id: &str) -> PluginFiles {
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({ name: 'x', onStart: (ctx) =>\n\
           ctx.mcp.startLocalStdio({ id: 'child', command: 'node', args: ['server.cjs'], cwd: '.' }) }));";
    folder.hay_package(id, &["mcp"], entry)
}

/// Adds `hay-plugin-counting`, whose tool `n` gives its one setting `n`.
pub(crate) fn counting_plugin(folder: &PluginFolder) {
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "counting",
  onInitialize() { register.config({ n: { type: "number", default: 0 } }); },
  async onStart({ config, mcp }) {
    const n = String(config.get("n"));
    await mcp.startLocal("main", () => ({ listTools: () => [{ name: "n", inputSchema: { type: "object" } }], callTool: () => n }));
  },
}));
"#;
    folder.hay_package("hay-plugin-counting", &["config", "mcp"], entry);
}

/// Adds `hay-plugin-fragile`, whose tool `mode` gives its setting `mode` and whose worker ends when that is `fatal`.
pub(crate) fn fragile_plugin(folder: &PluginFolder) {
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "fragile",
  onInitialize() { register.config({ mode: { type: "string", default: "good" } }); },
  onConfigUpdate({ config }) { if (config.get("mode") === "fatal") process.exit(9); },
  async onStart({ config, mcp }) {
    const mode = config.get("mode");
    await mcp.startLocal("main", () => ({ listTools: () => [{ name: "mode", inputSchema: { type: "object" } }], callTool: () => mode }));
  },
}));
"#;
    folder.hay_package("hay-plugin-fragile", &["config", "mcp"], entry);
}

/// The text that a tool gave.
#[track_caller]
pub(crate) fn text_of(answer: Response) -> String {
    let result = answer.expect(200).json();
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}")).to_owned()
}

/// Waits until a tool is listed: a plugin is ready a moment before its server has said what it has.
pub(crate) async fn listed(organization: &Organization, tool: &str) {
    until(tool, async || organization.get("tools").await.expect(200).text().contains(tool)).await;
}

/// How long anything may take that waits for nothing but the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is true, asking anew each time that the server had time to work.
pub(crate) async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, holds).await;
}

pub(crate) async fn until_within(patience: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// Runs the command line to its end, with nothing in its environment that belongs to whoever runs the tests.
pub(crate) fn hayloft(arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the command line is what is tested")]
    let mut command = Command::new(workspace::hayloft_binary());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.output().expect("the binary runs")
}

/// A stdio MCP server in CommonJS without dependencies: one tool `act`, whose text is this expression over `params`.
pub(crate) fn stdio_server(text: &str) -> String {
    r"
      let text = '';
      process.stdin.on('data', (chunk) => {
        text += chunk;
        for (let end; (end = text.indexOf('\n')) >= 0; text = text.slice(end + 1)) {
          const { id, method, params } = JSON.parse(text.slice(0, end));
          const result = {
            initialize: () => ({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } }),
            'tools/list': () => ({ tools: [{ name: 'act', inputSchema: { type: 'object' } }] }),
            'tools/call': () => ({ content: [{ type: 'text', text: TEXT }] }),
          }[method]?.();
          if (id !== undefined) process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\n');
        }
      });
    "
    .replace("TEXT", text)
}

/// A plugin with a tool in the worker, a tool in a child of it, and a route, each of which tells the version of Node.
pub(crate) fn everything_plugin() -> PluginFolder {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "All",
  onInitialize() { register.route("GET", "/version", (req, res) => res.send(process.version)); },
  async onStart({ mcp }) {
    await mcp.startLocal("inside", () => ({
      listTools: () => [{ name: "inside", inputSchema: { type: "object" } }],
      callTool: () => process.version,
    }));
    await mcp.startLocalStdio({ id: "beside", command: "node", args: ["beside.cjs"], cwd: "." });
  },
}));
"#;
    let beside = stdio_server("process.version").replace("name: 'act'", "name: 'beside'");
    plugins.hay_package("hay-plugin-all", &["mcp", "routes"], entry).file("beside.cjs", beside);
    plugins
}

/// A file of the repository.
pub(crate) fn workspace_file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join(path)
        .canonicalize()
        .expect("the file exists")
}

/// Holds back whoever writes to a host's database, until it is dropped.
pub(crate) struct Lock(Child);

impl Lock {
    pub(crate) fn of(server: &TestServer) -> Self {
        const HOLD: &str = "
            const { DatabaseSync } = require('node:sqlite');
            const database = new DatabaseSync(process.argv[1]);
            database.exec('begin immediate');
            console.log('locked');
            process.stdin.resume();";
        #[expect(clippy::disallowed_methods, reason = "a writer that shares nothing with the host")]
        let mut child = Command::new(workspace::node())
            .args(["--no-warnings", "-e", HOLD])
            .arg(server.data_folder().join("hayloft.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "locked\n");
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The system ends what it holds with it.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What an entry begins with whose `gate()` ends once a file called `gate` is in a folder.
pub(crate) fn waits_for_a_gate(gates: &PluginFolder) -> String {
    let code = r#"import { existsSync, watch } from "node:fs";
import { defineHayPlugin } from "@hay/plugin-sdk";
const gate = () => new Promise((resolve) => {
  const open = () => existsSync("GATES/gate") && (watcher.close(), resolve());
  const watcher = watch("GATES", open);
  open();
});
"#;
    code.replace("GATES", gates.path().to_str().unwrap())
}

pub(crate) fn open(gates: &PluginFolder) {
    std::fs::write(gates.path().join("gate"), "").unwrap();
}

pub(crate) fn shut(gates: &PluginFolder) {
    std::fs::remove_file(gates.path().join("gate")).unwrap();
}

/// A server whose plugins see the gates.
pub(crate) async fn gated(plugins: &PluginFolder, gates: &PluginFolder) -> TestServer {
    TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_JAIL_PATHS", gates.path().to_str().unwrap())
        .start()
        .await
}

/// What a query finds in a server's database, read past the host.
pub(crate) fn stored(server: &TestServer, query: &str) -> Vec<Value> {
    const READ: &str = "
        const { DatabaseSync } = require('node:sqlite');
        const database = new DatabaseSync(process.argv[1], { readOnly: true });
        console.log(JSON.stringify(database.prepare(process.argv[2]).all()));";
    #[expect(clippy::disallowed_methods, reason = "a reader that shares nothing with the host")]
    let read = Command::new(workspace::node())
        .args(["--no-warnings", "-e", READ])
        .arg(server.data_folder().join("hayloft.db"))
        .arg(query)
        .output()
        .unwrap();
    serde_json::from_slice(&read.stdout).unwrap_or_else(|error| panic!("{error}: {read:?}"))
}
