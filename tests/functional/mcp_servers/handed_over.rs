//! Servers that a plugin's code hands over: through the SDK, or at the Plugin API by itself.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::json;

use super::{programs, tools_of};
use crate::support::{stdio_server, text_of, until};

#[tokio::test]
async fn servers_that_code_hands_over_run_beside_each_other() {
    let plugins = PluginFolder::new();
    let entry = r#"const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
class Handing extends HayPlugin {
  constructor() {
    super({ id: "hay-plugin-handing", name: "Handing", version: "1.0.0", capabilities: ["mcp"],
      config: { region: { type: "string", label: "Region", envVar: "REGION", default: "eu" } } });
  }
  async registerMCP() {
    const tools = [{ name: "act", label: "Act", description: "x", input_schema: { type: "object" } }];
    await this.sdk.mcp.registerLocalMCP({ id: "good", serverPath: "./mcp", startCommand: "node good.cjs", env: { OWN: "own" }, tools });
    await this.sdk.mcp.registerLocalMCP({ id: "bad", serverPath: "./mcp", startCommand: "node bad.cjs", tools: [{ ...tools[0], name: "fail" }] });
    await this.sdk.mcp.registerRemoteMCP({ id: "away", url: "https://mcp.example.com", tools: [{ ...tools[0], name: "reach" }] });
  }
}
module.exports = Handing;
if (require.main === module) startPluginWorker(Handing);
"#;
    plugins
        .plugin("hay-plugin-handing")
        .manifest(&json!({
            "name": "hay-plugin-handing", "version": "1.0.0", "main": "index.js", "type": "commonjs",
            "dependencies": { "@hay/plugin-sdk": "*" },
        }))
        .file("index.js", entry)
        .file(
            "mcp/good.cjs",
            stdio_server("process.cwd() + ' ' + process.env.OWN + ' ' + process.env.REGION"),
        )
        .file("mcp/bad.cjs", "process.exit(4)");
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-handing", json!({ "region": "us" })).await;
    assert_eq!(detail["state"], "degraded", "{detail:#}");
    assert!(detail["lastError"].as_str().unwrap().starts_with("the MCP server `bad` is down"), "{detail:#}");
    let call = async |tool: &str| acme.call_tool(&format!("handing__{tool}"), json!({})).await;
    let good = text_of(call("act").await);
    assert!(good.contains("/hay-plugin-handing/") && good.ends_with("/mcp own us"), "{good}");
    assert!(call("fail").await.expect(503).text().contains("exit code 4"));
    assert!(
        call("reach").await.expect(503).text().contains("`mcp.example.com`, port 443, may not be reached")
    );
    let listed = tools_of(&acme).await;
    assert_eq!(listed, ["handing__reach", "handing__fail", "handing__act"]);

    // All of it is known without a process, and comes back with the next call.
    server.restart().await;
    assert_eq!(tools_of(&acme).await, listed);
    assert_eq!(programs(&server), [] as [String; 0]);
    assert_eq!(text_of(call("act").await), good);
}

#[tokio::test]
async fn a_program_that_speaks_to_the_plugin_api_by_itself_registers_its_server() {
    let plugins = PluginFolder::new();
    // As a program does that knows nothing of our SDK's ways: Node's own client and what stands in the environment.
    let entry = r#"const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
const { request } = require("node:http");
const post = (path, body) => new Promise((resolve, reject) => {
  const text = JSON.stringify(body);
  const url = new URL(path, process.env.HAY_API_URL);
  const headers = { authorization: "Bearer " + process.env.HAY_API_TOKEN, "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  request(url, { method: "POST", headers }, (answer) => {
    let said = "";
    answer.on("data", (chunk) => (said += chunk)).on("end", () => resolve({ status: answer.statusCode, data: JSON.parse(said) }));
  }).on("error", reject).end(text);
});
class Own extends HayPlugin {
  constructor() { super({ id: "hay-plugin-own", name: "Own", version: "1.0.0", capabilities: ["mcp"] }); }
  async registerMCP() {
    const { data } = await post("/v1/plugin-api/mcp/register-local", { id: "own", serverPath: "./mcp", startCommand: "node server.cjs" });
    if (data.success !== true) throw new Error(data.error);
  }
}
module.exports = Own;
if (require.main === module) startPluginWorker(Own);
"#;
    let told = "Object.keys(process.env).filter((name) => /^(HAY_|ORGANIZATION_ID|PLUGIN_ID)/.test(name)).sort().join() \
                + ' ' + process.env.HAY_API_URL + ' ' + process.env.HAY_CAPABILITIES";
    plugins
        .plugin("hay-plugin-own")
        .manifest(&json!({
            "name": "hay-plugin-own", "version": "1.0.0", "main": "index.js", "type": "commonjs",
            "dependencies": { "@hay/plugin-sdk": "*" },
        }))
        .file("index.js", entry)
        .file("mcp/server.cjs", stdio_server(told));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-own", json!({})).await;
    until("the server", async || tools_of(&acme).await.contains(&String::from("own__act"))).await;
    assert_eq!(
        text_of(acme.call_tool("own__act", json!({})).await),
        "HAY_API_TOKEN,HAY_API_URL,HAY_CAPABILITIES,HAY_ORG_ID,HAY_PLUGIN_ID,ORGANIZATION_ID,PLUGIN_ID \
         http://hayloft.internal mcp"
    );
}

