//! The gate from inside a worker: it leads to the host, which knows whose each connection is.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_workers::{Gate, GateCaller, GateStream, HookCall};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{House, SOON};

/// Says to each word of a connection who spoke it.
struct Echo;

impl Gate for Echo {
    fn connection(&self, caller: GateCaller, mut stream: GateStream) -> BoxFuture<'static, ()> {
        async move {
            let mut word = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut word).await {
                let key = caller.key().map(ToString::to_string);
                let said = json!({
                    "word": String::from_utf8_lossy(&word[..length]),
                    "worker": caller.worker().to_string(),
                    "plugin": caller.plugin().as_str(),
                    "key": key,
                });
                if stream.write_all(format!("{said}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }
}

/// A plugin that connects before it knows its organization and speaks over that connection later on. It uses the way
/// that the jail gives: the host's name, or the socket that stands for it.
const PLUGIN: &str = "
    const net = require('node:net');
    let socket;
    const say = (word) => new Promise((resolve, reject) => {
      socket.once('data', (line) => resolve(JSON.parse(line))).once('error', reject);
      socket.write(word);
    });
    exports.initialize = async (w) => {
      const way = w.load.gate ? { path: w.load.gate } : { host: 'hayloft.internal', port: 80 };
      socket = net.connect(way);
      exports.registration = { name: 'Gate', early: await say('early') };
    };
    exports.disable = async (w) => ({ load: w.load, early: exports.registration.early, late: await say('late') });";

/// A stdio server, which finds the host by its name as any program does and passes on what that says.
const SERVER: &str = "
    const socket = require('node:net').connect(80, 'hayloft.internal');
    socket.on('data', (line) => process.stdout.write(line));
    socket.on('error', (error) => console.log(JSON.stringify(error.message)));
    require('node:readline').createInterface({ input: process.stdin }).on('line', () => socket.write('child'));";

fn house() -> House {
    House::with(|settings| settings.gate = Arc::new(Echo))
}

#[tokio::test]
async fn the_host_knows_each_worker_and_whom_it_serves() {
    let house = house();
    let mut workers = Vec::new();
    for id in ["hay-plugin-one", "hay-plugin-two"] {
        let instance = house.plugin_named(id, PLUGIN);
        workers.push((instance.clone(), house.workers.ensure(&instance).await.unwrap()));
    }
    for (instance, worker) in workers {
        let answer = tokio::time::timeout(SOON, worker.call_hook(HookCall::Disable)).await.unwrap().unwrap();
        let said = |word, key: Value| json!({ "word": word, "worker": worker.id().to_string(), "plugin": instance.plugin, "key": key });
        assert_eq!(answer["early"], said("early", Value::Null));
        assert_eq!(answer["late"], said("late", instance.to_string().into()));
    }
    house.close().await;
}

#[tokio::test]
async fn a_server_beside_the_worker_is_the_same_caller() {
    let house = house();
    let script = "exports.start = (w) => w.openMcp({ id: 'side', kind: 'stdio', command: 'node', args: ['server.cjs'], cwd: '.', env: {}, timeoutMs: 10000 });";
    let instance = house.plugin(script);
    std::fs::write(house.folder.path().join("hay-plugin-test/server.cjs"), SERVER).unwrap();
    let worker = house.workers.ensure(&instance).await.unwrap();
    let (mut stdin, mut lines) =
        house.observer.pipes.lock().unwrap().remove(&"side".parse().unwrap()).unwrap();
    stdin.write_all(b"again\n").await.unwrap();
    let answer = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["word"], &answer["worker"], &answer["key"]),
        (&json!("child"), &json!(worker.id().to_string()), &json!(instance.to_string()))
    );
    house.close().await;
}
