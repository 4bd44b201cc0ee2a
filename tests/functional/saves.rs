//! What becomes of saved settings that do not come to serve, or not before the host ends.

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{gated, open, text_of, until, waits_for_a_gate};

const CHOOSY: &str = "plugins/hay-plugin-choosy";

/// A plugin whose `mode` decides how far a worker comes. Its tool tells the mode that serves.
fn choosy(plugins: &PluginFolder, gates: &PluginFolder) {
    let entry = r#"
export default defineHayPlugin(({ register }) => ({
  name: "choosy",
  onInitialize() { register.config({ mode: { type: "string", default: "one" } }); },
  onEnable({ logger }) { logger.info("switched on"); },
  async onValidateAuth({ config, logger }) {
    if (config.get("mode") === "exits") process.exit(5);
    if (config.get("mode") === "waits") {
      logger.info("validating");
      await gate();
    }
    return true;
  },
  async onStart({ config, mcp }) {
    const mode = config.get("mode");
    if (mode === "unstartable") throw new Error("will not start");
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "mode", inputSchema: { type: "object" } }],
      callTool: () => mode,
    }));
  },
}));
"#;
    plugins.hay_package("hay-plugin-choosy", &["config", "mcp"], &(waits_for_a_gate(gates) + entry));
}

/// The plugin, in the mode that works.
struct Choosy {
    acme: Organization,
    _server: TestServer,
    _folders: [PluginFolder; 2],
}

impl Choosy {
    async fn serving() -> Self {
        let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
        choosy(&plugins, &gates);
        let server = gated(&plugins, &gates).await;
        let acme = server.organization("Acme").await;
        acme.enable("hay-plugin-choosy", json!({})).await;
        Self { acme, _server: server, _folders: [plugins, gates] }
    }
}

async fn detail(acme: &Organization) -> Value {
    acme.get(CHOOSY).await.expect(200).json()
}

async fn mode(acme: &Organization) -> String {
    text_of(acme.call_tool("choosy__mode", json!({})).await)
}

/// Begins a save that is being tried when this returns, and goes on as long as the gate is shut.
async fn begin_save(acme: &Organization) {
    let body = json!({ "enabled": true, "config": { "mode": "waits" } }).to_string();
    let request = acme.api.request(
        &http::Method::PUT,
        &acme.path(CHOOSY),
        &[("content-type", "application/json")],
        body,
    );
    let http = acme.api.http().clone();
    tokio::spawn(async move { http.try_send(request).await });
    until("the trial to begin", async || {
        let logs = acme.get(&format!("{CHOOSY}/logs")).await;
        logs.status == 200 && logs.text().contains("validating")
    })
    .await;
}

#[tokio::test]
async fn a_save_that_was_cut_off_is_tried_by_the_next_host() {
    for end in ["a crash", "an orderly end"] {
        let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
        choosy(&plugins, &gates);
        let mut server = gated(&plugins, &gates).await;
        server.configure(|server| server.environment("HAYLOFT_LIMITS_DRAIN", "1s"));
        server.restart().await;
        let acme = server.organization("Acme").await;
        acme.enable("hay-plugin-choosy", json!({})).await;
        begin_save(&acme).await;
        match end {
            "a crash" => server.kill_9().await,
            _ => server.terminate().await,
        };
        open(&gates);
        server.restart().await;
        until("the saved settings to serve", async || detail(&acme).await["activeRevision"] == 2).await;
        assert_eq!(mode(&acme).await, "waits", "{end}");
        let detail = detail(&acme).await;
        assert_eq!(
            (&detail["state"], &detail["lastError"], &detail["auth"]["valid"]),
            (&json!("ready"), &Value::Null, &json!(true)),
            "{end}: {detail:#}"
        );
    }
}

#[tokio::test]
async fn a_switch_on_that_was_cut_off_is_finished_by_the_next_host() {
    let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
    choosy(&plugins, &gates);
    let mut server = gated(&plugins, &gates).await;
    let acme = server.organization("Acme").await;
    begin_save(&acme).await;
    server.kill_9().await;
    open(&gates);
    server.restart().await;
    until("the plugin to serve", async || detail(&acme).await["state"] == "ready").await;
    let logs = acme.get(&format!("{CHOOSY}/logs")).await.expect(200).text();
    assert!(logs.contains("switched on"), "{logs}");
    let detail = detail(&acme).await;
    assert_eq!(detail["activeRevision"], detail["revision"], "{detail:#}");
}

#[tokio::test]
async fn what_is_known_of_what_serves_is_not_said_of_what_was_rejected() {
    let choosy = Choosy::serving().await;
    let acme = &choosy.acme;
    for (revision, bad, why) in [(2, "exits", "exit code 5"), (3, "unstartable", "will not start")] {
        let saved = acme.enable("hay-plugin-choosy", json!({ "mode": bad })).await;
        assert_eq!(
            (&saved["revision"], &saved["activeRevision"], &saved["state"], &saved["auth"]["valid"]),
            (&json!(revision), &json!(1), &json!("ready"), &json!(true)),
            "{saved:#}"
        );
        assert!(saved["lastError"].as_str().unwrap().contains(why), "{saved:#}");
        assert_eq!(mode(acme).await, "one");
        let health = acme.get(&format!("{CHOOSY}/health")).await.expect(200).json();
        assert_eq!(health["status"], "healthy", "{health:#}");
    }
}

#[tokio::test]
async fn what_was_rejected_while_nothing_ran_is_told_and_the_next_call_is_answered() {
    let choosy = Choosy::serving().await;
    let acme = &choosy.acme;
    for (bad, why) in [("exits", "exit code 5"), ("unstartable", "will not start")] {
        acme.post(&format!("{CHOOSY}/stop"), &json!({})).await.expect(200);
        let saved = acme.enable("hay-plugin-choosy", json!({ "mode": bad })).await;
        assert_eq!((&saved["activeRevision"], &saved["state"]), (&json!(1), &json!("stopped")), "{saved:#}");
        assert!(saved["lastError"].as_str().unwrap().contains(why), "{saved:#}");
        let health = acme.get(&format!("{CHOOSY}/health")).await.expect(200).json();
        assert_eq!(health["status"], "healthy", "{health:#}");
        assert_eq!(mode(acme).await, "one");
        // Whoever looks later reads still why the settings that are shown are not those that serve.
        let detail = detail(acme).await;
        assert_eq!((&detail["state"], &detail["lastError"]), (&json!("ready"), &saved["lastError"]));
    }
    let better = acme.enable("hay-plugin-choosy", json!({ "mode": "two" })).await;
    assert_eq!((&better["activeRevision"], &better["lastError"]), (&json!(4), &Value::Null), "{better:#}");
    assert_eq!(mode(acme).await, "two");
}