#[tokio::test]
async fn a_workers_token_ends_with_the_worker_and_opens_nothing_else() {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
const tool = (name) => ({ name, inputSchema: { type: "object" } });
const ask = async (token) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const body = JSON.stringify({ id: "other", url: "https://mcp.example.com" });
  const answer = await fetch(`${process.env.HAY_API_URL}/v1/plugin-api/mcp/register-remote`, { method: "POST", headers, body });
  return String(answer.status);
};
export default defineHayPlugin(() => ({
  name: "token",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [tool("token"), tool("ask")],
      // Its own token leaves a worker only if the plugin gives it away, as here.
      callTool: ({ name, arguments: { token } }) => (name === "token" ? process.env.HAY_API_TOKEN : ask(token)),
    }));
  },
}));
"#;
    plugins.hay_package("hay-plugin-token", &["mcp"], entry);
    let server = TestServer::start(plugins.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    for organization in [&acme, &other] {
        organization.enable("hay-plugin-token", json!({})).await;
    }
    let token =
        async |organization: &Organization| text_of(organization.call_tool("token__token", json!({})).await);
    let ask = async |organization: &Organization, token: &str| {
        text_of(organization.call_tool("token__ask", json!({ "token": token })).await)
    };
    let first = token(&acme).await;
    assert_eq!(ask(&acme, &first).await, "200");
    assert_eq!(ask(&other, &first).await, "401", "another organization's worker");
    assert_eq!(ask(&acme, &token(&other).await).await, "401");
    // Outside of the jail it is nobody's.
    server.api(Some(&first)).get("/v1/orgs").await.expect(401);
    server.api(Some(&first)).get("/v1/plugin-api/health").await.expect(404);

    // A restart, and switching off and on, are other workers.
    let path = "/v1/plugins.restart";
    let body = json!({ "pluginId": "hay-plugin-token" }).to_string();
    let kind = [("content-type", "application/json")];
    server.api(Some(&acme.token)).send(&Method::POST, path, &kind, body).await.expect(200);
    let second = token(&acme).await;
    assert_eq!(
        (ask(&acme, &first).await, ask(&acme, &second).await),
        (String::from("401"), String::from("200"))
    );
    acme.put("plugins/hay-plugin-token", &json!({ "enabled": false })).await.expect(200);
    acme.enable("hay-plugin-token", json!({})).await;
    assert_eq!(ask(&acme, &second).await, "401");
}

#[tokio::test]
async fn the_plugin_api_takes_servers_from_the_worker_behind_the_gate() {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
const post = async (path, body, token = process.env.HAY_API_TOKEN, prefix = "/v1/plugin-api") => {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${process.env.HAY_API_URL}${prefix}${path}`, { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) });
  return [answer.status, await answer.json()];
};
export default defineHayPlugin(() => ({
  name: "asking",
  async onStart({ logger }) {
    const tools = [{ name: "reach", input_schema: { type: "object" } }];
    const answers = [
      await post("/mcp/register-local", { serverPath: "./mcp", startCommand: "node server.cjs", transport: "stdio" }),
      await post("/mcp/register-remote", { url: "https://mcp.example.com", transport: "http", auth: { type: "oauth2" }, tools }, undefined, "/plugin-api"),
      await post("/mcp/register-local", { serverPath: "../..", startCommand: "node a | sh" }),
      await post("/v1/pluginApi.mcp.registerRemote", { id: "second", url: "https://mcp.example.com" }, undefined, ""),
      await post("/messages/receive", {}),
      await post("/mcp/register-local", {}, null),
      await post("/mcp/register-local", {}, "hay_worker_" + "0".repeat(64)),
    ];
    logger.info("answers " + JSON.stringify(answers));
    logger.info("token " + process.env.HAY_API_TOKEN + " " + process.env.HAY_API_TOKEN.length);
  },
}));
"#;
    plugins
        .hay_package("hay-plugin-asking", &["mcp"], entry)
        .file("mcp/server.cjs", stdio_server("'taken over'"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-asking", json!({})).await;
    let logs =
        acme.get("plugins/hay-plugin-asking/logs").await.text().replace("\\\"", "\"").replace("\\\\", "");
    for answer in [
        r#"[200,{"success":true,"data":{"serverId":"local"}}]"#,
        r#"[200,{"success":true,"data":{"serverId":"remote"}}]"#,
        r#"[200,{"result":{"data":{"serverId":"second"}}}]"#,
        r#"[403,{"success":false,"error":"`messages.receive` needs the capability `messages`, which the plugin does not declare: name it in `capabilities`, or in `permissions.api`"}]"#,
        r#"[401,{"success":false,"error":"the request has no `Authorization: Bearer` field"#,
        r#"[401,{"success":false,"error":"the bearer token is not the one of this worker"#,
        r#"[422,{"success":false,"error":"server.serverPath"#,
    ] {
        assert!(logs.contains(answer), "{answer} in {logs}");
    }
    // The token is masked wherever people read, and opens nothing but the worker's own gate.
    assert!(logs.contains("75") && !logs.contains("hay_worker_"), "{logs}");
    assert!(logs.contains("server.serverPath") && logs.contains("server.startCommand"), "{logs}");
    until("the server", async || tools_of(&acme).await.contains(&String::from("asking__act"))).await;
    assert_eq!(text_of(acme.call_tool("asking__act", json!({})).await), "taken over");
    let problem = acme.call_tool("asking__reach", json!({})).await.expect(503).text();
    assert!(problem.contains("`mcp.example.com`, port 443, may not be reached"), "{problem}");
}
