//! MCP servers in and beside a worker, as bytes: what they say nobody here knows.

use std::time::Duration;

use bytes::Bytes;
use hayloft_workers::{HookCall, LogStream};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{House, SOON};

/// A stdio server that answers every line with what it is.
const SERVER: &str = "
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      if (line.includes('exit')) process.exit(6);
      console.error('heard', line.length);
      console.log(JSON.stringify({ cwd: process.cwd(), env: process.env, args: process.argv.slice(2), execPath: process.execPath, fds: require('node:fs').readdirSync('/proc/self/fd') }));
    });";

#[tokio::test]
async fn an_in_process_server_speaks_over_the_channel() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });
         exports.disable = (w) => w.request({ type: 'closeMcp', serverId: 'tools' });
         exports.enable = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let answer =
        house.observer.call("tools", json!({ "id": 1, "params": { "ä": [1.5, null] } })).await.unwrap();
    assert_eq!(answer["result"]["echo"], json!({ "ä": [1.5, null] }));
    assert_eq!(house.workers.statuses().await[0].mcp_servers, ["tools".parse().unwrap()]);
    // Open twice is refused, closed can be opened again.
    assert!(worker.call_hook(HookCall::Enable).await.unwrap_err().to_string().contains("is open already"));
    worker.call_hook(HookCall::Disable).await.unwrap();
    house.observer.event("closed tools").await;
    assert!(house.observer.call("tools", json!({ "id": 2 })).await.is_none());
    worker.call_hook(HookCall::Enable).await.unwrap();
    assert!(house.observer.call("tools", json!({ "id": 3 })).await.is_some());
    house.close().await;
}

#[tokio::test]
async fn a_hundred_thousand_messages_pass_in_order() {
    let house = House::new();
    let instance = house.plugin("exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });");
    house.workers.ensure(&instance).await.unwrap();
    let (to_server, mut from_server) =
        house.observer.channels.lock().unwrap().remove(&"tools".parse().unwrap()).unwrap();
    const COUNT: u64 = 100_000;
    let sender = tokio::spawn(async move {
        for id in 1..=COUNT {
            to_server.send(Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}}}"))).await.unwrap();
        }
        to_server
    });
    let receive = async {
        for id in 1..=COUNT {
            let message: Value = serde_json::from_slice(&from_server.recv().await.unwrap()).unwrap();
            assert_eq!(message["id"], id);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), receive).await.unwrap();
    sender.await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_blocks_its_own_worker_only() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });
         exports.enable = (w) => { for (let i = 0; i < 5000; i++) w.mcp('tools', { note: 'x'.repeat(1000), i }); return { sent: true }; };",
    );
    let neighbour = house.plugin_named("hay-plugin-neighbour", "");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let other = house.workers.ensure(&neighbour).await.unwrap();
    let flood = tokio::spawn(async move { worker.call_hook(HookCall::Enable).await });
    assert!(other.call_hook(HookCall::Enable).await.is_ok());
    // What comes after the flood is read once the client makes room.
    let (_to_server, mut from_server) =
        house.observer.channels.lock().unwrap().remove(&"tools".parse().unwrap()).unwrap();
    for index in 0..5000 {
        let message: Value = serde_json::from_slice(&from_server.recv().await.unwrap()).unwrap();
        assert_eq!(message["i"], index);
    }
    assert_eq!(flood.await.unwrap(), Ok(json!({ "sent": true })));
    house.close().await;
}

#[tokio::test]
async fn a_stdio_server_gets_exactly_what_its_plugin_gave_it() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'child', kind: 'stdio', command: 'node', args: ['../server.cjs', 'an arg'], cwd: 'mcp',
           env: { ...process.env, API_KEY: 'k1', PATH: '/evil', HAYLOFT_WORKER: 'forged/1', NODE_ENV: 'test' }, timeoutMs: 20000 });",
    );
    let root = house.source.launch_of(&instance).package.root;
    std::fs::create_dir(root.join("mcp")).unwrap();
    std::fs::write(root.join("server.cjs"), SERVER).unwrap();
    house.workers.ensure(&instance).await.unwrap();

    let (mut stdin, mut lines) =
        house.observer.pipes.lock().unwrap().remove(&"child".parse().unwrap()).unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    let said: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(said["cwd"], json!(root.join("mcp").canonicalize().unwrap()));
    assert_eq!(said["args"], json!(["an arg"]));
    assert_eq!(said["execPath"], json!(crate::support::node()));
    let status = house.workers.statuses().await.remove(0);
    let mut environment = said["env"].as_object().unwrap().clone();
    assert!(!environment.remove("PATH").unwrap().as_str().unwrap().contains("evil"));
    let home = house.home_inside(status.worker_id);
    let mut expected = json!({ "TZ": "UTC", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "OPENSSL_CONF": "/dev/null", "NODE_ENV": "test", "HAY_PLUGIN_ID": "hay-plugin-test", "API_KEY": "k1" });
    if let Some((name, marker)) = house.marker(status.worker_id) {
        expected[name] = marker.into();
        // The way to the gate, where no network leads there.
        let home = home.display();
        expected["HAYLOFT_GATE"] = format!("{home}/gate.sock").into();
        let preload = crate::support::fixture("gate.cjs");
        expected["NODE_OPTIONS"] = format!("--require=\"{}\"", preload.display()).into();
    }
    assert_eq!(Value::from(environment), expected);

    // Its exit closes its transport, is logged, and leaves the worker as it was.
    stdin.write_all(b"exit\n").await.unwrap();
    assert_eq!(lines.next_line().await.unwrap(), None);
    house.observer.event("closed child").await;
    assert!(house.workers.serving(&instance).is_some());
    let lines = house.workers.logs(&instance, 100);
    assert!(
        lines.iter().any(|line| line.stream == LogStream::Server && line.message == "heard 5"),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.message == "the MCP server `child` ended with exit code 6"),
        "{lines:?}"
    );
    house.close().await;
}

