//! Procedures of plugins' own routers, on the wire that tRPC's clients speak. The official client is in
//! `packages/client-tests`.

use hayloft_testkit::{Organization, PluginFolder, Response, TestServer};
use http::Method;
use serde_json::{Value, json};

/// A plugin with a router.
fn plugin(folder: &PluginFolder, id: &str, router: &str) {
    let manifest = json!({
        "id": id, "name": id, "version": "1.0.0", "type": ["workflow"], "description": "Tests", "author": "Tests",
        "entry": "./dist/index.js", "capabilities": {}, "trpcRouter": "./router.mjs", "autoActivate": true,
    });
    folder
        .plugin(id)
        .file("manifest.json", manifest.to_string())
        .file("dist/index.js", "")
        .file("router.mjs", router);
}

const ROUTER: &str = r#"
import { trpcRouter, publicProcedure, authenticatedProcedure, TRPCError } from "@hay/plugin-sdk/trpc";
export const router = trpcRouter({
  echo: publicProcedure.query(({ input, ctx }) => ({ org: ctx.organizationId, caller: ctx.caller })),
  crash: publicProcedure.query(() => { setImmediate(() => process.exit(3)); return new Promise(() => {}); }),
  hang: publicProcedure.query(() => new Promise(() => {})),
  size: publicProcedure.input((value) => value).mutation(({ input }) => input.length),
  orders: trpcRouter({
    create: authenticatedProcedure.input((value) => value).mutation(({ input }) => ({ made: input })),
    missing: publicProcedure.query(() => { throw new TRPCError({ code: "CONFLICT", message: "no order" }); }),
  }),
});
"#;

const JSON: (&str, &str) = ("content-type", "application/json");

struct Asking<'a> {
    server: &'a TestServer,
    organization: &'a Organization,
}

impl Asking<'_> {
    async fn get(&self, names: &str, token: Option<&str>) -> Response {
        let named = [("x-organization-id", self.organization.id.as_str())];
        self.server.api(token).send(&Method::GET, &format!("/v1/{names}"), &named, "").await
    }

    async fn post(&self, names: &str, token: Option<&str>, body: String) -> Response {
        let named = [("x-organization-id", self.organization.id.as_str()), JSON];
        self.server.api(token).send(&Method::POST, &format!("/v1/{names}"), &named, body).await
    }
}

