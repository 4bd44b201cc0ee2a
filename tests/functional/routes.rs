//! A plugin's own HTTP routes: the bytes pass as they are, both ways, within limits.

use bytes::Bytes;
use hayloft_testkit::{PluginFolder, TestServer};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

const ENTRY: &str = r#"import { createHash } from "node:crypto";
import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(({ register }) => ({
  name: "Routes",
  onInitialize() {
    register.route("POST", "/digest", async (req, res) => {
      const hash = createHash("sha256");
      if (req.rawBody) hash.update(req.rawBody);
      else for await (const chunk of req) hash.update(chunk);
      res.json({ digest: hash.digest("hex"), headers: req.headers });
    });
    register.route("POST", "/json", (req, res) => res.status(201).json({ got: req.body, query: req.query }));
    register.route("GET", "/items/:id", (req, res) => res.set("x-own", "1").cookie("sid", "1").send(`item ${req.params.id}`));
    register.route("GET", "/stream", async (req, res) => {
      for (const part of ["one ", "two ", "three"]) {
        res.write(part);
        await new Promise((resolve) => setImmediate(resolve));
      }
      res.end();
    });
    register.route("GET", "/hold", (req, res) => { res.write("first"); });
    register.route("GET", "/throws", () => { throw new Error("secret detail"); });
    register.route("GET", "/flood", async (req, res) => {
      const block = Buffer.alloc(1 << 20);
      for (;;) if (!res.write(block)) await new Promise((resolve) => res.once("drain", resolve));
    });
  },
}));
"#;

async fn server() -> (PluginFolder, TestServer) {
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-routes", &["routes"], ENTRY);
    plugins.hay_package("@acme/routes", &["routes"], ENTRY);
    let server = TestServer::start(plugins.path()).await;
    (plugins, server)
}

const ID: &str = "hay-plugin-routes";

#[tokio::test]
async fn a_body_arrives_byte_for_byte_whatever_its_type() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digests: Vec<String> = {
        let mut digests = Vec::new();
        for content_type in [
            "application/json",
            "application/octet-stream",
            "text/plain",
            "application/x-www-form-urlencoded",
        ] {
            let body = if content_type == "application/json" {
                Bytes::from_static(b"{\"a\" : 1.0e2}\n")
            } else {
                Bytes::from(bytes.clone())
            };
            let answer = acme
                .route(&Method::POST, ID, "/digest?x=%20y", &[("content-type", content_type)], body)
                .await;
            digests.push(answer.expect(200).json()["digest"].as_str().unwrap().to_owned());
        }
        digests
    };
    // Digests of the same bytes, made by another implementation.
    assert_eq!(digests[0], "ca4053695a2f7b942fd4c91cdba28f7ea7ade81903923df04f358a5ce2f46f9e");
    assert_eq!(digests[1], "2c4085b1ab9817526311b5a5b04451140dc922067c6922a59a77e1503918357b");
    assert_eq!(digests[2], digests[1]);
    assert_eq!(digests[3], digests[1]);
}

#[tokio::test]
async fn a_worker_sees_nothing_of_the_outside_that_it_must_not() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let sent = [
        ("authorization", "Bearer canary"),
        ("cookie", "canary=1"),
        ("x-forwarded-for", "canary"),
        ("x-real-ip", "canary"),
        ("proxy-authorization", "canary"),
        ("connection", "x-hop"),
        ("x-hop", "canary"),
        ("x-hayloft-org", "canary"),
        ("x-kept", "kept"),
    ];
    let answer = acme.route(&Method::POST, ID, "/digest?a=1&b=%2F", &sent, "x").await.expect(200);
    assert!(!answer.text().contains("canary"), "{}", answer.text());
    let headers = &answer.json()["headers"];
    assert_eq!(headers["x-kept"], "kept");
    assert_eq!(headers["x-original-url"], format!("{}/v1/plugins/{ID}/digest?a=1&b=%2F", server.url()));
}

#[tokio::test]
async fn express_manners() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let json = [("content-type", "application/json")];
    let made = acme.route(&Method::POST, ID, "/json?a=1&a=2", &json, r#"{"n":[1]}"#).await.expect(201).json();
    assert_eq!(made, json!({ "got": { "n": [1] }, "query": { "a": ["1", "2"] } }));
    let item = acme.route(&Method::GET, ID, "/items/a%20b", &[], "").await.expect(200);
    assert_eq!(
        (item.text().as_str(), item.header("x-own"), item.header("set-cookie")),
        ("item a b", Some("1"), None)
    );
    let head = acme.route(&Method::HEAD, ID, "/items/7", &[], "").await.expect(200);
    assert!(head.body.is_empty());
    acme.route(&Method::POST, ID, "/json", &json, "{").await.expect(400);
    let thrown = acme.route(&Method::GET, ID, "/throws", &[], "").await.expect(500);
    assert!(!thrown.text().contains("secret detail"), "{}", thrown.text());
    acme.route(&Method::GET, ID, "/health", &[], "").await.expect(200);
}

