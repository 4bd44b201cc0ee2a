//! Both sides together: what goes in at the endpoint comes out of the server's session, and back, untouched.

use std::sync::Arc;

use bytes::Bytes;
use hayloft_mcp::client::UpstreamCall;
use hayloft_mcp::{
    CallTool, Change, EndpointOptions, ListFailure, Principal, ServerDetails, ToolPage, ToolService,
    Upstream, names, tools_array,
};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::support::*;

/// The thinnest host: every caller shares the one session with the one server.
struct Gateway {
    upstream: Upstream,
    changes: broadcast::Sender<Change>,
}

impl ToolService for Gateway {
    type Caller = String;

    fn principal(&self, caller: &String) -> Principal {
        Principal::new(caller.as_str())
    }

    fn server_details(&self, _: &String) -> ServerDetails {
        ServerDetails::default()
    }

    async fn list_tools(&self, _: &String, _: Option<&str>) -> Result<ToolPage, ListFailure> {
        let listing =
            self.upstream.list_tools().await.map_err(|error| ListFailure::Internal(error.to_string()))?;
        let renamed: Vec<Box<RawValue>> =
            listing.tools.iter().map(|tool| tool.renamed(&names::public_name("p", tool.name()))).collect();
        Ok(ToolPage::whole(tools_array(renamed.iter().map(|tool| &**tool))))
    }

    async fn call_tool(&self, _: &String, call: CallTool) -> Outcome {
        let upstream_call = UpstreamCall {
            name: call.name.strip_prefix("p__").unwrap_or(&call.name),
            arguments: call.arguments.as_deref(),
            meta: call.meta.as_deref(),
            progress: call.progress,
            deadline: DEADLINE,
            cancelled: &call.cancelled,
        };
        Ok(self.upstream.call_tool(upstream_call).await?)
    }

