//! The whole application, asked in process.

use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::address::Peer;
use crate::problem::PROBLEM_JSON;

pub(crate) mod fixture;

use fixture::Fixture;

/// What came back, with the body as JSON if it is that.
struct Answer {
    response: Response<()>,
    body: Bytes,
}

impl Answer {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

/// A request in one line: method and target, then fields, then a body if there is one.
fn request(line: &str, fields: &[(&str, &str)], body: &str) -> Request<Body> {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target).header("host", "127.0.0.1:3001");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(Peer("10.0.0.9:50000".parse().unwrap()));
    request
}

async fn ask(fixture: &Fixture, request: Request<Body>) -> Answer {
    let (parts, body) = fixture.router.clone().oneshot(request).await.unwrap().into_parts();
    Answer { response: Response::from_parts(parts, ()), body: body.collect().await.unwrap().to_bytes() }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn router_and_document_agree() {
    let fixture = Fixture::start().await;
    let document = crate::openapi();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let target = path.replace(['{', '}'], "");
        let documented: Vec<_> =
            operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = ask(&fixture, request(&format!("{method} {target}"), &[], "")).await;
            let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
            if documented.iter().any(|known| known == method) {
                let unknown = ["urn:hayloft:problem:unknown-path", "urn:hayloft:problem:method-not-allowed"];
                assert!(
                    !unknown.contains(&kind.as_str()),
                    "{method} {path} is documented but not there: {kind}"
                );
            } else {
                assert_eq!(answer.status(), 405, "{method} {path} is there but not documented");
                let allow: Vec<_> =
                    answer.header(ALLOW.as_str()).unwrap().split(',').map(str::trim).collect();
                let without_head: Vec<_> = allow.iter().filter(|method| **method != "HEAD").collect();
                assert_eq!(without_head.len(), documented.len(), "{path}: {allow:?}");
            }
        }
    }
}

