//! Broken and hostile plugins: each gets an error of the right kind and leaves nothing behind.

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{listed, mcp_plugin, one_tool, stdio_plugin, stdio_server, until};

async fn problems_of_enabling(server: &TestServer, plugin: &str) -> Value {
    let acme = server.organization("Acme").await;
    let answer = acme.put(&format!("plugins/{plugin}"), &json!({ "enabled": true })).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let detail = acme.get(&format!("plugins/{plugin}")).await.expect(200).json();
    assert_eq!(detail["enabled"], false);
    answer.json()["problems"].clone()
}

#[tokio::test]
async fn a_broken_manifest_is_listed_with_its_problems() {
    let plugins = PluginFolder::new();
    plugins.plugin("hay-plugin-torn").file("package.json", "{\n  \"hay-plugin\": {},\n  oops\n}");
    plugins
        .plugin("hay-plugin-empty")
        .manifest(&json!({ "name": "hay-plugin-empty", "version": "1.0.0", "hay-plugin": {} }));
    mcp_plugin(&plugins, "hay-plugin-fine", &one_tool("return 'ok'"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let listed = acme.get("plugins").await.expect(200).json();
    let by_id = |id: &str| {
        listed["plugins"].as_array().unwrap().iter().find(|plugin| plugin["id"] == id).unwrap().clone()
    };
    let torn = by_id("hay-plugin-torn");
    assert!(torn["problems"][0]["at"].as_str().unwrap().contains("line 3, column 3"), "{torn:#}");
    assert!(!by_id("hay-plugin-empty")["problems"].as_array().unwrap().is_empty());
    assert_eq!(by_id("hay-plugin-fine")["problems"], json!([]));

    let problems = problems_of_enabling(&server, "hay-plugin-torn").await;
    assert_eq!(problems, torn["problems"]);
    acme.enable("hay-plugin-fine", json!({})).await;
    acme.call_tool("fine__act", json!({})).await.expect(200);
}

#[tokio::test]
async fn an_unknown_plugin_is_not_found() {
    let plugins = PluginFolder::new();
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    for below in
        ["plugins/hay-plugin-none", "plugins/hay-plugin-none/logs", "plugins/hay-plugin-none/metadata"]
    {
        acme.get(below).await.expect(404);
    }
    acme.put("plugins/hay-plugin-none", &json!({ "enabled": true })).await.expect(404);
    acme.delete("plugins/hay-plugin-none").await.expect(404);
    acme.call_tool("none__act", json!({})).await.expect(404);
}

#[tokio::test]
async fn an_entry_that_throws_is_a_problem_with_its_words() {
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-throws", &["mcp"], "throw new Error('no moon tonight');");
    plugins.hay_package("hay-plugin-syntax", &["mcp"], "export default {{{");
    plugins.hay_package("hay-plugin-nothing", &["mcp"], "export const other = 1;");
    let server = TestServer::start(plugins.path()).await;
    for (plugin, words) in [
        ("hay-plugin-throws", "no moon tonight"),
        ("hay-plugin-syntax", "index.js"),
        ("hay-plugin-nothing", "default"),
    ] {
        let problems = problems_of_enabling(&server, plugin).await.to_string();
        assert!(problems.contains(words), "{plugin}: {problems}");
    }
    assert!(server.processes().is_empty(), "{:?}", server.processes());
}

#[tokio::test]
async fn an_entry_that_ends_its_process_is_told_as_what_it_was_doing() {
    const WHERE: &str = "export default () => ({ name: 'x', onInitialize() { CODE } });";
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-loads", &["mcp"], "\nprocess.exit(3);");
    let exits = WHERE.replace("CODE", "process.exit(4);");
    plugins.hay_package("hay-plugin-initializes", &["mcp"], &exits);
    plugins.hay_package("hay-plugin-kills", &["mcp"], "process.kill(process.pid, 'SIGKILL');");
    let server = TestServer::start(plugins.path()).await;
    for (plugin, words, others) in [
        ("hay-plugin-loads", ["index.js:2", "its code ended the process with exit code 3"], "onInitialize"),
        ("hay-plugin-initializes", ["index.js:1", "its code ended the process with exit code 4"], "load"),
        // Nobody can say in which of the two.
        (
            "hay-plugin-kills",
            ["load the plugin or run its `onInitialize`", "signal 9 (SIGKILL)"],
            "exit code",
        ),
    ] {
        let problems = problems_of_enabling(&server, plugin).await;
        let told = problems
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["message"].to_string() + &problem["at"].to_string());
        let told = told.collect::<String>();
        assert!(
            words.iter().all(|word| told.contains(word)) && !told.contains(others),
            "{plugin}: {problems}"
        );
    }
    assert!(server.processes().is_empty(), "{:?}", server.processes());
}

#[tokio::test]
async fn an_initialize_that_never_returns_is_given_up() {
    let plugins = PluginFolder::new();
    let plugin = |body: &str| {
        format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
             export default defineHayPlugin(() => ({{ name: 'x', onInitialize() {{ {body} }} }}));"
        )
    };
    plugins.hay_package("hay-plugin-waits", &[], &plugin("return new Promise(() => {});"));
    plugins.hay_package("hay-plugin-spins", &[], &plugin("for (;;);"));
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_ON_INITIALIZE", "1s")
        .start()
        .await;
    for id in ["hay-plugin-waits", "hay-plugin-spins"] {
        let problems = problems_of_enabling(&server, id).await.to_string();
        assert!(problems.contains("onInitialize"), "{id}: {problems}");
    }
    assert!(server.processes().is_empty(), "{:?}", server.processes());
}

