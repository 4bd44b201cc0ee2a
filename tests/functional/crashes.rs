//! `kill -9` of a worker and of the host in the middle of work: the truth is told, and nothing is lost or left.

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{counting_plugin, examples, hayloft, listed, mcp_plugin, text_of, until};

const COUNTING: &str = "plugins/hay-plugin-counting";

/// A server that says when a call has reached it and never answers it.
const STUCK: &str = r#"{
  listTools: () => [
    { name: "stick", inputSchema: { type: "object" } },
    { name: "answer", inputSchema: { type: "object" } },
  ],
  callTool: (name, args) => {
    if (name === "answer") return "here";
    ctx.logger.info("stuck");
    return new Promise(() => {});
  },
}"#;

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_call_fails_that_call_only() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-stuck", STUCK);
    let server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-stuck", json!({})).await;
    two.enable("hay-plugin-stuck", json!({})).await;
    // The process that answers an organization, as the host sees it.
    let pid = async |organization: &Organization| {
        organization.call_tool("stuck__answer", json!({})).await.expect(200);
        let workers = server.admin().get("/v1/workers").await.expect(200).json();
        let own = |worker: &&Value| worker["org"] == organization.id.as_str();
        let worker = workers["workers"].as_array().unwrap().iter().find(own);
        worker.unwrap_or_else(|| panic!("{workers:#}"))["pid"].as_u64().unwrap()
    };
    let before = pid(&one).await;
    let neighbour = pid(&two).await;

    let call = tokio::spawn({
        let mut client = one.mcp();
        async move {
            client.open().await;
            client.call_tool("stuck__stick", json!({})).await
        }
    });
    // The plugin's own word that the call has reached it.
    until("the call to reach the plugin", async || {
        one.get("plugins/hay-plugin-stuck/logs").await.text().contains("stuck\"")
    })
    .await;
    kill(before);
    let answer = call.await.unwrap();
    assert_eq!(answer.error()["code"], -32050, "{:?}", answer.answer);
    assert_eq!(answer.error()["data"]["reason"], "crashed");

    assert_ne!(pid(&one).await, before);
    assert_eq!(pid(&two).await, neighbour);
}

#[tokio::test]
async fn every_acknowledged_write_survives_the_host() {
    let plugins = PluginFolder::new();
    counting_plugin(&plugins);
    let mut server = TestServer::builder().plugins(examples()).plugins(plugins.path()).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-hello-tool", json!({})).await;
    acme.enable("hay-plugin-everything", json!({})).await;
    acme.enable("hay-plugin-counting", json!({ "n": 1 })).await;
    for tool in ["hello_tool__hello", "everything__echo", "counting__n"] {
        listed(&acme, tool).await;
    }
    let tools = acme.get("tools").await.expect(200).json();
    let token = acme.create_token("agent").await;

    // Writes go on until the moment of the kill; those that were answered must be there afterwards.
    let writer = tokio::spawn({
        let acme = acme.clone();
        async move {
            let mut acknowledged = Vec::new();
            loop {
                let request = acme.api.request(
                    &http::Method::POST,
                    &acme.path("tokens"),
                    &[("content-type", "application/json")],
                    r#"{"role":"member"}"#,
                );
                match acme.api.http().try_send(request).await {
                    Ok(answer) if answer.status == 201 => {
                        acknowledged.push(answer.json()["token"].as_str().unwrap().to_owned());
                    }
                    Ok(_) | Err(_) => return acknowledged,
                }
            }
        }
    });
    // Every save sets `n` to the revision that it makes.
    let saver = tokio::spawn({
        let acme = acme.clone();
        async move {
            for n in 2u64.. {
                let request = acme.api.request(
                    &http::Method::PUT,
                    &acme.path(COUNTING),
                    &[("content-type", "application/json")],
                    json!({ "config": { "n": n } }).to_string(),
                );
                match acme.api.http().try_send(request).await {
                    Ok(answer) => assert_eq!(answer.expect(200).json()["revision"], n),
                    Err(_) => return n - 1,
                }
            }
            unreachable!("the kill ends the loop")
        }
    });
    until("some writes of both kinds", async || {
        let tokens = acme.get("tokens").await.json()["tokens"].as_array().map_or(0, Vec::len);
        let revision = acme.get(COUNTING).await.json()["revision"].as_u64();
        tokens > 10 && revision > Some(4)
    })
    .await;
    server.kill_9().await;
    let acknowledged = writer.await.unwrap();
    let saved = saver.await.unwrap();
    assert!(acknowledged.len() > 5 && saved > 3, "{} {saved}", acknowledged.len());
    server.assert_nothing_left().await;

    server.restart().await;
    for token in acknowledged.iter().chain([&token]) {
        server.api(Some(token)).get(&acme.path("tools")).await.expect(200);
    }
    // The save that was under way may or may not have been stored; the ones before it must, and whole.
    let detail = acme.get(COUNTING).await.expect(200).json();
    let revision = detail["revision"].as_u64().unwrap();
    assert!((saved..=saved + 1).contains(&revision), "{saved} was answered: {detail:#}");
    assert_eq!(detail["config"]["n"], revision, "{detail:#}");
    // The tools are known without any worker, and the next call starts one. Only the save that was cut off is tried.
    let workers = server.admin().get("/v1/workers").await.json();
    let strangers = workers["workers"].as_array().unwrap().iter();
    let strangers: Vec<_> = strangers.filter(|worker| worker["pluginId"] != "hay-plugin-counting").collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
    assert_eq!(acme.get("tools").await.expect(200).json(), tools);
    let result = acme.call_tool("hello_tool__hello", json!({ "name": "again" })).await.expect(200).json();
    assert_eq!(result["content"][0]["text"], "Hello, again!");
    let detail = acme.get("plugins/hay-plugin-hello-tool").await.expect(200).json();
    assert_eq!((&detail["state"], &detail["enabled"]), (&json!("ready"), &json!(true)));
    until("the save that was cut off to serve", async || {
        text_of(acme.call_tool("counting__n", json!({})).await) == revision.to_string()
    })
    .await;
    assert_eq!(acme.get(COUNTING).await.json()["activeRevision"], revision);
}