fn code(answer: &Value) -> (&str, &str) {
    let data = &answer["error"]["data"];
    (data["code"].as_str().unwrap_or_default(), data["path"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_router_answers_for_the_organizations_that_have_it() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "hay-plugin-my-shop", ROUTER);
    let server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-my-shop", json!({})).await;
    let ask = Asking { server: &server, organization: &one };

    let echo = "plugins.myShop.echo";
    let answer = ask.get(echo, None).await.expect(200).json();
    assert_eq!(answer, json!({ "result": { "data": { "org": one.id, "caller": null } } }));
    let answer = ask.get(echo, Some(&one.token)).await.expect(200).json();
    assert_eq!(answer["result"]["data"]["caller"]["scopes"][0], "plugins:read");
    // A token of another organization is nobody's here.
    let answer = ask.get(echo, Some(&two.token)).await.expect(200).json();
    assert_eq!(answer["result"]["data"]["caller"], Value::Null);
    // Named by the address or by the token alone.
    let path = format!("/v1/{echo}?organizationId={}", one.id);
    server.api(None).get(&path).await.expect(200);
    server.api(Some(&one.token)).get(&format!("/v1/{echo}")).await.expect(200);
    let unnamed = server.api(None).get(&format!("/v1/{echo}")).await.expect(400).json();
    assert_eq!(code(&unnamed), ("BAD_REQUEST", echo));

    // The same answer whether the plugin, the procedure or the organization is not there.
    let elsewhere = Asking { server: &server, organization: &two };
    for (answer, name) in [
        (elsewhere.get(echo, Some(&two.token)).await, echo),
        (ask.get("plugins.other.echo", None).await, "plugins.other.echo"),
        (ask.get("plugins.myShop.other", None).await, "plugins.myShop.other"),
        (ask.get("plugins.myShop", None).await, "plugins.myShop"),
        (ask.get("other.echo", None).await, "other.echo"),
    ] {
        let answer = answer.expect(404).json();
        assert_eq!(code(&answer), ("NOT_FOUND", name));
        assert_eq!(answer["error"]["message"], format!("No procedure found on path \"{name}\""));
        assert_eq!(answer["error"]["code"], -32004);
    }
    // What is no name of a procedure is no business of this wire.
    let other = server.api(None).get("/v1/nothing").await.expect(404);
    assert_eq!(other.header("content-type"), Some("application/problem+json"));
    server.admin().get("/v1/orgs").await.expect(200);
}

#[tokio::test]
async fn a_procedure_is_called_as_what_it_is() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "hay-plugin-my-shop", ROUTER);
    let server = TestServer::start(plugins.path()).await;
    let (one, two) = (server.organization("One").await, server.organization("Two").await);
    one.enable("hay-plugin-my-shop", json!({})).await;
    let ask = Asking { server: &server, organization: &one };
    let (create, missing) = ("plugins.myShop.orders.create", "plugins.myShop.orders.missing");

    let made = ask.post(create, Some(&one.token), r#"{"n":1.0}"#.into()).await.expect(200).json();
    assert_eq!(made, json!({ "result": { "data": { "made": { "n": 1 } } } }));
    for token in [None, Some(two.token.as_str())] {
        let refused = ask.post(create, token, String::from("{}")).await.expect(401).json();
        assert_eq!(code(&refused), ("UNAUTHORIZED", create));
    }
    assert_eq!(
        code(&ask.get(create, Some(&one.token)).await.expect(405).json()),
        ("METHOD_NOT_SUPPORTED", create)
    );
    let posted = ask.post(missing, None, String::new()).await.expect(405).json();
    assert_eq!(code(&posted), ("METHOD_NOT_SUPPORTED", missing));
    let conflict = ask.get(missing, None).await.expect(409).json();
    assert_eq!(code(&conflict), ("CONFLICT", missing));
    assert_eq!(
        (&conflict["error"]["message"], conflict["error"]["data"].get("stack")),
        (&json!("no order"), None)
    );

    let bad = ask.post(create, Some(&one.token), String::from("{")).await.expect(400).json();
    assert_eq!(code(&bad).0, "PARSE_ERROR");
    let plain = [("x-organization-id", one.id.as_str()), ("content-type", "text/plain")];
    let path = format!("/v1/{create}");
    let typed = server.api(None).send(&Method::POST, &path, &plain, "{}").await.expect(415).json();
    assert_eq!(code(&typed).0, "UNSUPPORTED_MEDIA_TYPE");
    server.api(None).send(&Method::PUT, &path, &plain, "{}").await.expect(405);
    server.api(None).send(&Method::HEAD, &path, &plain, "").await.expect(204);

    // A batch: one array, the answers in order, and each with its own failure.
    let names = format!("plugins.myShop.echo,{missing},plugins.myShop.none?batch=1&input=%7B%220%22%3A1%7D");
    let answers = ask.get(&names, None).await.expect(207).json();
    assert_eq!(answers[0]["result"]["data"]["org"], one.id);
    assert_eq!((code(&answers[1]).0, code(&answers[2]).0), ("CONFLICT", "NOT_FOUND"));
    let names = format!("{create},{create}?batch=1");
    let answers = ask.post(&names, Some(&one.token), r#"{"0":"a","1":"b"}"#.into()).await.expect(200).json();
    assert_eq!(
        answers,
        json!([{ "result": { "data": { "made": "a" } } }, { "result": { "data": { "made": "b" } } }])
    );

    // Calls are taken down like any other.
    let size = "plugins.myShop.size";
    let large = format!("\"{}\"", "x".repeat(3 << 20));
    assert_eq!(ask.post(size, None, large).await.expect(200).json()["result"]["data"], 3 << 20);
    let larger = format!("\"{}\"", "x".repeat(5 << 20));
    assert_eq!(code(&ask.post(size, None, larger).await.expect(413).json()).0, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_plugin_that_breaks_is_told_from_one_that_refuses() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "hay-plugin-my-shop", ROUTER);
    let builder = TestServer::builder().plugins(plugins.path());
    let server = builder.environment("HAYLOFT_LIMITS_PROCEDURE", "300ms").start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-my-shop", json!({})).await;
    let ask = Asking { server: &server, organization: &acme };
    let late = ask.get("plugins.myShop.hang", None).await.expect(504).json();
    assert_eq!(code(&late).0, "GATEWAY_TIMEOUT");
    // The worker is none the worse for it.
    ask.get("plugins.myShop.echo", None).await.expect(200);
    let crashed = ask.get("plugins.myShop.crash", None).await.expect(502).json();
    assert_eq!(code(&crashed).0, "BAD_GATEWAY");
    assert!(!crashed.to_string().contains("worker"), "{crashed}");
}

#[tokio::test]
async fn two_routers_of_one_name_are_a_problem_of_the_second() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "hay-channel-shop", ROUTER);
    plugin(&plugins, "hay-plugin-shop", ROUTER);
    plugin(&plugins, "hay-plugin-get-all", ROUTER);
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    let listed = acme.get("plugins").await.expect(200).json();
    let problems: Vec<_> = listed["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| {
            let problem =
                plugin["problems"].as_array().unwrap().iter().find(|one| one["severity"] == "error");
            problem.map(|problem| problem["message"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(
        problems,
        [
            None,
            Some(String::from("its procedures would be called `getAll`, as one of the host's own is")),
            Some(String::from(
                "its procedures would be called `shop`, as those of the plugin `hay-channel-shop` are"
            )),
        ]
    );
    acme.enable("hay-channel-shop", json!({})).await;
    let ask = Asking { server: &server, organization: &acme };
    ask.get("plugins.shop.echo", None).await.expect(200);
    acme.put("plugins/hay-plugin-shop", &json!({ "enabled": true })).await.expect(422);
}
