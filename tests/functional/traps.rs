//! What other gateways fell into, found by counting and never by a clock: calls that are lost among equal ids, processes
//! and sessions per client, rows that are written per call, messages per call that nobody asked for, bodies that change on the way.

use std::time::Duration;

use futures::future::join_all;
use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Lock, counting_plugin, mcp_plugin, stdio_plugin, stdio_server, text_of};

/// How many clients there are at once.
const CLIENTS: usize = 20;

/// How long anything may take that waits for nothing but the machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tool that answers nobody before everybody has called.
const MEETING: &str = r#"(() => {
  const waiting = [];
  return {
    listTools: () => [{ name: "meet", inputSchema: { type: "object" } }],
    callTool: (name, { count, label }) => new Promise((resolve) => {
      waiting.push(() => resolve(String(label)));
      if (waiting.length === count) for (const go of waiting.splice(0).reverse()) go();
    }),
  };
})()"#;

#[tokio::test]
async fn equal_ids_of_many_sessions_each_get_their_own_answer() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-meeting", MEETING);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-meeting", json!({})).await;
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| acme.mcp()).collect();
    for client in &mut clients {
        client.open().await;
    }
    // All of them wait under the same id at the same moment, and are answered in the opposite order.
    let calls = clients.iter().enumerate().map(async |(label, client)| {
        let arguments = json!({ "count": CLIENTS, "label": label });
        let answer = client
            .request_as(&json!(1), "tools/call", json!({ "name": "meeting__meet", "arguments": arguments }))
            .await;
        answer.result()["content"][0]["text"].clone()
    });
    let expected: Vec<_> = (0..CLIENTS).map(|label| json!(label.to_string())).collect();
    assert_eq!(join_all(calls).await, expected);
}

#[tokio::test]
async fn clients_share_one_process_one_session_and_cost_one_message_a_call() {
    let plugins = PluginFolder::new();
    // Tells every method that it was asked by, and how often.
    let server_text = stdio_server("JSON.stringify(globalThis.asked)").replace(
        "const { id, method, params } = JSON.parse(text.slice(0, end));",
        "const { id, method, params } = JSON.parse(text.slice(0, end));\n\
         globalThis.asked ??= {}; globalThis.asked[method] = (globalThis.asked[method] ?? 0) + 1;",
    );
    stdio_plugin(&plugins, "hay-plugin-counted").file("server.cjs", server_text);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-counted", json!({})).await;
    let asked = async || -> Value {
        let result = acme.call_tool("counted__act", json!({})).await.expect(200).json();
        serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
    };
    let (before, processes) = (asked().await, server.processes().len());
    for number in 0..CLIENTS {
        let mut client = acme.mcp();
        client.open().await;
        client.tool_names().await;
        for _ in 0..5 {
            client.call_tool("counted__act", json!({})).await.result();
        }
        // Every second one leaves without a word.
        if number % 2 == 0 {
            client.end().await;
        }
    }
    let after = asked().await;
    assert_eq!(server.processes().len(), processes, "no process per client");
    let mut expected = before.clone();
    expected["tools/call"] = json!(before["tools/call"].as_u64().unwrap() + 5 * CLIENTS as u64 + 1);
    assert_eq!(after, expected, "one session for all, and one message for each call");
    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 1, "{workers:#}");
}