#[tokio::test]
async fn everything_that_needs_a_token_says_so_first() {
    let fixture = Fixture::start().await;
    let document = crate::openapi();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !operation["security"].is_array() {
                continue;
            }
            let target = path.replace(['{', '}'], "");
            for fields in [&[][..], &[("authorization", "Bearer hlt_guess")][..]] {
                let line = format!("{} {target}", method.to_uppercase());
                let answer = ask(&fixture, request(&line, fields, "")).await;
                assert_eq!(answer.status(), 401, "{line}");
                assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "), "{line}");
                assert_eq!(answer.header("content-type"), Some(PROBLEM_JSON), "{line}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 30, "only {asked} requests were made");
}

#[tokio::test]
async fn a_foreign_and_an_unknown_organization_look_the_same() {
    let fixture = Fixture::start().await;
    let bearer = format!("Bearer {}", fixture.token);
    let unknown = format!("org_{:032x}", 0xbad);
    let requests = [
        ("GET /v1/orgs/ORG/plugins", ""),
        ("GET /v1/orgs/ORG/plugins/hay-plugin-a", ""),
        ("PUT /v1/orgs/ORG/plugins/hay-plugin-a", r#"{"enabled":true}"#),
        ("DELETE /v1/orgs/ORG/plugins/hay-plugin-a", ""),
        ("DELETE /v1/orgs/ORG/plugins/hay-plugin-a/configuration", ""),
        ("GET /v1/orgs/ORG/plugins/hay-plugin-a/logs", ""),
        ("GET /v1/orgs/ORG/plugins/hay-plugin-a/metadata", ""),
        ("GET /v1/orgs/ORG/plugins/UPPER", ""),
        ("GET /v1/orgs/ORG/tools", ""),
        ("POST /v1/orgs/ORG/tools/a__b/call", "{}"),
        ("GET /v1/orgs/ORG/tokens", ""),
        ("POST /v1/orgs/ORG/tokens", r#"{"role":"agent"}"#),
        ("DELETE /v1/orgs/ORG/tokens/tok_00000000000000000000000000000001", ""),
        ("GET /v1/orgs/ORG/audit", ""),
    ];
    for (line, body) in requests {
        let mut bodies = Vec::new();
        for organization in [&unknown, &fixture.foreign.to_string(), "nonsense"] {
            let line = line.replace("ORG", organization);
            let answer = ask(&fixture, request(&line, &[("authorization", &bearer), JSON], body)).await;
            assert_eq!(answer.status(), 404, "{line}");
            bodies.push(answer.body);
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{line}: {bodies:?}");
        // The control: at home the same request is understood.
        let line = line.replace("ORG", &fixture.organization.to_string());
        let answer = ask(&fixture, request(&line, &[("authorization", &bearer), JSON], body)).await;
        assert_ne!(answer.json()["type"], "urn:hayloft:problem:unknown-organization", "{line}");
    }
}

#[tokio::test]
async fn refusals_are_problems_with_the_right_status() {
    let fixture = Fixture::start().await;
    let administrator = format!("Bearer {}", fixture.administrator);
    let org = fixture.organization;
    let put = format!("PUT /v1/orgs/{org}/plugins/hay-plugin-a");
    let large = format!(r#"{{"enabled":"{}"}}"#, "x".repeat(11 << 20));
    let deep = format!(r#"{{"config":{}"#, r#"{"a":"#.repeat(100_000));
    let text = ("content-type", "text/plain");
    // Each case: the request, its content type and body, and the status and kind of the refusal.
    type Case<'c> = (&'c str, (&'c str, &'c str), &'c str, u16, &'c str);
    let cases: &[Case<'_>] = &[
        ("GET /nowhere", JSON, "", 404, "unknown-path"),
        ("GET /v1/orgs/", JSON, "", 404, "unknown-path"),
        // What only plugins reach, through their gates.
        ("GET /v1/plugin-api/health", JSON, "", 404, "unknown-path"),
        ("PATCH /v1/orgs", JSON, "", 405, "method-not-allowed"),
        ("BREW /v1/orgs", JSON, "", 405, "method-not-allowed"),
        ("GET /v1/orgs/../orgs", JSON, "", 400, "bad-request"),
        ("GET /v1/%2e%2e/orgs", JSON, "", 400, "bad-request"),
        ("POST /v1/orgs", text, r#"{"name":"x"}"#, 415, "unsupported-media-type"),
        ("POST /v1/orgs", JSON, r#"{"name""#, 400, "bad-request"),
        ("POST /v1/orgs", JSON, r#"{"nam":"x"}"#, 422, "invalid"),
        ("POST /v1/orgs", JSON, r#"{"name":"  "}"#, 422, "invalid"),
        (&put, JSON, &large, 413, "content-too-large"),
        (&put, JSON, &deep, 400, "bad-request"),
        (&put, JSON, r#"{"enabled":true}"#, 404, "unknown-plugin"),
        ("POST /v1/mcp", JSON, "{}", 400, "bad-request"),
        ("POST /v1/plugins/hay-plugin-a/webhook", JSON, "{}", 404, "unknown-plugin"),
    ];
    for (line, content_type, body, status, kind) in cases {
        let answer =
            ask(&fixture, request(line, &[("authorization", &administrator), *content_type], body)).await;
        let shown = answer.json();
        assert_eq!(answer.status(), *status, "{line}: {shown}");
        assert_eq!(shown["type"], format!("urn:hayloft:problem:{kind}"), "{line}");
        assert_eq!(shown["status"], *status, "{line}");
        assert_eq!(answer.header(CONTENT_TYPE.as_str()), Some(PROBLEM_JSON), "{line}");
        assert!(answer.header("x-request-id").is_some(), "{line}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
    }
}

#[tokio::test]
async fn an_administrator_makes_organizations_and_tokens() {
    let fixture = Fixture::start().await;
    let administrator = format!("Bearer {}", fixture.administrator);
    let fields = [("authorization", administrator.as_str()), JSON];

    let made = ask(&fixture, request("POST /v1/orgs", &fields, r#"{"name":"Acme"}"#)).await;
    assert_eq!(made.status(), 201, "{}", made.json());
    assert_eq!(made.header("cache-control"), Some("private, no-store"));
    let id = made.json()["id"].as_str().unwrap().to_owned();

    let line = format!("POST /v1/orgs/{id}/tokens");
    let made = ask(&fixture, request(&line, &fields, r#"{"role":"member","name":"desk"}"#)).await;
    assert_eq!(made.status(), 201, "{}", made.json());
    let (token, token_id) = (made.json()["token"].clone(), made.json()["id"].clone());
    let member = format!("Bearer {}", token.as_str().unwrap());

    let seen = ask(&fixture, request("GET /v1/orgs", &[("authorization", &member)], "")).await.json();
    assert_eq!(seen["orgs"].as_array().unwrap().len(), 1);
    assert_eq!(seen["orgs"][0]["id"], id.as_str());
    let refused =
        ask(&fixture, request("POST /v1/orgs", &[("authorization", &member), JSON], r#"{"name":"x"}"#)).await;
    assert_eq!(refused.status(), 403);

    let listed = ask(&fixture, request(&format!("GET /v1/orgs/{id}/tokens"), &fields, "")).await;
    assert_eq!(listed.json()["tokens"][0]["id"], token_id);
    assert!(!String::from_utf8_lossy(&listed.body).contains(token.as_str().unwrap()));

    let line = format!("DELETE /v1/orgs/{id}/tokens/{}", token_id.as_str().unwrap());
    assert_eq!(ask(&fixture, request(&line, &fields, "")).await.status(), 204);
    assert_eq!(ask(&fixture, request(&line, &fields, "")).await.status(), 204);
    assert_eq!(ask(&fixture, request("GET /v1/orgs", &[("authorization", &member)], "")).await.status(), 401);
    let unknown = format!("DELETE /v1/orgs/{id}/tokens/tok_{:032x}", 0xbad);
    assert_eq!(ask(&fixture, request(&unknown, &fields, "")).await.status(), 404);
}

#[tokio::test]
async fn mcp_is_for_known_hosts_and_a_known_organization() {
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let fixture = Fixture::start().await;
    let [member, administrator] =
        [&fixture.token, &fixture.administrator].map(|token| format!("Bearer {token}"));
    let organization = fixture.organization.to_string();
    let foreign = fixture.foreign.to_string();
    let accept = ("accept", "application/json, text/event-stream");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("authorization", &member)], 200),
        (&[("authorization", &administrator), ("x-organization-id", &organization)], 200),
        (&[("authorization", &administrator)], 400),
        (&[("authorization", &member), ("x-organization-id", &foreign)], 404),
        (&[("authorization", &member), ("origin", "https://evil.test")], 403),
        (&[("authorization", &member), ("origin", "http://127.0.0.1:3001")], 200),
        (&[], 401),
    ];
    for (fields, status) in cases {
        let fields: Vec<_> = fields.iter().copied().chain([JSON, accept]).collect();
        let answer = ask(&fixture, request("POST /v1/mcp", &fields, INITIALIZE)).await;
        assert_eq!(answer.status(), *status, "{fields:?}: {}", String::from_utf8_lossy(&answer.body));
    }
    let mut rebound = request("POST /v1/mcp", &[("authorization", &member), JSON, accept], INITIALIZE);
    rebound.headers_mut().insert("host", "evil.test:3001".parse().unwrap());
    assert_eq!(ask(&fixture, rebound).await.status(), 403);
}

#[tokio::test]
async fn mcp_refuses_too_long_a_message_in_its_own_words() {
    let fixture = Fixture::start().await;
    let member = format!("Bearer {}", fixture.token);
    let accept = ("accept", "application/json, text/event-stream");
    let fields = [("authorization", member.as_str()), JSON, accept];
    let long = " ".repeat((4 << 20) + 1);
    let answer = ask(&fixture, request("POST /v1/mcp", &fields, &long)).await;
    assert_eq!((answer.status(), answer.header("content-type")), (413, Some("application/json")));
    assert_eq!(
        (&answer.json()["jsonrpc"], &answer.json()["error"]["code"]),
        (&"2.0".into(), &(-32600).into())
    );
}

#[tokio::test]
async fn probes_tell_the_truth() {
    let fixture = Fixture::start().await;
    let health = ask(&fixture, request("GET /health", &[], "")).await;
    assert_eq!((health.status(), &health.json()["status"]), (200, &"ok".into()));
    assert_eq!(health.json()["isolation"]["tier"], "off");
    assert_eq!(ask(&fixture, request("GET /ready", &[], "")).await.status(), 200);
    assert_eq!(ask(&fixture, request("HEAD /health", &[], "")).await.body, "");
    fixture.shutdown.drain();
    assert_eq!(ask(&fixture, request("GET /ready", &[], "")).await.status(), 503);
    assert_eq!(ask(&fixture, request("GET /health", &[], "")).await.status(), 200);
}

#[tokio::test]
async fn figures_are_for_the_administrator_and_this_machine() {
    let fixture = Fixture::start().await;
    let bearer = format!("Bearer {}", fixture.token);
    assert_eq!(ask(&fixture, request("GET /metrics", &[], "")).await.status(), 401);
    assert_eq!(ask(&fixture, request("GET /metrics", &[("authorization", &bearer)], "")).await.status(), 403);
    let administrator = format!("Bearer {}", fixture.administrator);
    assert_eq!(
        ask(&fixture, request("GET /metrics", &[("authorization", &administrator)], "")).await.status(),
        200
    );
    let mut local = request("GET /metrics", &[], "");
    local.extensions_mut().insert(Peer("127.0.0.1:50000".parse().unwrap()));
    assert_eq!(ask(&fixture, local).await.response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_hosts_own_trail_is_for_the_administrator() {
    let fixture = Fixture::start().await;
    let get = async |token: &str| {
        let bearer = format!("Bearer {token}");
        ask(&fixture, request("GET /v1/audit?limit=2", &[("authorization", &bearer)], "")).await
    };
    assert_eq!(get(&fixture.token).await.status(), 403);
    let trail = get(&fixture.administrator).await;
    assert_eq!(trail.status(), 200);
    assert_eq!(trail.json(), serde_json::json!({ "entries": [], "next": null }));
}

#[tokio::test]
async fn the_document_is_the_one_of_the_command() {
    let fixture = Fixture::start().await;
    let served = ask(&fixture, request(&format!("{} /openapi.json", Method::GET), &[], "")).await;
    assert_eq!(served.json(), crate::openapi());
    assert_eq!(
        ask(&fixture, request("GET /", &[], "")).await.header("content-type"),
        Some("text/html; charset=utf-8")
    );
}
