//! Servers that the host keeps up beside a worker, or instead of one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hayloft_model::plugin::{Command, McpTransport, Runtime};
use hayloft_model::{InstanceKey, Secret, ServerId};
use hayloft_workers::{HookCall, KeepRefused, KeptServer, ServerHealth, Worker};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{House, SOON, fixture};

/// A stdio server that answers every line with its environment, and ends when it is told to.
const SERVER: &str = "
    process.on('SIGTERM', () => { console.error('asked to end'); process.exit(0); });
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      if (line.includes('exit')) process.exit(6);
      if (line.includes('fill')) for (const kept = [];;) kept.push(Buffer.alloc(8 << 20, 1));
      console.log(JSON.stringify({ env: process.env, cwd: process.cwd(), pid: process.pid }));
    });";

/// A server that tells over its port which transport it speaks: the second word of its command.
const LISTENER: &str = "
    const server = require('node:http').createServer((request, answer) => answer.end(process.argv[2]));
    server.listen(process.env.PORT, '127.0.0.1');";

fn server(id: &str, words: &[&str], transports: &[McpTransport]) -> KeptServer {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    KeptServer {
        id: id.parse().unwrap(),
        command: Command { program: "node".into(), arguments: words, ..Command::default() },
        transports: transports.to_vec(),
        environment: Vec::new(),
    }
}

/// A plugin without code of its own, with these servers.
fn plugin(house: &House, servers: Vec<KeptServer>) -> InstanceKey {
    let key = house.plugin("");
    let mut launch = house.source.launch_of(&key);
    fs::remove_file(launch.package.root.join("entry.cjs")).unwrap();
    fs::write(launch.package.root.join("server.cjs"), SERVER).unwrap();
    fs::write(launch.package.root.join("listener.cjs"), LISTENER).unwrap();
    launch.package.descriptor.runtime = Runtime::Servers;
    launch.binding.servers = servers;
    launch.binding.server_environment = [("KEY", "k1"), ("OWN", "setting")]
        .map(|(name, value)| (name.into(), Secret::new(value.into())))
        .into();
    house.source.set(&key, Ok(launch));
    key
}

async fn ask(house: &House, id: &str, line: &str) -> Option<Value> {
    let (mut stdin, mut lines) =
        house.observer.pipes.lock().unwrap().remove(&id.parse::<ServerId>().unwrap())?;
    stdin.write_all(format!("{line}\n").as_bytes()).await.ok()?;
    let said = lines.next_line().await.ok()??;
    house.observer.pipes.lock().unwrap().insert(id.parse().unwrap(), (stdin, lines));
    serde_json::from_str(&said).ok()
}

async fn health(worker: &Worker, id: &str) -> ServerHealth {
    let id: ServerId = id.parse().unwrap();
    let health = worker.kept_server(&id);
    tokio::time::timeout(SOON, health).await.unwrap().expect("it is kept up")
}

#[tokio::test]
async fn a_plugin_without_code_is_its_servers_alone() {
    let house = House::quick();
    let mut listed = server("main", &["../server.cjs"], &[McpTransport::Stdio]);
    listed.command.folder = PathBuf::from("mcp");
    listed.command.environment = BTreeMap::from([("OWN".into(), "line".into())]);
    let key = plugin(&house, vec![listed]);
    fs::create_dir(house.source.launch_of(&key).package.root.join("mcp")).unwrap();
    let worker = house.workers.ensure(&key).await.unwrap();
    assert_eq!(house.observer.events(), ["starting", "opened main", "ready"]);
    assert_eq!(worker.call_hook(HookCall::ConfigUpdate).await, Ok(json!({})));

    let said = ask(&house, "main", "hello").await.unwrap();
    assert!(said["cwd"].as_str().unwrap().ends_with("/mcp"), "{said}");
    assert_eq!((&said["env"]["KEY"], &said["env"]["OWN"]), (&json!("k1"), &json!("line")));
    assert_eq!(said["env"]["PORT"], Value::Null, "it listens nowhere");
    let status = house.workers.statuses().await.remove(0);
    assert!(status.secrets_in_environment);
    assert_eq!((status.mcp_servers, status.pid.is_some()), (vec!["main".parse().unwrap()], true));

    house.workers.stop(&key, "enough").await;
    let said: Vec<_> = house.workers.logs(&key, 10).into_iter().map(|line| line.message).collect();
    assert!(said.iter().any(|line| line.contains("asked to end")), "{said:?}");
    assert_eq!(house.observer.end_of(worker.id()).await, ["closed main", "gone"]);
    house.close().await;
}

