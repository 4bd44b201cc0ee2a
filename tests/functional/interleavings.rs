//! What happens at the same time, or is left half way, ends as if it had come one after the other.

use futures::future::{join, join_all};
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{
    counting_plugin, fragile_plugin, gated, open, shut, stdio_plugin, stdio_server, text_of, unjailed, until,
    waits_for_a_gate,
};

const COUNTING: &str = "plugins/hay-plugin-counting";

async fn counting() -> (PluginFolder, TestServer, Organization) {
    let plugins = PluginFolder::new();
    counting_plugin(&plugins);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    (plugins, server, acme)
}

#[tokio::test]
async fn two_saves_at_once_are_two_revisions_and_the_later_one_serves() {
    let (_plugins, server, acme) = counting().await;
    let first = acme.enable("hay-plugin-counting", json!({ "n": 0 })).await;
    let mut revision = first["revision"].as_u64().unwrap();
    for _ in 0..4 {
        let save =
            async |n: u64| acme.put(COUNTING, &json!({ "config": { "n": n } })).await.expect(200).json();
        let answers = join(save(1), save(2)).await;
        revision += 2;
        let detail = acme.get(COUNTING).await.expect(200).json();
        assert_eq!(
            (&detail["revision"], &detail["activeRevision"], &detail["state"]),
            (&json!(revision), &json!(revision), &json!("ready")),
            "{detail:#}"
        );
        // Each answer tells of one moment, so its parts fit each other.
        for answer in [&answers.0, &answers.1] {
            let told = answer["revision"].as_u64().unwrap();
            assert!((revision - 1..=revision).contains(&told), "{answer:#}");
            let is_later = answer["config"]["n"] == detail["config"]["n"];
            assert_eq!(told == revision, is_later, "{answer:#}");
        }
        assert_eq!(
            text_of(acme.call_tool("counting__n", json!({})).await),
            detail["config"]["n"].to_string()
        );
    }
    until("the replaced workers to end", async || {
        server.admin().get("/v1/workers").await.json()["workers"].as_array().unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn saves_that_come_quickly_are_tried_together() {
    let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
    let entry = r#"
export default defineHayPlugin(({ register }) => ({
  name: "telling",
  async onInitialize() {
    console.log("initialized");
    register.config({ n: { type: "number", default: 0 } });
    await gate();
  },
  onEnable({ logger }) { logger.info("switched on"); },
  onStart({ config, logger }) { logger.info("started with " + config.get("n")); },
}));
"#;
    plugins.hay_package("hay-plugin-telling", &["config"], &(waits_for_a_gate(&gates) + entry));
    open(&gates);
    let server = gated(&plugins, &gates).await;
    let acme = server.organization("Acme").await;
    let path = "plugins/hay-plugin-telling";
    acme.enable("hay-plugin-telling", json!({ "n": 0 })).await;
    // All saves are there before a worker is ready.
    shut(&gates);
    let save = async |n: u64| acme.put(path, &json!({ "config": { "n": n } })).await.expect(200).json();
    let saves = join_all((1..=5).map(save));
    let all_there = async {
        until("all saves to be stored", async || {
            acme.get(path).await.expect(200).json()["revision"] == json!(6)
        })
        .await;
        open(&gates);
    };
    let (answers, ()) = join(saves, all_there).await;
    let detail = acme.get(path).await.expect(200).json();
    assert_eq!((&detail["revision"], &detail["activeRevision"]), (&json!(6), &json!(6)), "{detail:#}");
    assert_eq!(detail["state"], "ready", "{detail:#}");
    // Each was stored, and each answer knows what came of it.
    assert!(answers.iter().all(|answer| answer["state"] == "ready"), "{answers:#?}");
    let logs = acme.get(&format!("{path}/logs?tail=500")).await.expect(200).text();
    assert!(logs.contains(&format!("started with {}", detail["config"]["n"])), "{logs}");
    assert_eq!(logs.matches("switched on").count(), 1, "{logs}");
    let metrics = server.admin().get("/metrics").await.expect(200).text();
    let starts = metrics.lines().filter(|line| line.starts_with("hayloft_worker_starts_seconds_count"));
    let started: u64 = starts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    // The plugin was told to start once for all of them. Of the workers one was on its way already with the first of them,
    // and was given up for the one that has the last.
    assert_eq!(logs.matches("started with").count(), 2, "{logs}");
    assert_eq!((logs.matches("initialized").count(), started), (3, 3), "{logs}\n{metrics}");
}

#[tokio::test]
async fn a_save_and_a_switch_off_at_once_leave_one_clear_state() {
    let (_plugins, server, acme) = counting().await;
    for round in 0..6u64 {
        acme.enable("hay-plugin-counting", json!({ "n": round })).await;
        // A save that says nothing about it leaves a plugin off that is off.
        let insists = round % 2 == 0;
        let body = if insists {
            json!({ "enabled": true, "config": { "n": round + 100 } })
        } else {
            json!({ "config": { "n": round + 100 } })
        };
        let (saved, off) = join(acme.put(COUNTING, &body), acme.delete(COUNTING)).await;
        saved.expect(200);
        off.expect(200);
        let detail = acme.get(COUNTING).await.expect(200).json();
        assert_eq!(detail["config"]["n"], round + 100, "{detail:#}");
        if detail["enabled"] == true {
            assert!(insists, "{detail:#}");
            assert_eq!(detail["state"], "ready", "{detail:#}");
            assert_eq!(text_of(acme.call_tool("counting__n", json!({})).await), (round + 100).to_string());
        } else {
            assert_eq!(detail["state"], "disabled", "{detail:#}");
            assert!(server.processes().is_empty(), "{:?}", server.processes());
            acme.call_tool("counting__n", json!({})).await.expect(404);
        }
    }
}

#[tokio::test]
async fn a_rejected_revision_does_not_start_with_the_next_host() {
    let plugins = PluginFolder::new();
    fragile_plugin(&plugins);
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-fragile", json!({ "mode": "better" })).await;
    let rejected = acme.enable("hay-plugin-fragile", json!({ "mode": "fatal" })).await;
    assert_eq!((&rejected["revision"], &rejected["activeRevision"]), (&json!(2), &json!(1)), "{rejected:#}");
    for end in ["an orderly end", "a crash"] {
        if end == "a crash" {
            server.kill_9().await;
        }
        server.restart().await;
        assert_eq!(text_of(acme.call_tool("fragile__mode", json!({})).await), "better", "{end}");
        let detail = acme.get("plugins/hay-plugin-fragile").await.expect(200).json();
        assert_eq!(
            (&detail["revision"], &detail["activeRevision"], &detail["state"]),
            (&json!(2), &json!(1), &json!("ready")),
            "{end}: {detail:#}"
        );
        assert_eq!(detail["lastError"], rejected["lastError"], "{end}: {detail:#}");
    }
}

/// A plugin whose `onDisable` says that it began, and ends once the gate is open. Its tool tells when its process started.
fn leaving_plugin(plugins: &PluginFolder, gates: &PluginFolder) {
    let entry = r#"
export default defineHayPlugin(() => ({
  name: "leaving",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "start", inputSchema: { type: "object" } }],
      callTool: () => String(performance.timeOrigin),
    }));
  },
  async onDisable({ logger }) {
    logger.info("leaving begins");
    await gate();
    logger.info("leaving ends");
  },
}));
"#;
    plugins.hay_package("hay-plugin-leaving", &["mcp"], &(waits_for_a_gate(gates) + entry));
}