#[tokio::test]
async fn a_failing_start_degrades_and_still_serves() {
    let plugins = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({ register }) => ({\n\
           name: 'x',\n\
           onInitialize() { register.route('GET', '/here', (req, res) => res.json({ here: true })); },\n\
           async onStart(ctx) {\n\
             await ctx.mcp.startLocal('main', () => ({ listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }], callTool: () => 'ok' }));\n\
             throw new Error('no second server');\n\
           },\n\
         }));";
    plugins.hay_package("hay-plugin-half", &["mcp", "routes"], entry);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-half", json!({})).await;
    assert_eq!(detail["state"], "degraded", "{detail:#}");
    assert!(detail["lastError"].as_str().unwrap().contains("no second server"));
    let result = acme.call_tool("half__act", json!({})).await.expect(200).json();
    assert_eq!(result["content"][0]["text"], "ok");
    let here = acme.route(&http::Method::GET, "hay-plugin-half", "/here", &[], "").await.expect(200).json();
    assert_eq!(here, json!({ "here": true }));
}

#[tokio::test]
async fn one_broken_server_hides_nothing_of_another() {
    let plugins = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({\n\
           name: 'x',\n\
           async onStart(ctx) {\n\
             const broken = ctx.mcp.startLocalStdio({ id: 'broken', command: 'node', args: ['-e', 'process.exit(7)'], cwd: '.' });\n\
             await ctx.mcp.startLocal('main', () => ({ listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }], callTool: () => 'ok' }));\n\
             await broken;\n\
           },\n\
         }));";
    plugins.hay_package("hay-plugin-mixed", &["mcp"], entry);
    mcp_plugin(&plugins, "hay-plugin-other", &one_tool("return 'other'"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-mixed", json!({})).await;
    assert_eq!(detail["state"], "degraded", "{detail:#}");
    acme.enable("hay-plugin-other", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    assert_eq!(client.tool_names().await, ["mixed__act", "other__act"]);
    for name in ["mixed__act", "other__act"] {
        client.call_tool(name, json!({})).await.result();
    }
}

#[tokio::test]
async fn a_tool_that_hangs_ends_at_its_deadline() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-slow", &one_tool("await new Promise(() => {});"));
    mcp_plugin(&plugins, "hay-plugin-fine", &one_tool("return 'ok'"));
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_TOOL_CALL", "1s")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-slow", json!({})).await;
    acme.enable("hay-plugin-fine", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let slow = client.call_tool("slow__act", json!({})).await;
    assert_eq!(slow.error()["code"], -32050);
    assert_eq!(slow.error()["data"]["reason"], "timeout");
    assert!(slow.error()["message"].as_str().unwrap().ends_with("within 1s"), "{}", slow.answer);
    client.call_tool("fine__act", json!({})).await.result();
    let rest = acme.call_tool("slow__act", json!({})).await;
    assert_eq!(rest.status, 504, "{}", rest.text());
    // The worker itself is not to blame and goes on.
    let workers = server.admin().get("/v1/workers").await.json();
    assert!(
        workers["workers"].as_array().unwrap().iter().all(|worker| worker["restarts"] == 0),
        "{workers:#}"
    );
}

#[tokio::test]
async fn a_tool_of_our_refusal_and_its_own_stay_apart() {
    let plugins = PluginFolder::new();
    let tool = r#"{
      listTools: () => [{ name: "act", inputSchema: { type: "object", properties: { n: { type: "number" } }, required: ["n"] } }],
      callTool: () => { throw new Error("not today"); },
    }"#;
    mcp_plugin(&plugins, "hay-plugin-no", tool);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-no", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let refused = client.call_tool("no__act", json!({ "n": 1 })).await;
    assert_eq!(refused.result()["isError"], true);
    assert!(refused.result()["content"][0]["text"].as_str().unwrap().contains("not today"));
    let wrong = client.call_tool("no__act", json!({ "n": "one" })).await;
    assert_eq!(wrong.error()["code"], -32602);
    assert_eq!(wrong.error()["data"]["problems"][0]["at"], "arguments.n");
    let unknown = client.call_tool("no__other", json!({})).await;
    assert_eq!(unknown.error()["code"], -32602);
}

