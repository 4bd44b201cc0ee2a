//! Tokens count for as long as what they stand for, in sessions and streams that are open as well.

use hayloft_testkit::{Api, McpProbe, Organization, Response};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, PATIENCE, Setup, World};
use crate::uploaded::{ID, good, upload};

/// A token of an organization with this role: its id, and the server as its bearer sees it.
async fn token(world: &World, of: &Organization, role: &str) -> (String, Api) {
    let made = of.post("tokens", &json!({ "role": role })).await.expect(201).json();
    (made["id"].as_str().unwrap().to_owned(), world.server.api(made["token"].as_str()))
}

async fn open(api: &Api) -> McpProbe {
    let mut client = api.mcp();
    client.open().await;
    client
}

async fn run(client: &mut McpProbe) -> Value {
    let arguments = json!({ "code": "return 1 + 1", "input": null });
    client.call_tool("hostile__run", arguments).await.answer
}

/// Calls within the session of a bearer whose token counts no more.
async fn refused(client: &mut McpProbe) -> u16 {
    client.request("tools/list", json!({})).await.status.as_u16()
}

#[tokio::test]
async fn a_token_ends_with_what_it_stands_for() {
    let world = World::start(Setup::Strongest).await;
    let (id, api) = token(&world, &world.attacker, "agent").await;
    let mut client = open(&api).await;
    let mut stream = client.notifications().await;
    assert!(run(&mut client).await["result"].is_object());
    let own = format!("/v1/orgs/{}/tools", world.attacker.id);
    api.get(&own).await.expect(200);

    // Everything is tried once, right after the answer: nothing is given time to take effect.
    world.attacker.delete(&format!("tokens/{id}")).await.expect(204);
    tokio::time::timeout(PATIENCE, stream.ended()).await.expect("the end of the stream");
    api.get(&own).await.expect(401);
    assert_eq!(refused(&mut client).await, 401);
    // Another token of the organization does not take the session over.
    let mut thief = world.attacker.mcp();
    thief.resume(client.session().unwrap(), "2025-11-25");
    assert_eq!(refused(&mut thief).await, 404);

    // What the plugin is called by ends with the plugin, and comes back with it.
    let mut client = open(&world.attacker.api).await;
    let route = async || world.attacker.route(&Method::GET, HOSTILE, "/headers", &[], "").await;
    route().await.expect(200);
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    route().await.expect(404);
    assert_eq!(run(&mut client).await["error"]["code"], -32602);
    world.attacker.enable(HOSTILE, json!({})).await;
    route().await.expect(200);
    assert!(run(&mut client).await["result"].is_object());
    world.victim_works().await;
    world.end().await;
}

#[tokio::test]
async fn a_role_that_was_taken_away_counts_in_open_sessions() {
    let world = World::start(Setup::Strongest).await;
    let (id, api) = token(&world, &world.attacker, "admin").await;
    let mut client = open(&api).await;
    let path = |below: &str| format!("/v1/orgs/{}/{below}", world.attacker.id);
    let may = async || {
        let plugin = path(&format!("plugins/{HOSTILE}"));
        let asked: [Response; 3] = [
            api.get(&path("tokens")).await,
            api.get(&plugin).await,
            api.put(&plugin, &json!({ "enabled": true })).await,
        ];
        asked.map(|answer| answer.status.as_u16())
    };
    assert_eq!(may().await, [200, 200, 200]);
    for (role, expected) in
        [("member", [403, 200, 403]), ("agent", [403, 403, 403]), ("admin", [200, 200, 200])]
    {
        world.attacker.api.put(&path(&format!("tokens/{id}")), &json!({ "role": role })).await.expect(204);
        assert_eq!(may().await, expected, "{role}");
        // Every role calls tools: the session itself goes on.
        assert!(run(&mut client).await["result"].is_object());
    }
    // Nobody gives themselves a role, or another organization's token one.
    let wish = json!({ "role": "admin" });
    let (agent_id, agent) = token(&world, &world.attacker, "agent").await;
    agent.put(&path(&format!("tokens/{agent_id}")), &wish).await.expect(403);
    world.victim.api.put(&path(&format!("tokens/{agent_id}")), &wish).await.expect(404);
    let foreign = format!("/v1/orgs/{}/tokens/{agent_id}", world.victim.id);
    world.victim.api.put(&foreign, &wish).await.expect(404);
    agent.get(&path("tokens")).await.expect(403);
    world.end().await;
}