    fn subscribe_changes(&self, _: &String) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

async fn gateway() -> (FakeServer, hayloft_mcp::McpEndpoint<Gateway>) {
    let (server, upstream) = open().await;
    let gateway = Gateway { upstream, changes: broadcast::Sender::new(1) };
    (server, endpoint(Arc::new(gateway), EndpointOptions::default()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// JSON as other people write it: odd numbers, escapes, spaces, keys twice.
fn json_text() -> impl Strategy<Value = String> {
    let space = prop_oneof![4 => Just(String::new()), 1 => "[ \t]{1,2}"];
    let string = prop_oneof![
        "[a-z ]{0,8}".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just(r#""\u00e9\ud83e\udd80\/""#.to_owned()),
        Just(r#""\ud800""#.to_owned()),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        Just("1.0".to_owned()),
        Just("-0".to_owned()),
        Just("1E400".to_owned()),
        Just("123456789012345678901234567890.10".to_owned()),
    ];
    let leaf = prop_oneof![string.clone(), number, Just("null".to_owned()), Just("true".to_owned())];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let key = string.clone();
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..6), space.clone())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (proptest::collection::vec((key, inner), 0..6), space.clone()).prop_map(|(members, space)| {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("{key}{space}:{value}")).collect();
                format!("{{{}}}", members.join(&format!(",{space}")))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in a result, known or not, reaches the client byte for byte.
    #[test]
    fn any_field_of_a_result_survives(content in json_text(), key in "x-[a-z]{1,8}", odd in json_text()) {
        let result = format!("{{\"content\" : {content},\"{key}\":{odd}}}");
        let answer = block_on(async {
            let (mut server, endpoint) = gateway().await;
            let client = Client::open(&endpoint, "me", "2025-11-25").await;
            let asking = client.ask(r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"p__t"}}"#);
            let answering = async {
                let request = server.expect("tools/call").await;
                server.reply(&request["id"], &result).await;
            };
            tokio::join!(asking, answering).0
        });
        prop_assert_eq!(answer, format!("{{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{result}}}"));
    }

    /// Whatever stands in a definition, known or not, reaches the client byte for byte; only the name is ours.
    #[test]
    fn any_field_of_a_definition_survives(before in json_text(), schema in json_text(), after in json_text()) {
        let definition = |name: &str| {
            format!("{{\"x-before\":{before},\"name\":\"{name}\",\"inputSchema\":{schema},\"icons\":{after}}}")
        };
        let answer = block_on(async {
            let (mut server, endpoint) = gateway().await;
            let client = Client::open(&endpoint, "me", "2025-06-18").await;
            let asking = client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
            let answering = async {
                for (index, next) in [",\"nextCursor\":\"2\"", ""].iter().enumerate() {
                    let request = server.expect("tools/list").await;
                    let page = format!("{{\"tools\":[{}]{next}}}", definition(&format!("t{index}")));
                    server.reply(&request["id"], &page).await;
                }
            };
            tokio::join!(asking, answering).0
        });
        let tools = format!("[{},{}]", definition("p__t0"), definition("p__t1"));
        prop_assert_eq!(answer, format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":{tools}}}}}"));
    }

    /// Every client starts to count at one. None ever gets the answer of another.
    #[test]
    fn equal_ids_in_many_sessions_never_meet(
        order in (2_usize..30).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        block_on(async {
            let (mut server, endpoint) = gateway().await;
            let mut asking = Vec::new();
            for n in 0..order.len() {
                // Two principals, several sessions each, the same id everywhere.
                let client = Client::open(&endpoint, ["a", "b"][n % 2], "2025-11-25").await;
                asking.push(tokio::spawn(async move {
                    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                        "params": { "name": "p__t", "arguments": { "n": n }, "_meta": { "progressToken": 1 } } });
                    client.ask(&call.to_string()).await
                }));
            }
            let mut requests = Vec::new();
            for _ in 0..order.len() {
                requests.push(server.expect("tools/call").await);
            }
            for place in order {
                let params = &requests[place]["params"];
                let report = json!({ "progressToken": params["_meta"]["progressToken"], "progress": params["arguments"]["n"] });
                let report = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": report });
                server.write(&report.to_string()).await;
                server.reply(&requests[place]["id"], &params["arguments"].to_string()).await;
            }
            for (n, answer) in asking.into_iter().enumerate() {
                let report = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{n}}}}}"#);
                let result = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"n":{n}}}}}"#);
                let expected = format!("event: message\ndata: {report}\n\nevent: message\ndata: {result}\n\n");
                assert_eq!(answer.await.unwrap(), expected);
            }
        });
    }
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_its_server_and_nowhere_else() {
    let (mut server, endpoint) = gateway().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"p__t"}}"#;
    let mut asking = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = Arc::new(Client::open(&endpoint, "me", "2025-11-25").await);
        clients.push(Arc::clone(&client));
        asking.push(tokio::spawn(async move { client.ask(call).await }));
    }
    let first = server.expect("tools/call").await;
    let second = server.expect("tools/call").await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(clients[0].post(cancel).await.status(), 202);
    let told = server.expect("notifications/cancelled").await;
    assert_eq!(told["params"]["requestId"], first["id"]);
    server.reply(&second["id"], "{}").await;
    assert_eq!(asking.remove(0).await.unwrap(), "");
    assert_eq!(asking.remove(0).await.unwrap(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

#[tokio::test]
async fn a_large_result_is_handed_on_whole() {
    let (mut server, endpoint) = gateway().await;
    let client = Client::open(&endpoint, "me", "2025-11-25").await;
    let result = json!({ "content": [{ "type": "text", "text": "x".repeat(3_000_000) }] }).to_string();
    let asking = client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"p__t"}}"#);
    let answering = async {
        let request = server.expect("tools/call").await;
        server.reply(&request["id"], &result).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let size = http_body::Body::size_hint(answer.body()).exact();
    let body: Bytes = text(answer).await.into();
    assert_eq!(size, Some(body.len() as u64));
    assert_eq!(body, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
}