#[tokio::test]
async fn a_switch_off_that_nobody_waits_for_does_not_end_what_comes_after_it() {
    const PLUGIN: &str = "plugins/hay-plugin-leaving";
    let (plugins, gates) = (PluginFolder::new(), PluginFolder::new());
    leaving_plugin(&plugins, &gates);
    let server = gated(&plugins, &gates).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-leaving", json!({})).await;
    let said = async |what: &str| acme.get(&format!("{PLUGIN}/logs")).await.text().contains(what);

    let impatient = tokio::spawn({
        let acme = acme.clone();
        async move { acme.delete(PLUGIN).await }
    });
    until("`onDisable` to begin", async || said("leaving begins").await).await;
    // Ends the connection in the middle of the request.
    impatient.abort();
    assert!(impatient.await.is_err());

    let on = tokio::spawn({
        let acme = acme.clone();
        async move { acme.put(PLUGIN, &json!({ "enabled": true })).await.expect(200).json() }
    });
    // A host that does not wait for the hook shows the plugin as on within these looks; the hook then ends after that.
    for _ in 0..100 {
        if acme.get(PLUGIN).await.json()["enabled"] == true {
            break;
        }
    }
    open(&gates);
    until("`onDisable` to end", async || said("leaving ends").await).await;
    let on = on.await.unwrap();
    assert_eq!((&on["enabled"], &on["state"]), (&json!(true), &json!("ready")), "{on:#}");

    let start = text_of(acme.call_tool("leaving__start", json!({})).await);
    for _ in 0..50 {
        assert_eq!(text_of(acme.call_tool("leaving__start", json!({})).await), start);
        let detail = acme.get(PLUGIN).await.expect(200).json();
        assert_eq!((&detail["enabled"], &detail["state"]), (&json!(true), &json!("ready")), "{detail:#}");
    }
}