#[tokio::test]
async fn nothing_opens_a_removed_organization() {
    let mut world = World::start(Setup::Strongest).await;
    let gone = world.attacker.clone();
    let (_, agent) = token(&world, &gone, "agent").await;
    let (mut client, mut administrators) = (open(&agent).await, {
        let mut client = open(&gone.api).await;
        client.request("ping", json!({})).await.result();
        client
    });
    let mut stream = client.notifications().await;
    let route =
        async |of: &Organization| of.route(&Method::GET, HOSTILE, "/headers", &[], "").await.status.as_u16();
    assert_eq!((route(&gone).await, route(&world.victim).await), (200, 200));

    // Only the administrator removes, and only what there is.
    for stranger in [&gone.api, &agent] {
        stranger.delete(&format!("/v1/orgs/{}", gone.id)).await.expect(403);
    }
    world.victim.api.delete(&format!("/v1/orgs/{}", gone.id)).await.expect(404);
    let pids = world.pids(&gone).await;
    world.server.admin().delete(&format!("/v1/orgs/{}", gone.id)).await.expect(204);

    tokio::time::timeout(PATIENCE, stream.ended()).await.expect("the end of the stream");
    let check = async |world: &World| {
        for api in [&gone.api, &agent] {
            for below in ["tools", "plugins", "tokens", "audit"] {
                api.get(&gone.path(below)).await.expect(401);
            }
        }
        assert_eq!(route(&gone).await, 404);
        let admin = world.server.admin();
        admin.get(&gone.path("plugins")).await.expect(404);
        admin.delete(&format!("/v1/orgs/{}", gone.id)).await.expect(404);
        let listed = admin.get("/v1/orgs").await.expect(200).text();
        assert!(listed.contains(&world.victim.id) && !listed.contains(&gone.id), "{listed}");
        let workers = admin.get("/v1/workers").await.expect(200).text();
        assert!(!workers.contains(&gone.id), "{workers}");
        assert_eq!(route(&world.victim).await, 200);
        world.victim_works().await;
    };
    check(&world).await;
    assert_eq!((refused(&mut client).await, refused(&mut administrators).await), (401, 401));
    let still =
        world.server.processes().into_iter().any(|process| [pids.runner, pids.init].contains(&process.pid));
    assert!(!still, "its worker runs on");
    world.server.restart().await;
    check(&world).await;
}

/// Asks the Plugin API with a token, and gives the status.
const ASK: &str = "const answer = await fetch(process.env.HAY_API_URL + '/v1/plugin-api/mcp/register-local',
  { method: 'POST', headers: { authorization: 'Bearer ' + (input ?? process.env.HAY_API_TOKEN) }, body: '{}' });
  return answer.status;";

#[tokio::test]
async fn a_workers_token_ends_with_its_worker() {
    let world = World::start(Setup::Strongest).await;
    let of = async |who: &Organization| world.run(who, "return process.env.HAY_API_TOKEN", Value::Null).await;
    let ask = async |who: &Organization, token: &Value| world.run(who, ASK, token.clone()).await;
    let first = of(&world.attacker).await;
    // The control: with its own token a worker comes as far as the check of what it says.
    assert_eq!(ask(&world.attacker, &first).await, 422);
    assert_eq!(ask(&world.victim, &first).await, 401);

    let plugin = format!("plugins/{HOSTILE}");
    world.attacker.post(&format!("{plugin}/restart"), &json!({})).await.expect(200);
    let second = of(&world.attacker).await;
    assert_eq!(
        (ask(&world.attacker, &first).await, ask(&world.attacker, &second).await),
        (json!(401), json!(422))
    );

    world.attacker.delete(&plugin).await.expect(200);
    world.attacker.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
    for old in [&first, &second] {
        assert_eq!(ask(&world.attacker, old).await, 401);
        assert_eq!(ask(&world.victim, old).await, 401);
    }
    assert_eq!(ask(&world.attacker, &Value::Null).await, 422);
    world.end().await;
}

