//! A plugin that leaks memory is replaced between calls, and nobody who calls it notices.

use std::fs;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{mcp_plugin, text_of, until};

/// Each call of `leak` keeps 24 MiB for ever, and takes so long that memory, which is looked at once a second, is far from
/// the hard limit when it is seen to be beyond the soft one. `wait` is a call that takes long; it outlasts the
/// replacement, and the test fails if it does not.
const LEAKING: &str = r#"{
  listTools: () => ["leak", "wait"].map((name) => ({ name, inputSchema: { type: "object" } })),
  callTool: async (name) => {
    if (name === "wait") {
      ctx.logger.info("waiting");
      await new Promise((resolve) => setTimeout(resolve, 15_000));
      return "in peace";
    }
    globalThis.held ??= [];
    globalThis.held.push(Buffer.alloc(24 << 20, 1));
    await new Promise((resolve) => setTimeout(resolve, 250));
    return String(globalThis.held.length);
  },
}"#;

/// A server that replaces the plugin's worker for its memory soon, and an organization that has it switched on.
async fn leaking(plugins: &PluginFolder) -> (TestServer, Organization) {
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_SOFT_MEMORY", "200MiB")
        .environment("HAYLOFT_LIMITS_RECYCLE_PAUSE", "1s")
        // Shorter than the call that is in flight meanwhile.
        .environment("HAYLOFT_LIMITS_DRAIN", "1s")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-leaking", json!({})).await;
    (server, acme)
}

#[tokio::test]
async fn a_leaking_worker_is_replaced_between_calls() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-leaking", LEAKING);
    let (server, acme) = leaking(&plugins).await;
    let workers = async || -> Vec<Value> {
        let listed = server.admin().get("/v1/workers").await.expect(200).json();
        listed["workers"].as_array().unwrap().clone()
    };
    assert_eq!(text_of(acme.call_tool("leaking__leak", json!({})).await), "1");
    let [first] = &workers().await[..] else { panic!("one worker") };
    let first = first["workerId"].clone();

    let waiting = tokio::spawn({
        let acme = acme.clone();
        async move { text_of(acme.call_tool("leaking__wait", json!({})).await) }
    });
    until("the call to be in flight", async || {
        acme.get("plugins/hay-plugin-leaking/logs").await.text().contains("waiting\"")
    })
    .await;
    // It leaks, and every single call is answered, by the one or by the other.
    let mut answers = Vec::new();
    until("a fresh worker", async || {
        let answer = text_of(acme.call_tool("leaking__leak", json!({})).await);
        answers.push(answer.parse::<u32>().unwrap());
        workers().await.iter().any(|worker| worker["recycleReason"].is_string())
    })
    .await;
    assert!(answers.iter().any(|held| *held > 5), "{answers:?}");
    let all = workers().await;
    let fresh = all.iter().find(|worker| worker["recycleReason"].is_string()).unwrap();
    assert_ne!(fresh["workerId"], first);
    assert!(!waiting.is_finished(), "it took longer than the call that it shall not cut off");
    let reason = fresh["recycleReason"].as_str().unwrap();
    assert!(reason.contains("is to be replaced beyond 200MiB"), "{reason}");
    assert!(fresh["throttled"].is_boolean(), "{fresh:#}");
    let old = all.iter().find(|worker| worker["workerId"] == first).unwrap();
    assert!(old["cpuSeconds"].as_f64().unwrap() > 0.05, "{old:#}");
    assert!(old["rssBytes"].as_u64().unwrap() > 100 << 20, "{old:#}");

    assert_eq!(waiting.await.unwrap(), "in peace", "the call in flight was not cut off");
    until("the leaking one is gone", async || {
        workers().await.iter().all(|worker| worker["workerId"] != first)
    })
    .await;
    let log = acme.get("plugins/hay-plugin-leaking/logs").await.text();
    assert!(log.contains("the worker is being replaced: it holds"), "{log}");

    let metrics = server.admin().get("/metrics").await.expect(200).text();
    let figure = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let line = line.unwrap_or_else(|| panic!("no `{name}` in {metrics}"));
        assert!(line.contains("plugin=\"hay-plugin-leaking\"") && !line.contains("org_"), "{line}");
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert!(figure("hayloft_worker_cpu_seconds") > 0.1);
    assert!(figure("hayloft_worker_memory_bytes") > 1e6);
}

#[tokio::test]
async fn one_that_must_be_alone_is_replaced_between_calls_too() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-leaking", LEAKING);
    let manifest = plugins.path().join("hay-plugin-leaking/package.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    text["hay-plugin"]["updateStrategy"] = "recreate".into();
    fs::write(&manifest, text.to_string()).unwrap();
    let (_server, acme) = leaking(&plugins).await;
    let log = async || acme.get("plugins/hay-plugin-leaking/logs").await.text();
    let leak = async || text_of(acme.call_tool("leaking__leak", json!({})).await);
    let waiting = tokio::spawn({
        let acme = acme.clone();
        async move { text_of(acme.call_tool("leaking__wait", json!({})).await) }
    });
    until("the call to be in flight", async || log().await.contains("waiting\"")).await;
    // Beyond the soft limit, and far from the hard one.
    for held in 1..=12 {
        assert_eq!(leak().await, held.to_string());
    }
    assert!(!waiting.is_finished(), "it took longer than the call that it shall not cut off");
    assert_eq!(waiting.await.unwrap(), "in peace", "the call in flight was not cut off");
    until("the replacement", async || log().await.contains("the worker is being replaced: it holds")).await;
    assert_eq!(leak().await, "1");
}
