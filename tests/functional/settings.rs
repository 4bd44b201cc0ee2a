//! Settings and credentials: checked whole, sealed, tried out, shown masked.

use std::path::{Path, PathBuf};

use hayloft_testkit::{PaymentService, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{examples, fragile_plugin, text_of, unjailed, until};

const MASK: &str = "••••••••";

#[tokio::test]
async fn credentials_are_validated_against_the_real_service() {
    let service = PaymentService::start();
    let server = unjailed(TestServer::builder().plugins(examples())).start().await;
    let acme = server.organization("Acme").await;
    let account = service.create_account("Acme").await;

    let wrong =
        acme.enable("hay-plugin-payments", json!({ "apiUrl": service.url(), "apiKey": "sk_wrong" })).await;
    assert_eq!(wrong["auth"]["valid"], false, "{wrong:#}");
    let right = acme.enable("hay-plugin-payments", json!({ "apiKey": account.key })).await;
    assert_eq!(right["auth"]["valid"], true, "{right:#}");
    assert_eq!(right["state"], "ready");

    // What was saved stays, masked, and the mask sent back keeps it.
    let shown = acme.get("plugins/hay-plugin-payments").await.expect(200).json();
    assert_eq!(shown["config"]["apiKey"], MASK);
    assert_eq!(shown["config"]["apiUrl"], service.url());
    let kept = acme.enable("hay-plugin-payments", json!({ "apiKey": MASK })).await;
    assert_eq!(kept["auth"]["valid"], true);

    let made = acme
        .call_tool("payments__create_payment", json!({ "amount": 1200, "currency": "EUR" }))
        .await
        .expect(200);
    assert!(!made.text().contains("\"isError\":true"), "{}", made.text());
}

#[tokio::test]
async fn the_message_of_a_failed_check_reaches_the_person() {
    let mut service = PaymentService::start();
    let (url, account) = (service.url().to_owned(), service.create_account("Acme").await);
    service.stop();
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let answer = acme.enable("hay-plugin-payments", json!({ "apiUrl": url, "apiKey": account.key })).await;
    assert_eq!(answer["auth"]["valid"], false);
    let message = answer["auth"]["error"].as_str().unwrap();
    assert!(message.contains("cannot be reached"), "{message}");
}

#[tokio::test]
async fn every_problem_comes_at_once_and_nothing_is_stored() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let body = json!({
        "enabled": true,
        "config": { "apiUrl": "ftp://x", "apiKey": 7, "colour": "red" },
        "auth": { "methodId": "jwt", "credentials": {} },
    });
    let answer = acme.put("plugins/hay-plugin-payments", &body).await.expect(422);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let places: Vec<_> = answer.json()["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["at"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        ["config.apiUrl", "config.apiKey", "config.colour", "auth.methodId"],
        "{}",
        answer.text()
    );

    let detail = acme.get("plugins/hay-plugin-payments").await.expect(200).json();
    assert_eq!((&detail["enabled"], &detail["revision"]), (&json!(false), &json!(null)));
    assert_eq!(detail["config"], json!({}));
}