/// The same as a tool of a plugin that an organization uploads: it asks with the token that it is given, or with its own,
/// or tells that.
const TELL_OR_ASK: &str = "args.tell ? process.env.HAY_API_TOKEN
  : fetch(process.env.HAY_API_URL + '/v1/plugin-api/mcp/register-local',
    { method: 'POST', headers: { authorization: 'Bearer ' + (args.token ?? process.env.HAY_API_TOKEN) }, body: '{}' })
    .then((answer) => answer.status)";

#[tokio::test]
async fn a_workers_token_ends_with_its_plugin_and_its_organization() {
    let mut world = World::start(Setup::Strongest).await;
    let archive = good("1.0.0", &json!({}), TELL_OR_ASK);
    let act = async |arguments: Value| {
        let answer = world.attacker.call_tool("mine__act", arguments).await.expect(200).json();
        answer["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let install = async || {
        upload(&world.attacker, "", &archive).await.expect(201);
        world.attacker.enable(ID, json!({})).await;
        // The control: with its own token it comes as far as the check of what it says.
        assert_eq!(act(json!({})).await, "422");
        json!(act(json!({ "tell": true })).await)
    };
    let first = install().await;
    let mut client = open(&world.attacker.api).await;
    let act_in_session = async |client: &mut McpProbe| client.call_tool("mine__act", json!({})).await.answer;
    assert_eq!(act_in_session(&mut client).await["result"]["content"][0]["text"], "422");

    // It is uninstalled: neither another worker of the organization nor one of another can use what is left of it.
    world.attacker.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    assert_eq!(act_in_session(&mut client).await["error"]["code"], -32602);
    let ask =
        async |world: &World, who: &Organization, token: &Value| world.run(who, ASK, token.clone()).await;
    for who in [&world.attacker, &world.victim] {
        assert_eq!(ask(&world, who, &first).await, 401);
        assert_eq!(ask(&world, who, &Value::Null).await, 422);
    }
    // Nor can it itself when it comes back, since that is another worker.
    let second = install().await;
    assert_ne!(first, second);
    assert_eq!(act(json!({ "token": first })).await, "401");
    assert_eq!(act(json!({ "token": second })).await, "422");

    // The organization is removed, with a worker of each kind.
    let third = world.run(&world.attacker, "return process.env.HAY_API_TOKEN", Value::Null).await;
    assert_eq!(ask(&world, &world.attacker, &third).await, 422);
    world.server.admin().delete(&format!("/v1/orgs/{}", world.attacker.id)).await.expect(204);
    let own = world.run(&world.victim, "return process.env.HAY_API_TOKEN", Value::Null).await;
    let nothing_opens = async |world: &World, olds: &[&Value]| {
        for old in olds {
            assert_eq!(ask(world, &world.victim, old).await, 401);
            // Outside of jails it never opened anything.
            world.server.api(old.as_str()).get("/v1/orgs").await.expect(401);
        }
        assert_eq!(ask(world, &world.victim, &Value::Null).await, 422);
    };
    nothing_opens(&world, &[&first, &second, &third]).await;
    // The host is another one: nothing that it gave out before counts in what it starts.
    world.server.restart().await;
    nothing_opens(&world, &[&first, &second, &third, &own]).await;
}

#[tokio::test]
async fn an_administrators_token_that_was_replaced_opens_nothing() {
    let mut world = World::start(Setup::Strongest).await;
    let paths = [String::from("/v1/orgs"), String::from("/v1/workers"), world.victim.path("plugins")];
    let old = world.server.admin();
    for path in &paths {
        old.get(path).await.expect(200);
    }
    let mut client = open(&world.victim.api).await;
    let replacing = "another-administrator-token-0123456789abcdef";
    world.server.configure(|builder| builder.environment("HAYLOFT_ADMIN_TOKEN", replacing));
    world.server.restart().await;
    let new = world.server.api(Some(replacing));
    for path in &paths {
        old.get(path).await.expect(401);
        new.get(path).await.expect(200);
    }
    let made = json!({ "name": "Third" });
    old.post("/v1/orgs", &made).await.expect(401);
    new.post("/v1/orgs", &made).await.expect(201);
    // What organizations have is theirs and not made from it.
    let (_, agent) = token(&world, &world.victim, "agent").await;
    agent.get(&world.victim.path("tools")).await.expect(200);
    world.victim_works().await;
    // A session ended with the host; whoever has the organization's token begins another one.
    assert_eq!(refused(&mut client).await, 404);
    assert!(run(&mut open(&world.victim.api).await).await["result"].is_object());
}