#[tokio::test]
async fn a_server_that_ends_is_started_again_and_takes_no_other_along() {
    let house = House::new();
    let stdio = [McpTransport::Stdio];
    let key = plugin(
        &house,
        vec![server("good", &["server.cjs"], &stdio), server("bad", &["-e", "process.exit(7)"], &stdio)],
    );
    let worker = house.workers.ensure(&key).await.unwrap();
    let degraded = house.observer.event("degraded").await;
    assert_eq!(
        degraded,
        "degraded: the MCP server `bad` is down: over stdio: its process ended with exit code 7; the plugin's log has \
         what it wrote"
    );
    let first = ask(&house, "good", "hello").await.unwrap();
    assert!(ask(&house, "good", "exit").await.is_none());
    house.observer.event("closed good").await;
    let again = async {
        loop {
            if health(&worker, "good").await == ServerHealth::Ready
                && let Some(said) = ask(&house, "good", "hello").await
            {
                return said;
            }
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(SOON, again).await.unwrap();
    assert_ne!(first["pid"], again["pid"]);
    // The pauses of the bad one grow, and each is a bit longer than the last one doubled.
    let pauses = async {
        loop {
            let logs = house.workers.logs(&key, 100);
            let pauses: Vec<f64> = logs
                .iter()
                .filter(|line| line.message.contains("`bad` is down"))
                .filter_map(|line| {
                    line.message.rsplit_once("next start in ")?.1.strip_suffix(" s")?.parse().ok()
                })
                .collect();
            if pauses.len() >= 4 {
                return pauses;
            }
            tokio::task::yield_now().await;
        }
    };
    let pauses = tokio::time::timeout(SOON, pauses).await.unwrap();
    for (pause, least) in pauses.iter().zip([0.0, 0.5, 1.0, 2.0]) {
        assert!((least..=least * 1.25 + 0.051).contains(pause), "{pauses:?}");
    }
    assert_eq!(house.workers.statuses().await[0].restarts, 0, "the worker itself went on");
    house.close().await;
}

#[tokio::test]
async fn a_plugin_without_code_has_crashed_when_its_jail_ends() {
    let house = House::new();
    let key = plugin(&house, vec![server("main", &["server.cjs"], &[McpTransport::Stdio])]);
    let worker = house.workers.ensure(&key).await.unwrap();
    assert!(ask(&house, "main", "hello").await.is_some());
    // What is shown as its process is the jail's first one, with which everything in the jail ends.
    let pid = house.workers.statuses().await[0].pid.unwrap();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let crashed = house.observer.event("crashed").await;
    assert_eq!(crashed, "crashed (at once): the worker failed: it ended with signal 9 (SIGKILL)");
    assert_eq!(house.observer.end_of(worker.id()).await, ["closed main", "gone"]);

    let fresh = house.workers.ensure(&key).await.unwrap();
    assert_ne!(fresh.id(), worker.id());
    assert_eq!(health(&fresh, "main").await, ServerHealth::Ready);
    assert!(ask(&house, "main", "hello").await.is_some());
    assert_eq!(house.workers.statuses().await[0].restarts, 1);
    house.close().await;
}

#[tokio::test]
async fn servers_that_use_too_much_memory_end_their_worker_with_that_reason() {
    let house = House::with(|settings| settings.resources.memory = 256 << 20);
    // Control groups of version 1 end the one process alone, and it is started again.
    if house.grouped && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return house.close().await;
    }
    let key = plugin(&house, vec![server("main", &["server.cjs"], &[McpTransport::Stdio])]);
    house.workers.ensure(&key).await.unwrap();
    assert!(ask(&house, "main", "fill").await.is_none());
    let crashed = house.observer.event("crashed").await;
    assert!(crashed.contains("it ended with out of memory"), "{crashed}");
    house.close().await;
}

#[tokio::test]
async fn a_server_that_is_handed_over_replaces_the_one_of_its_name() {
    let house = House::with(|settings| settings.resources.mcp_servers = 2);
    let stdio = [McpTransport::Stdio];
    let key = plugin(&house, vec![server("main", &["server.cjs"], &stdio)]);
    let worker = house.workers.ensure(&key).await.unwrap();
    let first = ask(&house, "main", "hello").await.unwrap();
    let mut other = server("main", &["server.cjs"], &stdio);
    other.environment = vec![("OWN".into(), Secret::new("handed".into()))];
    house.workers.keep(worker.id(), other).await.unwrap();
    assert_eq!(health(&worker, "main").await, ServerHealth::Ready);
    let second = ask(&house, "main", "hello").await.unwrap();
    assert_ne!(first["pid"], second["pid"]);
    assert_eq!((&second["env"]["OWN"], &second["env"]["KEY"]), (&json!("handed"), &json!("k1")));
    let gone = async {
        while house.observer.events().iter().filter(|event| *event == "closed main").count() < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap();

    house.workers.keep(worker.id(), server("second", &["server.cjs"], &stdio)).await.unwrap();
    let third = house.workers.keep(worker.id(), server("third", &["server.cjs"], &stdio)).await;
    assert_eq!(third, Err(KeepRefused::TooMany(2)));
    house.workers.stop(&key, "enough").await;
    let late = house.workers.keep(worker.id(), server("late", &["server.cjs"], &stdio)).await;
    assert_eq!(late, Err(KeepRefused::NotBound));
    house.close().await;
}

#[tokio::test]
async fn a_port_in_the_jail_is_reached_with_the_first_transport_that_answers() {
    use McpTransport::{Http, Sse, Stdio, Websocket};
    let house = House::new();
    let listener =
        |id, speaks, transports: &[McpTransport]| server(id, &["listener.cjs", speaks], transports);
    let mut servers = vec![
        listener("one", "http", &[Http]),
        listener("two", "sse", &[Http, Websocket, Sse]),
        listener("three", "sse", &[Http]),
    ];
    if house.has_namespaces() {
        // That it listens is what tells that it says nothing on its standard output.
        servers.push(listener("four", "http", &[Stdio, Http]));
    }
    let key = plugin(&house, servers);
    let worker = house.workers.ensure(&key).await.unwrap();
    let down = |health| match health {
        ServerHealth::Down { error, .. } => error,
        health => panic!("{health:?}"),
    };
    if house.has_namespaces() {
        for id in ["one", "two", "four"] {
            assert_eq!(health(&worker, id).await, ServerHealth::Ready, "{id}");
        }
        assert_eq!(down(health(&worker, "three").await), "over http: it speaks `sse`");
    } else {
        let reason = format!("those of tier {} have none; only `stdio` works on this machine", house.tier);
        for id in ["one", "two", "three"] {
            assert!(down(health(&worker, id).await).ends_with(&reason), "{id}");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_session_that_is_over_is_opened_anew_and_code_can_have_servers_too() {
    let house = House::new();
    let key = house.plugin("exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });");
    let mut launch = house.source.launch_of(&key);
    fs::write(launch.package.root.join("server.cjs"), SERVER).unwrap();
    launch.binding.servers = vec![server("beside", &["server.cjs"], &[McpTransport::Stdio])];
    house.source.set(&key, Ok(launch));
    assert!(fixture("fake-runner.cjs").exists());
    let worker = house.workers.ensure(&key).await.unwrap();
    assert!(house.observer.call("tools", json!({ "id": 1 })).await.is_some());
    let taken =
        house.workers.keep(worker.id(), server("tools", &["server.cjs"], &[McpTransport::Stdio])).await;
    assert_eq!(taken, Err(KeepRefused::Open("tools".parse().unwrap())));
    let first = ask(&house, "beside", "hello").await.unwrap();
    house.workers.revive(worker.id(), &"beside".parse().unwrap());
    let id: ServerId = "beside".parse().unwrap();
    let changed = worker.kept_server_changed(&id, &ServerHealth::Ready);
    tokio::time::timeout(SOON, changed).await.unwrap();
    assert_eq!(health(&worker, "beside").await, ServerHealth::Ready);
    assert_ne!(ask(&house, "beside", "hello").await.unwrap()["pid"], first["pid"]);
    assert!(worker.kept_server(&"other".parse().unwrap()).await.is_none());
    house.close().await;
}