#[tokio::test]
async fn a_missing_requirement_is_named_and_the_environment_can_fill_it() {
    let service = PaymentService::start();
    let account = service.create_account("Acme").await;
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-payments", json!({})).await;
    assert_eq!(detail["state"], "unconfigured", "{detail:#}");
    assert_eq!(detail["missing"][0]["field"], "apiUrl");
    assert!(detail["lastError"].as_str().unwrap().contains("apiUrl"));
    drop(server);

    let builder = TestServer::builder()
        .plugins(examples())
        .environment("PAYMENTS_API_URL", service.url())
        .environment("PAYMENTS_API_KEY", &account.key);
    let server = unjailed(builder).start().await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-payments", json!({})).await;
    assert_eq!((&detail["state"], &detail["auth"]["valid"]), (&json!("ready"), &json!(true)), "{detail:#}");
    assert_eq!(detail["auth"]["methodId"], "apiKey");
    acme.call_tool("payments__list_payments", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_webhook_is_verified_over_its_raw_bytes() {
    let service = PaymentService::start();
    let account = service.create_account("Acme").await;
    let server = unjailed(TestServer::builder().plugins(examples())).start().await;
    let acme = server.organization("Acme").await;
    let webhook =
        format!("{}/v1/plugins/hay-plugin-payments/webhook?organizationId={}", server.url(), acme.id);
    let config = json!({
        "apiUrl": service.url(), "apiKey": account.key, "webhookSecret": "whsec_canary", "webhookUrl": webhook,
    });
    let detail = acme.enable("hay-plugin-payments", config).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");

    acme.call_tool("payments__create_payment", json!({ "amount": 500, "currency": "EUR" })).await.expect(200);
    let deliveries = service.deliveries(1).await;
    assert_eq!(deliveries[0]["status"], 200, "{deliveries:?}");

    let forged = acme
        .route(
            &Method::POST,
            "hay-plugin-payments",
            "/webhook",
            &[("content-type", "application/json")],
            r#"{"type":"x"}"#,
        )
        .await;
    assert!(forged.status.is_client_error(), "{}", forged.status);
    let nobody = server.api(None).post("/v1/plugins/hay-plugin-payments/webhook", &json!({})).await;
    assert_eq!(nobody.status, 404, "{}", nobody.text());
}

#[tokio::test]
async fn a_secret_is_never_shown() {
    let service = PaymentService::start();
    let account = service.create_account("Acme").await;
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let canary = account.key.clone();
    let saved = acme
        .enable("hay-plugin-payments", json!({ "apiUrl": service.url(), "apiKey": canary }))
        .await
        .to_string();
    let mut seen = vec![saved];
    for below in [
        "plugins",
        "plugins/hay-plugin-payments",
        "plugins/hay-plugin-payments/logs",
        "plugins/hay-plugin-payments/metadata",
        "tools",
        "audit",
    ] {
        seen.push(acme.get(below).await.expect(200).text());
    }
    seen.push(server.admin().get("/v1/workers").await.expect(200).text());
    seen.push(server.admin().get("/metrics").await.expect(200).text());
    seen.push(server.stderr());
    for worker in server.processes() {
        seen.push(worker.command.clone());
        seen.push(
            String::from_utf8_lossy(
                &std::fs::read(format!("/proc/{}/environ", worker.pid)).unwrap_or_default(),
            )
            .into_owned(),
        );
    }
    for text in seen {
        assert!(!text.contains(&canary), "{text}");
    }
    assert_eq!(files_with(&server.data_folder(), &canary), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn switching_off_runs_the_hook_and_keeps_the_settings() {
    let service = PaymentService::start();
    let account = service.create_account("Acme").await;
    // Alone, since the host asks what is new to it as soon as it serves.
    let plugins = PluginFolder::new();
    plugins.link(&examples().join("payments"));
    let server = unjailed(TestServer::builder().plugins(plugins.path())).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-payments", json!({ "apiUrl": service.url(), "apiKey": account.key })).await;
    let off = acme.delete("plugins/hay-plugin-payments").await.expect(200).json();
    assert_eq!((&off["state"], &off["enabled"]), (&json!("disabled"), &json!(false)));
    // The hook's own line: the host says that it switched the plugin off whether or not there is a hook.
    let logs = acme.get("plugins/hay-plugin-payments/logs").await.expect(200).json();
    let of_hook = |line: &Value| {
        line["stream"] == "stdout"
            && line["message"] == "switched off"
            && line["meta"]["organization"] == acme.id.as_str()
    };
    assert!(logs["lines"].as_array().unwrap().iter().any(of_hook), "{logs:#}");
    assert_eq!(acme.get("tools").await.json()["tools"], json!([]));
    assert!(server.processes().is_empty(), "{:?}", server.processes());
    acme.call_tool("payments__list_payments", json!({})).await.expect(404);

    let on = acme.enable("hay-plugin-payments", json!({})).await;
    assert_eq!((&on["state"], &on["auth"]["valid"]), (&json!("ready"), &json!(true)), "{on:#}");
    acme.call_tool("payments__list_payments", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_slow_check_is_answered_before_its_verdict() {
    let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
    let entry = r#"import { existsSync, watch } from "node:fs";
import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(() => ({
  name: "slow",
  onValidateAuth: () => new Promise((resolve) => {
    const open = () => existsSync("GATES/gate") && (watcher.close(), resolve(true));
    const watcher = watch("GATES", open);
    open();
  }),
}));
"#;
    let entry = entry.replace("GATES", gates.path().to_str().unwrap());
    plugins.hay_package("hay-plugin-slow", &[], &entry);
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_SAVE_ANSWER", "100ms")
        .environment("HAYLOFT_JAIL_PATHS", gates.path().to_str().unwrap())
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let pending = acme.put("plugins/hay-plugin-slow", &json!({ "enabled": true })).await.expect(202).json();
    assert_eq!(pending["auth"], json!(null), "{pending:#}");
    until("the check to begin", async || {
        acme.get("plugins/hay-plugin-slow").await.json()["state"] == "starting"
    })
    .await;
    std::fs::write(gates.path().join("gate"), "").unwrap();
    until("the verdict", async || acme.get("plugins/hay-plugin-slow").await.json()["auth"]["valid"] == true)
        .await;
    until("the plugin to serve", async || {
        acme.get("plugins/hay-plugin-slow").await.json()["state"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn values_that_break_the_plugin_leave_the_old_ones_serving() {
    let plugins = PluginFolder::new();
    fragile_plugin(&plugins);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let mode = async || {
        acme.call_tool("fragile__mode", json!({})).await.expect(200).json()["content"][0]["text"].clone()
    };
    acme.enable("hay-plugin-fragile", json!({})).await;
    assert_eq!(mode().await, "good");
    let changed = acme.enable("hay-plugin-fragile", json!({ "mode": "better" })).await;
    assert_eq!((&changed["revision"], &changed["activeRevision"]), (&json!(2), &json!(2)), "{changed:#}");
    assert_eq!(mode().await, "better");

    let broken = acme.enable("hay-plugin-fragile", json!({ "mode": "fatal" })).await;
    assert_eq!((&broken["revision"], &broken["activeRevision"]), (&json!(3), &json!(2)), "{broken:#}");
    assert_eq!(broken["state"], "ready");
    assert!(broken["lastError"].as_str().unwrap().contains('9'), "{broken:#}");
    assert_eq!(mode().await, "better");
    // The worker that tried the values may still be ending.
    let workers =
        async || server.admin().get("/v1/workers").await.json()["workers"].as_array().unwrap().len();
    until("only one worker is left", async || workers().await == 1).await;
    assert_eq!(mode().await, "better");
}

#[tokio::test]
async fn a_secret_in_the_words_of_a_hook_is_masked() {
    const KEY: &str = "canary-4f1d3b5a9c";
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "blabbing",
  onInitialize() { register.config({ key: { type: "string", encrypted: true } }); },
  onValidateAuth({ config }) { throw new Error(`refused ${config.get("key")}`); },
  onStart({ config }) { throw new Error(`not started with ${config.get("key")}`); },
}));
"#;
    plugins.hay_package("hay-plugin-blabbing", &["config"], entry);
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let saved = acme.enable("hay-plugin-blabbing", json!({ "key": KEY })).await;
    assert_eq!((&saved["state"], &saved["auth"]["valid"]), (&json!("degraded"), &json!(false)), "{saved:#}");
    assert_eq!(saved["auth"]["error"], format!("refused {MASK}"), "{saved:#}");
    let last_error = saved["lastError"].as_str().unwrap();
    assert!(last_error.contains(&format!("not started with {MASK}")), "{last_error}");

    let mut seen = vec![saved.to_string()];
    for below in ["plugins", "plugins/hay-plugin-blabbing", "plugins/hay-plugin-blabbing/logs", "audit"] {
        seen.push(acme.get(below).await.expect(200).text());
    }
    seen.push(server.admin().get("/v1/workers").await.expect(200).text());
    seen.push(server.stderr());
    for text in seen {
        assert!(!text.contains(KEY), "{text}");
    }
    assert_eq!(files_with(&server.data_folder(), KEY), Vec::<PathBuf>::new());
    // What was only in memory so far is written when the host ends.
    server.terminate().await;
    assert_eq!(files_with(&server.data_folder(), KEY), Vec::<PathBuf>::new());
    assert!(!files_with(&server.data_folder(), "not started with").is_empty(), "the control finds nothing");
}

#[tokio::test]
async fn a_variable_that_is_gone_after_a_restart_is_missed_by_name() {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({
  name: "x",
  onInitialize() { register.config({ region: { type: "string", required: true, env: "ACME_REGION" } }); },
  onStart: ({ config, mcp }) => mcp.startLocal("main", () => ({
    listTools: () => [{ name: "region", inputSchema: { type: "object" } }],
    callTool: () => config.get("region"),
  })),
}));
"#;
    plugins.hay_package("hay-plugin-regional", &["config", "mcp"], entry).manifest(&json!({
        "name": "hay-plugin-regional",
        "version": "1.0.0",
        "type": "module",
        "hay-plugin": {
            "entry": "./index.js",
            "displayName": "Regional",
            "category": "tool",
            "capabilities": ["config", "mcp"],
            "env": ["ACME_REGION"],
        },
    }));
    let with = TestServer::builder().plugins(plugins.path()).environment("ACME_REGION", "north");
    let without = TestServer::builder().plugins(plugins.path());
    let mut server = with.clone().start().await;
    let acme = server.organization("Acme").await;
    let detail = acme.enable("hay-plugin-regional", json!({})).await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert_eq!(text_of(acme.call_tool("regional__region", json!({})).await), "north");

    server.configure(|_| without);
    server.restart().await;
    let detail = acme.get("plugins/hay-plugin-regional").await.expect(200).json();
    assert_eq!(
        (&detail["state"], &detail["missing"][0]["field"]),
        (&json!("unconfigured"), &json!("region")),
        "{detail:#}"
    );
    assert!(detail["lastError"].as_str().unwrap().contains("region"), "{detail:#}");
    let refused = acme.call_tool("regional__region", json!({})).await.expect(503);
    assert!(refused.text().contains("region`"), "{}", refused.text());

    server.configure(|_| with);
    server.restart().await;
    assert_eq!(text_of(acme.call_tool("regional__region", json!({})).await), "north");
    let detail = acme.get("plugins/hay-plugin-regional").await.expect(200).json();
    assert_eq!((&detail["state"], &detail["lastError"]), (&json!("ready"), &json!(null)), "{detail:#}");
}

/// The files below a folder in whose bytes the text stands.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}
