//! No organization sees another's existence, and no token does more than its role.

use hayloft_testkit::TestServer;
use http::Method;
use serde_json::json;

use crate::support::examples;

#[tokio::test]
async fn each_organization_sees_its_own_only() {
    let server = TestServer::start(examples()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-hello-tool", json!({})).await;
    two.enable("hay-plugin-everything", json!({})).await;

    let (mut first, mut second) = (one.mcp(), two.mcp());
    first.open().await;
    second.open().await;
    assert_eq!(first.tool_names().await, ["hello_tool__hello"]);
    assert!(second.tool_names().await.iter().all(|name| name.starts_with("everything__")));

    let foreign = second.call_tool("hello_tool__hello", json!({ "name": "x" })).await;
    assert_eq!(foreign.error()["code"], -32602);
    let own = first.call_tool("hello_tool__hello", json!({ "name": "x" })).await;
    assert_eq!(own.result()["content"][0]["text"], "Hello, x!");

    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    let pids: Vec<_> = workers["workers"].as_array().unwrap().iter().map(|worker| &worker["pid"]).collect();
    assert_eq!(pids.len(), 2, "{workers:#}");
    assert_ne!(pids[0], pids[1]);
}

#[tokio::test]
async fn a_foreign_token_finds_nothing() {
    let server = TestServer::start(examples()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-hello-tool", json!({})).await;
    let nowhere = "org_00000000000000000000000000000000";
    let paths = [
        "plugins",
        "plugins/hay-plugin-hello-tool",
        "plugins/hay-plugin-hello-tool/logs",
        "plugins/hay-plugin-hello-tool/metadata",
        "tools",
        "tokens",
        "audit",
    ];
    for below in paths {
        one.get(below).await.expect(200);
        let foreign = two.api.get(&one.path(below)).await;
        let missing = two.api.get(&format!("/v1/orgs/{nowhere}/{below}")).await;
        assert_eq!(foreign.status, 404, "{below}");
        // The same words, so that nobody can tell an organization from none.
        let anonymous = |text: String| text.replace(&one.id, "X").replace(nowhere, "X");
        assert_eq!(
            without_instance(&anonymous(foreign.text())),
            without_instance(&anonymous(missing.text())),
            "{below}"
        );
    }
    for (method, below, body) in [
        (Method::PUT, "plugins/hay-plugin-hello-tool", json!({ "enabled": false })),
        (Method::DELETE, "plugins/hay-plugin-hello-tool", json!({})),
        (Method::POST, "tokens", json!({ "role": "admin" })),
        (Method::POST, "tools/hello_tool__hello/call", json!({ "arguments": { "name": "x" } })),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = two.api.send(&method, &one.path(below), &headers, body.to_string()).await;
        assert_eq!(answer.status, 404, "{method} {below}: {}", answer.text());
    }
    let still_there = one.call_tool("hello_tool__hello", json!({ "name": "x" })).await.expect(200).json();
    assert_eq!(still_there["content"][0]["text"], "Hello, x!");
}

/// A problem names each occurrence of itself; that part always differs.
fn without_instance(problem: &str) -> serde_json::Value {
    let mut problem: serde_json::Value = serde_json::from_str(problem).expect("a problem");
    problem.as_object_mut().expect("an object").remove("instance");
    problem.as_object_mut().expect("an object").remove("requestId");
    problem
}

#[tokio::test]
async fn a_role_grants_what_it_says() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-hello-tool", json!({})).await;
    let table: [(Method, &str, serde_json::Value, [u16; 4]); 8] = [
        // admin, member, agent, nobody
        (Method::GET, "plugins", json!(null), [200, 200, 403, 401]),
        (Method::GET, "plugins/hay-plugin-hello-tool/logs", json!(null), [200, 200, 403, 401]),
        (Method::PUT, "plugins/hay-plugin-hello-tool", json!({ "enabled": true }), [200, 403, 403, 401]),
        (Method::GET, "tools", json!(null), [200, 200, 200, 401]),
        (
            Method::POST,
            "tools/hello_tool__hello/call",
            json!({ "arguments": { "name": "x" } }),
            [200, 200, 200, 401],
        ),
        (Method::GET, "tokens", json!(null), [200, 403, 403, 401]),
        (Method::POST, "tokens", json!({ "role": "agent" }), [201, 403, 403, 401]),
        (Method::GET, "audit", json!(null), [200, 403, 403, 401]),
    ];
    let tokens = [
        Some(acme.token.clone()),
        Some(acme.create_token("member").await),
        Some(acme.create_token("agent").await),
        None,
    ];
    for (method, below, body, expected) in table {
        for (token, status) in tokens.iter().zip(expected) {
            let api = server.api(token.as_deref());
            let (headers, body): (&[_], _) = if body.is_null() {
                (&[], String::new())
            } else {
                (&[("content-type", "application/json")], body.to_string())
            };
            let answer = api.send(&method, &acme.path(below), headers, body).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {below}: {}", answer.text());
            if status >= 400 {
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            }
        }
    }
    for token in tokens {
        let status = if token.is_some() { 403 } else { 401 };
        let api = server.api(token.as_deref());
        assert_eq!(api.post("/v1/orgs", &json!({ "name": "x" })).await.status, status);
        assert_eq!(api.get("/v1/workers").await.status, status);
    }
}

#[tokio::test]
async fn a_revoked_token_is_nobody() {
    let server = TestServer::start(examples()).await;
    let acme = server.organization("Acme").await;
    let made = acme.post("tokens", &json!({ "role": "member" })).await.expect(201).json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let api = server.api(Some(token));
    api.get(&acme.path("plugins")).await.expect(200);
    let listed = acme.get("tokens").await.expect(200).text();
    assert!(listed.contains(id) && !listed.contains(token));
    let revoked = acme.delete(&format!("tokens/{id}")).await;
    assert!(revoked.status.is_success(), "{}", revoked.text());
    api.get(&acme.path("plugins")).await.expect(401);
}