#[tokio::test]
async fn stdio_servers_end_with_their_worker() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'child', kind: 'stdio', command: 'sh', args: ['-c', 'setsid sleep 1000 & while read line; do echo \"{}\"; done'] });
         exports.enable = () => process.exit(1);",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let (_stdin, mut lines) = house.observer.pipes.lock().unwrap().remove(&"child".parse().unwrap()).unwrap();
    assert!(worker.call_hook(HookCall::Enable).await.is_err());
    assert_eq!(tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap(), None);
    house.observer.event("crashed").await;
    house.nothing_is_left();
    house.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_had_says_why() {
    let house = House::new();
    *house.observer.ignored.lock().unwrap() = vec!["mute".into()];
    let instance = house.plugin("exports.cron = (w, server) => w.openMcp(JSON.parse(server));");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let stdio = |more: Value| {
        let mut server =
            json!({ "id": "s", "kind": "stdio", "command": "node", "args": ["-e", ""], "cwd": "." });
        server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server
    };
    for (server, message) in [
        (stdio(json!({ "cwd": "../.." })), "`../..` does not lead to a folder inside the plugin"),
        (stdio(json!({ "cwd": "/" })), "`/` does not lead to a folder inside the plugin"),
        (stdio(json!({ "command": "./missing" })), "`./missing` does not lead to a file inside the plugin"),
        (stdio(json!({ "command": "no-such-program" })), "is not on the path"),
        (stdio(json!({ "env": { "NODE_OPTIONS": "--inspect" } })), "`NODE_OPTIONS` may not be set"),
        (stdio(json!({ "env": { "LD_PRELOAD": "x.so" } })), "`LD_PRELOAD` may not be set"),
        (stdio(json!({ "env": { "A=B": "x" } })), "is not a variable's name"),
        (stdio(json!({ "args": ["-e", "process.exit(8)"] })), "its process ended with exit code 8"),
        (
            stdio(json!({ "args": ["-e", "setInterval(() => {}, 1000)"], "id": "mute", "timeoutMs": 200 })),
            "did not answer within 0.2 s",
        ),
        (json!({ "id": "a server", "kind": "inProcess" }), "`a server` is not a server id"),
        (
            json!({ "id": "far", "kind": "external", "url": "https://example.com" }),
            "keeps no MCP servers for plugins",
        ),
    ] {
        let error = worker.call_hook(HookCall::Cron(server.to_string())).await.unwrap_err().to_string();
        assert!(error.contains(message), "{server}: {error}");
    }
    assert!(house.workers.statuses().await[0].mcp_servers.is_empty());
    // Connecting was given up before the server was said to be closed.
    house.observer.event("closed mute").await;
    assert!(!house.observer.events().contains(&"opened mute".to_owned()));
    assert!(worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn the_number_of_servers_is_bounded() {
    let house = House::with(|settings| settings.resources.mcp_servers = 3);
    let instance = house.plugin(
        "exports.start = async (w) => { for (let i = 0; i < 4; i++) await w.openMcp({ id: 's' + i, kind: 'inProcess' }); };",
    );
    house.workers.ensure(&instance).await.unwrap();
    assert_eq!(
        house.observer.event("degraded").await,
        "degraded: a plugin can have at most 3 MCP servers open"
    );
    house.close().await;
}

#[tokio::test]
async fn a_server_that_was_refused_is_not_counted() {
    let house = House::with(|settings| settings.resources.mcp_servers = 3);
    let instance = house.plugin(
        "exports.start = async (w) => {
           let refused = 0;
           for (let i = 0; i < 5; i++)
             await w.openMcp({ id: 'far' + i, kind: 'external', url: 'https://example.com' }).catch(() => refused++);
           for (let i = 0; i < 3; i++) await w.openMcp({ id: 's' + i, kind: 'inProcess' });
           if (refused !== 5) throw new Error(`${refused} were refused`);
         };",
    );
    house.workers.ensure(&instance).await.unwrap();
    house.observer.event("ready").await;
    house.close().await;
}

#[tokio::test]
async fn no_server_opens_before_there_is_an_organization() {
    let house = House::new();
    let instance = house.plugin("exports.initialize = (w) => w.openMcp({ id: 'early', kind: 'inProcess' });");
    let error = house.workers.ensure(&instance).await.unwrap_err().to_string();
    assert!(error.contains("once `onStart` runs"), "{error}");
    house.close().await;
}

#[tokio::test]
async fn renewed_credentials_reach_the_host() {
    let house = House::new();
    let instance = house.plugin(
        "exports.cron = (w) => w.request({ type: 'updateAuth', methodId: 'oauth', credentials: { accessToken: 't2' } });",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    worker.call_hook(HookCall::Cron("refresh".into())).await.unwrap();
    let credentials = house.observer.credentials.lock().unwrap().remove(0);
    assert_eq!(credentials.method_id, "oauth");
    assert_eq!(credentials.values.get("accessToken"), Some(&json!("t2")));
    house.close().await;
}