#[tokio::test]
async fn bytes_pass_as_they_are_in_both_directions() {
    let plugins = PluginFolder::new();
    // Answers with the very text of the arguments that it read, inside a result of odd spelling.
    let server_text = stdio_server("0").replace(
        "if (id !== undefined)",
        "if (method === 'tools/call') {\n\
           const line = text.slice(0, end);\n\
           const raw = line.slice(line.indexOf('\"arguments\":') + 12, line.lastIndexOf('}}'));\n\
           process.stdout.write(`{\"jsonrpc\":\"2.0\",\"id\":${id},\"result\":{\"x-odd\" : [1.0,1E+2, 12345678901234567890123, 1e400],\"\\\\u0078\":\"\\\\/\",\"content\":[],\"said\":${JSON.stringify(raw)}}}\\n`);\n\
         } else if (id !== undefined)",
    );
    stdio_plugin(&plugins, "hay-plugin-raw").file("server.cjs", server_text);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-raw", json!({})).await;
    let sent = r#"{"n":1.0,"big":98765432109876543210,"s":"\u0041\/"}"#;
    let odd = r#"{"x-odd" : [1.0,1E+2, 12345678901234567890123, 1e400],"\u0078":"\/","content":[],"said":"#;
    let said = serde_json::to_string(sent).unwrap();

    let body = format!(r#"{{"arguments":{sent}}}"#);
    let headers = [("content-type", "application/json")];
    let path = acme.path("tools/raw__act/call");
    let rest = acme.api.send(&Method::POST, &path, &headers, body).await.expect(200).text();
    assert!(rest.starts_with(odd) && rest.contains(&said), "{rest}");

    // Numbers that no double holds, and one that is none at all to many readers.
    let procedure = format!(r#"{{"toolName":"raw__act","arguments":{sent}}}"#);
    let headers = [("content-type", "application/json"), ("x-organization-id", acme.id.as_str())];
    let path = "/v1/plugins.invokeTool";
    let trpc = acme.api.send(&Method::POST, path, &headers, procedure.clone()).await.expect(200).text();
    assert!(
        trpc.starts_with(r#"{"result":{"data":"#) && trpc.contains(odd) && trpc.contains(&said),
        "{trpc}"
    );
    let batch = format!(r#"{{"0":{procedure},"1":{procedure}}}"#);
    let path = "/v1/plugins.invokeTool,plugins.invokeTool?batch=1";
    let trpc = acme.api.send(&Method::POST, path, &headers, batch).await.expect(200).text();
    assert_eq!(trpc.matches(odd).count(), 2, "{trpc}");

    let mut client = acme.mcp();
    client.open().await;
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"raw__act","arguments":{sent}}}}}"#
    );
    let mcp = client.post_raw(call, &[]).await.text();
    assert!(mcp.contains(odd) && mcp.contains(&said), "{mcp}");
}

#[tokio::test]
async fn no_answer_to_a_read_or_a_call_waits_for_a_row_to_be_written() {
    let plugins = PluginFolder::new();
    counting_plugin(&plugins);
    let routed = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({ register }) => ({ name: 'routed',\n\
           onInitialize() { register.route('GET', '/', (_request, response) => response.send('here')); } }));";
    plugins.hay_package("hay-plugin-routed", &["routes"], routed);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-routed", json!({})).await;
    let path = "plugins/hay-plugin-counting";
    acme.enable("hay-plugin-counting", json!({ "n": 1 })).await;
    let mut client = acme.mcp();
    client.open().await;
    client.call_tool("counting__n", json!({})).await.result();
    let lock = Lock::of(&server);
    let mut save = tokio::spawn({
        let acme = acme.clone();
        async move { acme.put(path, &json!({ "config": { "n": 2 } })).await }
    });
    let answers = async {
        for _ in 0..CLIENTS {
            for read in ["tools", "plugins", path] {
                acme.get(read).await.expect(200);
            }
            assert_eq!(text_of(acme.call_tool("counting__n", json!({})).await), "1");
            let routed = acme.route(&Method::GET, "hay-plugin-routed", "/", &[], "").await;
            assert_eq!(routed.expect(200).text(), "here");
            assert_eq!(client.tool_names().await, ["counting__n"]);
            let answer = client.call_tool("counting__n", json!({})).await;
            assert_eq!(answer.result()["content"][0]["text"], "1");
        }
    };
    // What waited for the writer would wait for ever.
    tokio::time::timeout(PATIENCE, answers).await.expect("answers while nobody can write");
    // A save does wait for it.
    assert!(!save.is_finished(), "{:?}", (&mut save).await);
    drop(lock);
    save.await.unwrap().expect(200);
    assert_eq!(text_of(acme.call_tool("counting__n", json!({})).await), "2");
}