#[tokio::test]
async fn what_is_not_registered_is_not_reachable() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    for (method, path, status) in [
        (Method::GET, "/metadata", 404),
        (Method::POST, "/disable", 404),
        (Method::POST, "/mcp/call-tool", 404),
        (Method::GET, "/items", 404),
        (Method::GET, "/items/1/../../metadata", 400),
        (Method::GET, "/json", 405),
        (Method::PUT, "/items/1", 405),
    ] {
        let answer = acme.route(&method, ID, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
    let other = server.organization("Other").await;
    other.route(&Method::GET, ID, "/items/1", &[], "").await.expect(404);
    let scoped = acme.enable("@acme%2Froutes", json!({})).await;
    assert_eq!(scoped["id"], "@acme/routes");
    let item = acme.route(&Method::GET, "@acme%2Froutes", "/items/1", &[], "").await.expect(200);
    assert_eq!(item.text(), "item 1");
}

#[tokio::test]
async fn an_answer_streams() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let whole = acme.route(&Method::GET, ID, "/stream", &[], "").await.expect(200);
    assert_eq!(whole.text(), "one two three");

    // The first piece arrives although the answer never ends.
    let path = format!("/v1/plugins/{ID}/hold?organizationId={}", acme.id);
    let request = server.api(None).request(&Method::GET, &path, &[], "");
    let mut open = acme.api.http().open(request).await.unwrap();
    let first = open.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    drop(open);
}

#[tokio::test]
async fn too_much_is_refused_without_being_read_whole() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let headers = [("content-type", "application/octet-stream")];
    let mut head = server.raw_socket().await;
    head.send(&format!(
        "POST /v1/plugins/{ID}/digest?organizationId={} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/octet-stream\r\ncontent-length: 104857600\r\n\r\n",
        acme.id,
        server.url().trim_start_matches("http://"),
    ))
    .await;
    let answer = head.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    // Each is told in the words of its protocol, and before it sent anything.
    let rest = (format!("PUT /v1/orgs/{}/plugins/{ID}", acme.id), "application/problem+json");
    let mcp = ("POST /v1/mcp".to_owned(), "application/json");
    for (line, content_type) in [rest, mcp] {
        let mut socket = server.raw_socket().await;
        socket
            .send(&format!(
                "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
                 accept: application/json, text/event-stream\r\nconnection: close\r\ncontent-length: 104857600\r\n\r\n",
                server.url().trim_start_matches("http://"),
                acme.token,
            ))
            .await;
        let answer = String::from_utf8(socket.read_to_end().await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 413"), "{line}: {answer}");
        assert!(head.contains(&format!("\r\ncontent-type: {content_type}\r\n")), "{line}: {answer}");
        let body: Value = serde_json::from_str(body).unwrap();
        if line.ends_with("/v1/mcp") {
            assert_eq!((&body["jsonrpc"], &body["error"]["code"]), (&json!("2.0"), &json!(-32600)), "{body}");
        } else {
            assert_eq!(body["status"], 413, "{body}");
        }
    }
    let fits = acme.route(&Method::POST, ID, "/digest", &headers, vec![0u8; 9 << 20]).await;
    assert_eq!(fits.status, 200, "{}", fits.text());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (_plugins, server) = server().await;
    let acme = server.organization("Acme").await;
    acme.enable(ID, json!({})).await;
    let path = format!("/v1/plugins/{ID}/flood?organizationId={}", acme.id);
    let request = server.api(None).request(&Method::GET, &path, &[], "");
    let open = acme.api.http().open(request).await.unwrap();
    let mut body = open.into_body();
    let mut seen = 0usize;
    let ended = loop {
        match body.frame().await {
            Some(Ok(frame)) => seen += frame.into_data().map_or(0, |data| data.len()),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(ended.is_some(), "an answer that was cut off must not look whole");
    assert!(seen <= 100 << 20, "{seen}");
    acme.route(&Method::GET, ID, "/items/1", &[], "").await.expect(200);
}