#[tokio::test]
async fn a_huge_result_is_a_clear_error_and_the_next_call_works() {
    let plugins = PluginFolder::new();
    let tool = r#"{
      listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
      callTool: (name, args) => "x".repeat(args.bytes),
    }"#;
    mcp_plugin(&plugins, "hay-plugin-huge", tool);
    stdio_plugin(&plugins, "hay-plugin-piped")
        .file("server.cjs", stdio_server("'x'.repeat(params.arguments.bytes)"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    for (plugin, tool) in [("hay-plugin-huge", "huge__act"), ("hay-plugin-piped", "piped__act")] {
        acme.enable(plugin, json!({})).await;
        listed(&acme, tool).await;
        let mut client = acme.mcp();
        client.open().await;
        let fine = client.call_tool(tool, json!({ "bytes": 1_000_000 })).await;
        assert_eq!(fine.result()["content"][0]["text"].as_str().unwrap().len(), 1_000_000);
        let huge = client.call_tool(tool, json!({ "bytes": 10_000_000 })).await.answer;
        let told = huge["result"]["isError"] == true || huge["error"]["data"]["reason"] == "too_large";
        assert!(
            told && huge.to_string().len() < 10_000,
            "{plugin}: {}",
            &huge.to_string()[..500.min(huge.to_string().len())]
        );
        let next = client.call_tool(tool, json!({ "bytes": 3 })).await;
        assert_eq!(next.result()["content"][0]["text"], "xxx", "{plugin}");
    }
}

#[tokio::test]
async fn a_worker_that_talks_nonsense_hurts_itself_only() {
    let plugins = PluginFolder::new();
    let tool = r#"{
      listTools: () => [{ name: "act", inputSchema: { type: "object" } }, { name: "lie", inputSchema: { type: "object" } }],
      callTool: async (name) => {
        if (name === "act") return "ok";
        const fs = await import("node:fs");
        fs.writeSync(3, Buffer.from("this is no frame at all, not even a long one"));
        return new Promise(() => {});
      },
    }"#;
    mcp_plugin(&plugins, "hay-plugin-liar", tool);
    mcp_plugin(&plugins, "hay-plugin-fine", &one_tool("return 'ok'"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-liar", json!({})).await;
    acme.enable("hay-plugin-fine", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let lie = client.call_tool("liar__lie", json!({})).await;
    assert_eq!(lie.error()["code"], -32050, "{:?}", lie.answer);
    client.call_tool("fine__act", json!({})).await.result();
    client.call_tool("liar__act", json!({})).await.result();
}

#[tokio::test]
async fn an_environment_name_outside_the_list_names_the_line_to_add() {
    let plugins = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({ register }) => ({ name: 'x', onInitialize() {\n\
           register.config({ key: { type: 'string', env: 'ACME_KEY' } }); } }));";
    plugins.hay_package("hay-plugin-env", &["config"], entry);
    let server = TestServer::start(plugins.path()).await;
    let problems = problems_of_enabling(&server, "hay-plugin-env").await;
    assert!(problems[0]["message"].as_str().unwrap().contains("ACME_KEY"), "{problems:#}");
    assert!(problems[0]["hint"].as_str().unwrap().contains(r#""env": ["ACME_KEY"]"#), "{problems:#}");
}

#[tokio::test]
async fn children_die_with_their_worker() {
    let plugins = PluginFolder::new();
    let tool = one_tool(
        "const { spawn } = await import('node:child_process');\n\
         const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });\n\
         child.unref();",
    );
    mcp_plugin(&plugins, "hay-plugin-parent", &tool);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-parent", json!({})).await;
    acme.call_tool("parent__act", json!({})).await.expect(200);
    let processes = server.processes();
    let child =
        processes.iter().find(|process| process.command.contains("setInterval")).expect("the child runs");
    acme.delete("plugins/hay-plugin-parent").await.expect(200);
    until("the child to end", async || !child.is_alive()).await;
}

#[tokio::test]
async fn a_servers_own_error_is_told_as_its_own() {
    let plugins = PluginFolder::new();
    let refusing = stdio_server("''").replace(
        "if (id !== undefined) process.stdout.write(",
        "if (method === 'tools/call') process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32042, message: 'pay first', data: { url: 'x' } } }) + '\\n');\n else if (id !== undefined) process.stdout.write(",
    );
    stdio_plugin(&plugins, "hay-plugin-refusing").file("server.cjs", refusing);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-refusing", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let answer = client.call_tool("refusing__act", json!({})).await;
    assert_eq!(answer.error(), &json!({ "code": -32042, "message": "pay first", "data": { "url": "x" } }));
    let rest = acme.call_tool("refusing__act", json!({})).await.expect(502);
    assert!(rest.text().contains("-32042"), "{}", rest.text());
}

#[tokio::test]
async fn a_stdio_server_that_died_is_back_with_the_next_call() {
    let plugins = PluginFolder::new();
    let mortal = "params.arguments.die ? process.exit(4) : String(performance.timeOrigin)";
    stdio_plugin(&plugins, "hay-plugin-mortal").file("server.cjs", stdio_server(mortal));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-mortal", json!({})).await;
    let mut client = acme.mcp();
    client.open().await;
    let first = client.call_tool("mortal__act", json!({})).await.result()["content"][0]["text"].clone();
    let died = client.call_tool("mortal__act", json!({ "die": true })).await;
    assert_eq!(died.error()["data"]["reason"], "crashed", "{}", died.answer);
    let second = client.call_tool("mortal__act", json!({})).await.result()["content"][0]["text"].clone();
    assert_ne!(first, second);
}