#[tokio::test]
async fn many_calls_at_once_find_a_dead_server_and_all_are_answered() {
    let plugins = PluginFolder::new();
    let mortal = "params.arguments.die ? process.exit(4) : String(performance.timeOrigin)";
    stdio_plugin(&plugins, "hay-plugin-mortal").file("server.cjs", stdio_server(mortal));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-mortal", json!({})).await;
    for _ in 0..3 {
        let died = acme.call_tool("mortal__act", json!({ "die": true })).await;
        assert_eq!(died.status, 502, "{}", died.text());
        let answers = join_all((0..24).map(|_| acme.call_tool("mortal__act", json!({})))).await;
        let starts: Vec<_> = answers.into_iter().map(text_of).collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}");
    }
    // The server ends among the calls: those that it had fail as such, the others are served by the next one.
    for _ in 0..3 {
        let calls = (0..24).map(|n| acme.call_tool("mortal__act", json!({ "die": n == 8 })));
        for answer in join_all(calls).await {
            assert!([200, 502].contains(&answer.status.as_u16()), "{}: {}", answer.status, answer.text());
        }
        text_of(acme.call_tool("mortal__act", json!({})).await);
    }
}

#[tokio::test]
async fn code_that_does_not_load_is_asked_once_however_many_look_at_it() {
    let plugins = PluginFolder::new();
    let asked = plugins.path().join("asked");
    let entry = format!(
        "import {{ appendFileSync }} from 'node:fs';\n\
         appendFileSync('{}', 'x');\n\
         throw new Error('no moon tonight');",
        asked.display()
    );
    plugins.hay_package("hay-plugin-throws", &[], &entry);
    // It counts in a file beside the plugin, which no jail would let it do.
    let server = unjailed(TestServer::builder().plugins(plugins.path())).start().await;
    let acme = server.organization("Acme").await;
    let looks = join_all((0..4).map(|_| acme.get("plugins/hay-plugin-throws"))).await;
    let again = acme.get("plugins/hay-plugin-throws").await;
    for answer in looks.into_iter().chain([again]) {
        let problems: Value = answer.expect(200).json()["problems"].clone();
        assert!(problems.to_string().contains("no moon tonight"), "{problems:#}");
    }
    assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x");
}
