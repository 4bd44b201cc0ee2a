//! How a plugin is, and how much it was used, is told at once and by nobody's leave: not even a worker that does nothing
//! but compute holds the answer up.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{examples, hayloft, mcp_plugin, one_tool, unjailed, until};

async fn health(organization: &Organization, plugin: &str) -> Value {
    organization.get(&format!("plugins/{plugin}/health")).await.expect(200).json()
}

async fn workers(server: &TestServer) -> Vec<Value> {
    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    workers["workers"].as_array().unwrap().clone()
}

/// A file that a plugin waits for without ever giving its event loop back.
fn blocked_until(file: &std::path::Path) -> String {
    format!("const {{ existsSync }} = await import('node:fs'); while (!existsSync({file:?}));")
}

#[tokio::test]
async fn a_start_that_hangs_does_not_hold_the_answer_up() {
    let (plugins, folder) = (PluginFolder::new(), TempDir::new().unwrap());
    let file = folder.path().join("go");
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({{ name: 'x', async onStart() {{ {} }} }}));",
        blocked_until(&file)
    );
    plugins.hay_package("hay-plugin-hangs", &["mcp"], &entry);
    let builder = unjailed(TestServer::builder().plugins(plugins.path()));
    let server = builder.environment("HAYLOFT_LIMITS_SAVE_ANSWER", "100ms").start().await;
    let acme = server.organization("Acme").await;
    assert_eq!(health(&acme, "hay-plugin-hangs").await["status"], "unconfigured");

    acme.put("plugins/hay-plugin-hangs", &json!({ "enabled": true })).await.expect(202);
    // The hook runs until the file is there, so every answer before that came while it ran.
    until("the start", async || workers(&server).await.iter().any(|worker| worker["workerState"] == "bound"))
        .await;
    let during = health(&acme, "hay-plugin-hangs").await;
    assert_eq!((&during["status"], &during["success"]), (&json!("unhealthy"), &json!(false)), "{during}");
    assert!(during["message"].as_str().unwrap().contains("being started"), "{during}");
    assert_eq!(during["error"], during["message"]);
    assert!(during["testedAt"].is_string());

    std::fs::write(&file, "").unwrap();
    until("its health", async || health(&acme, "hay-plugin-hangs").await["status"] == "healthy").await;
}

#[tokio::test]
async fn a_blocked_event_loop_is_told_counted_and_over_when_it_turns_again() {
    let (plugins, folder) = (PluginFolder::new(), TempDir::new().unwrap());
    let file = folder.path().join("go");
    mcp_plugin(&plugins, "hay-plugin-blocks", &one_tool(&format!("{} return 'done';", blocked_until(&file))));
    let builder = unjailed(TestServer::builder().plugins(plugins.path()));
    let builder =
        builder.environment("HAYLOFT_LIMITS_PING", "50ms").environment("HAYLOFT_LIMITS_PONG", "200ms");
    let server = builder.start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-blocks", json!({})).await;
    assert_eq!(health(&acme, "hay-plugin-blocks").await["status"], "healthy");
    until("a sample", async || workers(&server).await[0]["eventLoopDelay"].is_number()).await;
    assert_eq!(workers(&server).await[0]["eventLoopStalls"], 0);

    let call = tokio::spawn({
        let acme = acme.clone();
        async move { acme.call_tool("blocks__act", json!({})).await }
    });
    until("the stall", async || health(&acme, "hay-plugin-blocks").await["status"] == "unhealthy").await;
    let during = health(&acme, "hay-plugin-blocks").await;
    assert!(during["message"].as_str().unwrap().contains("event loop"), "{during}");
    assert!(!call.is_finished());

    std::fs::write(&file, "").unwrap();
    call.await.unwrap().expect(200);
    until("the end of it", async || health(&acme, "hay-plugin-blocks").await["status"] == "healthy").await;
    let worker = workers(&server).await.remove(0);
    assert_eq!(worker["eventLoopStalls"], 1, "{worker:#}");
    let metrics = server.admin().get("/metrics").await.text();
    let stalls = "hayloft_worker_event_loop_stalls_total{plugin=\"hay-plugin-blocks\"} 1";
    assert!(metrics.contains(stalls), "{metrics}");
    assert!(metrics.contains("hayloft_worker_event_loop_delay_seconds_count{plugin=\"hay-plugin-blocks\"}"));
}

#[tokio::test]
async fn asking_starts_nothing_and_the_command_line_tells_it_too() {
    let builder = TestServer::builder().plugins(examples()).environment("HAYLOFT_LIMITS_IDLE", "200ms");
    let server = builder.start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-hello-tool", json!({})).await;
    // Asking does not keep it from being idle either.
    until("the idle worker to stop", async || {
        assert_eq!(health(&acme, "hay-plugin-hello-tool").await["status"], "healthy");
        workers(&server).await.is_empty()
    })
    .await;
    assert_eq!(health(&acme, "hay-plugin-hello-tool").await["status"], "healthy");
    assert!(workers(&server).await.is_empty());

    let url = server.url();
    let told = |plugin: &str| {
        let arguments =
            ["plugin", "health", plugin, "--org", &acme.id, "--url", &url, "--token", server.admin_token()];
        let output = hayloft(&arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = told("hay-plugin-hello-tool");
    assert!(code == Some(0) && text.starts_with("healthy: "), "{code:?} {text}");
    let (code, text) = told("hay-plugin-everything");
    assert!(code == Some(1) && text.starts_with("unconfigured: "), "{code:?} {text}");
    acme.get("plugins/hay-plugin-nobody/health").await.expect(404);
}

#[tokio::test]
async fn what_was_called_is_counted_for_its_organization_alone() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-counted", &one_tool("if (args.exit) process.exit(1); return 'x';"));
    let server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-counted", json!({})).await;
    two.enable("hay-plugin-counted", json!({})).await;
    for _ in 0..3 {
        one.call_tool("counted__act", json!({})).await.expect(200);
    }
    one.call_tool("counted__act", json!({ "exit": true })).await.expect(502);
    let of = async |organization: &Organization| {
        organization.get("plugins/hay-plugin-counted/statistics").await.expect(200).json()
    };
    until("the calls to be counted", async || of(&one).await["totalInvocations"] == 4).await;
    let statistics = of(&one).await;
    assert_eq!(statistics["errorRate"], 0.25, "{statistics:#}");
    assert!(statistics["averageLatency"].as_f64().unwrap() > 0.0);
    assert_eq!(statistics["activeInstances"], 0, "it has crashed: {statistics:#}");
    assert_eq!(statistics["tools"][0]["tool"], "act");

    let others = of(&two).await;
    assert_eq!((&others["totalInvocations"], &others["activeInstances"]), (&json!(0), &json!(1)));
}