#[tokio::test]
async fn a_second_host_on_the_same_data_is_refused() {
    let server = TestServer::start(examples()).await;
    let data = server.data_folder();
    let second = hayloft(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&server.pid().to_string()), "{said}");
}

fn kill(pid: u64) {
    Process::find(pid.try_into().unwrap()).expect("the worker runs").signal(Signal::KILL);
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_kills() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-stuck", STUCK);
    let mut server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-stuck", json!({})).await;
    let call = tokio::spawn(async move {
        let request = acme.api.request(
            &http::Method::POST,
            &acme.path("tools/stuck__stick/call"),
            &[("content-type", "application/json")],
            r#"{"arguments":{}}"#,
        );
        acme.api.http().try_send(request).await
    });
    until("the call to reach the plugin", async || {
        let workers = server.admin().get("/v1/workers").await.json();
        workers["workers"][0]["inFlight"].as_u64() == Some(1)
    })
    .await;
    let host = Process::find(server.pid()).expect("the server runs");
    host.signal(Signal::TERM);
    server.logged("draining").await;
    let status = server.terminate().await;
    assert_eq!(status.code(), Some(130), "{status:?}");
    server.assert_nothing_left().await;
    assert!(call.await.unwrap().is_err());
}

/// A server whose calls take as long as they are told to.
const SLOW: &str = r#"{
  listTools: () => [{ name: "take", inputSchema: { type: "object" } }],
  callTool: async (name, { milliseconds }) => {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return "done";
  },
}"#;

#[tokio::test]
async fn a_stop_in_order_waits_for_calls_and_not_for_ever() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-slow", SLOW);
    let mut server =
        TestServer::builder().plugins(plugins.path()).environment("HAYLOFT_LIMITS_DRAIN", "4s").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-slow", json!({})).await;
    let call = |milliseconds: u32| {
        let acme = acme.clone();
        tokio::spawn(async move {
            let request = acme.api.request(
                &http::Method::POST,
                &acme.path("tools/slow__take/call"),
                &[("content-type", "application/json")],
                json!({ "arguments": { "milliseconds": milliseconds } }).to_string(),
            );
            acme.api.http().try_send(request).await
        })
    };
    let (in_time, too_long) = (call(1_500), call(600_000));
    until("both calls to reach the plugin", async || {
        let workers = server.admin().get("/v1/workers").await.json();
        workers["workers"][0]["inFlight"].as_u64() == Some(2)
    })
    .await;
    let began = std::time::Instant::now();
    let status = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    let took = began.elapsed();
    assert!((1.0..30.0).contains(&took.as_secs_f64()), "{took:?}");
    server.assert_nothing_left().await;
    assert_eq!(text_of(in_time.await.unwrap().expect("an answer")), "done");
    // The other one is told, or its connection ends; it is not left waiting.
    match too_long.await.unwrap() {
        Ok(answer) => assert_ne!(answer.status, 200, "{}", answer.text()),
        Err(error) => assert!(!error.is_empty()),
    }
    // What was stored is what was true.
    server.restart().await;
    assert_eq!(acme.get("plugins/hay-plugin-slow").await.expect(200).json()["state"], "stopped");
}
