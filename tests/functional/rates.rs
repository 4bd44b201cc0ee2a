//! Where the operator says how fast a plugin may be called, an organization that calls one faster is told when to come
//! back, and nobody else notices.

use futures::future::join_all;
use hayloft_testkit::{PluginFolder, Response, TestServer};
use http::Method;
use serde_json::json;

use crate::support::{listed, until};

/// How many calls come at once.
const CALLS: usize = 30;

fn plugin(folder: &PluginFolder, id: &str) {
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';
         export default defineHayPlugin(({ register }) => ({
           name: 'x',
           onInitialize() { register.route('GET', '/here', (request, response) => response.send('here')); },
           async onStart({ mcp }) {
             await mcp.startLocal('main', () => ({
               listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }], callTool: () => 'here',
             }));
           },
         }));";
    folder.hay_package(id, &["mcp", "routes"], entry);
}

/// How many of them came, of answers that are all either results or the refusal.
fn came(answers: &[Response]) -> usize {
    let refused = answers.iter().filter(|answer| answer.status == 429);
    for answer in refused.clone() {
        let pause: u64 = answer.header("retry-after").expect("a pause").parse().expect("seconds");
        assert!((1..=CALLS as u64).contains(&pause), "{pause}");
        let problem = answer.json();
        assert_eq!(
            (&problem["type"], &problem["reason"]),
            (&json!("urn:hayloft:problem:too-many-calls"), &json!("too_many"))
        );
    }
    let came = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(came + refused.count(), answers.len());
    came
}

#[tokio::test]
async fn who_calls_too_fast_is_told_when_to_come_back() {
    let plugins = PluginFolder::new();
    for id in ["hay-plugin-one", "hay-plugin-two"] {
        plugin(&plugins, id);
    }
    let server = TestServer::builder()
        .plugins(plugins.path())
        .environment("HAYLOFT_LIMITS_PLUGIN_RATE", "1")
        .environment("HAYLOFT_LIMITS_PLUGIN_BURST", "5")
        .start()
        .await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    for (organization, plugin) in [(&acme, "one"), (&acme, "two"), (&other, "one")] {
        organization.enable(&format!("hay-plugin-{plugin}"), json!({})).await;
        listed(organization, &format!("{plugin}__act")).await;
    }
    let begun = std::time::Instant::now();
    let answers = join_all((0..CALLS).map(|_| acme.call_tool("one__act", json!({})))).await;
    let came = came(&answers);
    let most = 5 + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((1..=most).contains(&came) && came < CALLS, "{came} of {CALLS} came, {most} may");

    // Everything of this plugin counts together, and nothing of others.
    let mut client = acme.mcp();
    client.open().await;
    let exchanges = async {
        loop {
            let exchange = client.call_tool("one__act", json!({})).await;
            if exchange.answer["error"].is_object() {
                return exchange;
            }
        }
    };
    let exchange = exchanges.await;
    let error = exchange.error();
    assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32050), &json!("too_many")), "{error}");
    until("a webhook to be refused", async || {
        let answer = acme.route(&Method::GET, "hay-plugin-one", "/here", &[], "").await;
        answer.status == 429 && answer.header("retry-after").is_some()
    })
    .await;
    acme.call_tool("two__act", json!({})).await.expect(200);
    other.call_tool("one__act", json!({})).await.expect(200);

    // Whoever waits comes.
    until("a call to come again", async || acme.call_tool("one__act", json!({})).await.status == 200).await;
}
