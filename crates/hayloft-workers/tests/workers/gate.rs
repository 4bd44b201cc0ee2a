//! The gate from inside a worker: it leads to the host, which knows whose each connection is.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::InstanceKey;
use hayloft_workers::{Gate, GateCaller, GateLimits, GatePace, GateStream, HookCall, Worker};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{House, SOON};

/// Says to each word of a connection who spoke it.
struct Echo;

impl Gate for Echo {
    fn connection(&self, caller: GateCaller, mut stream: GateStream, _: GatePace) -> BoxFuture<'static, ()> {
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

/// Counts the connections of each organization, and answers each with one line.
#[derive(Default)]
struct Counter(Mutex<HashMap<String, usize>>);

impl Counter {
    fn of(&self, instance: &InstanceKey) -> usize {
        self.0.lock().unwrap().get(&instance.to_string()).copied().unwrap_or_default()
    }
}

impl Gate for Counter {
    fn connection(&self, caller: GateCaller, mut stream: GateStream, _: GatePace) -> BoxFuture<'static, ()> {
        let name = caller.key().map(ToString::to_string).unwrap_or_default();
        *self.0.lock().unwrap().entry(name).or_default() += 1;
        async move { drop(stream.write_all(b"well\n").await) }.boxed()
    }
}

/// Connects as often as it is told, from as many sockets as it is told, and gives what failed.
const CALLER: &str = "
    const net = require('node:net');
    exports.disable = async (w) => {
      const way = w.load.gate ? { path: w.load.gate } : { host: 'hayloft.internal', port: 80 };
      const call = () => new Promise((resolve, reject) => {
        const socket = net.connect(way).once('data', resolve).once('error', reject);
        socket.once('close', () => reject(new Error('closed')));
      });
      const until = Date.now() + FOR;
      let done = 0;
      const again = async () => { while (Date.now() < until && done < MOST) { await call(); done += 1; } };
      await Promise.all(Array.from({ length: SOCKETS }, again));
      return done;
    };";

/// Answers each request in its turn, after a moment.
struct Slow;

impl Gate for Slow {
    fn connection(&self, _: GateCaller, mut stream: GateStream, pace: GatePace) -> BoxFuture<'static, ()> {
        async move {
            while let Ok(1..) = stream.read(&mut [0; 64]).await {
                let _turn = pace.turn().await;
                // Longer than whoever does nothing is waited for.
                tokio::time::sleep(Duration::from_millis(150)).await;
                if stream.write_all(b"well\n").await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }
}

/// A job that is answered at once and then asks the host for one thing after the other.
const LATER: &str = "
    const net = require('node:net');
    exports.cron = (w) => {
      const way = w.load.gate ? { path: w.load.gate } : { host: 'hayloft.internal', port: 80 };
      const ask = () => new Promise((resolve) => { const socket = net.connect(way).once('data', () => resolve(socket.destroy())); socket.write('a'); });
      void (async () => { for (let i = 0; i < 4; i += 1) await ask(); console.log('done'); })();
      return {};
    };";

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
async fn work_after_the_answer_holds_a_worker_that_is_to_end() {
    let house = House::with(|settings| settings.gate = Arc::new(Slow));
    let instance = house.plugin(LATER);
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert!(worker.call_hook(HookCall::Cron("later".into())).await.is_ok());
    tokio::time::timeout(SOON, house.workers.stop(&instance, "a test says so")).await.unwrap();
    let said = house.workers.logs(&instance, 100);
    assert!(said.iter().any(|line| line.message == "done"), "{said:?}");
    house.close().await;

    // No longer than calls may take.
    let house = House::with(|settings| {
        settings.gate = Arc::new(Slow);
        settings.deadlines.drain = Duration::from_millis(200);
    });
    let instance = house.plugin(LATER);
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert!(worker.call_hook(HookCall::Cron("later".into())).await.is_ok());
    tokio::time::timeout(SOON, house.workers.stop(&instance, "a test says so")).await.unwrap();
    let said = house.workers.logs(&instance, 100);
    assert!(!said.iter().any(|line| line.message == "done"), "{said:?}");
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_floods_its_gate_is_paced_alone() {
    const RATE: u32 = 20;
    const BURST: u32 = 40;
    let counter = Arc::new(Counter::default());
    let limits = GateLimits { rate: NonZeroU32::new(RATE).unwrap(), burst: BURST, ..GateLimits::default() };
    let gate = Arc::clone(&counter);
    let house = House::with(move |settings| (settings.gate, settings.gates) = (gate, limits));
    let script = |most: &str, time: &str, sockets: &str| {
        CALLER.replace("MOST", most).replace("FOR", time).replace("SOCKETS", sockets)
    };
    let flooder = house.plugin_named("hay-plugin-flooder", &script("Infinity", "3000", "50"));
    let normal = house.switched_on(2, "hay-plugin-normal", &script("15", "Infinity", "1"));
    let flooding = house.workers.ensure(&flooder).await.unwrap();
    let working = house.workers.ensure(&normal).await.unwrap();
    let begun = Instant::now();
    let hook = async |worker: &Worker| {
        tokio::time::timeout(SOON, worker.call_hook(HookCall::Disable)).await.unwrap().unwrap()
    };
    let flood = async {
        let done = hook(&flooding).await;
        (done, begun.elapsed())
    };
    let work = async {
        // Not before the other one is in full swing.
        while counter.of(&flooder) < BURST as usize {
            tokio::task::yield_now().await;
        }
        let before = (Instant::now(), counter.of(&flooder));
        assert_eq!(hook(&working).await, json!(15));
        (before.0.elapsed(), counter.of(&flooder) - before.1)
    };
    let ((done, flooded), (worked, meanwhile)) = futures::join!(flood, work);
    let allowed = |time: Duration| f64::from(RATE) * time.as_secs_f64();
    let flooded_with = counter.of(&flooder) as f64;
    assert!(flooded_with <= allowed(flooded) + f64::from(BURST) + 1.0, "{flooded_with} in {flooded:?}");
    assert!(done.as_u64().unwrap() >= u64::from(BURST), "nobody is refused: {done}");
    assert!(meanwhile as f64 <= allowed(worked) + 1.0, "{meanwhile} in {worked:?}");
    // Had it waited behind the other one, its connections would have taken as long as that one's.
    assert!(worked < Duration::from_secs_f64(15.0 / f64::from(RATE)), "it was held up for {worked:?}");
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_floods_its_channel_is_paced() {
    let limits = GateLimits { rate: NonZeroU32::new(10).unwrap(), burst: 20, ..GateLimits::default() };
    let house = House::with(move |settings| settings.gates = limits);
    // Each is answered, so the answers tell how many were read.
    let script = "
        exports.disable = async (w) => {
          const until = Date.now() + 2000;
          let done = 0;
          const again = async () => {
            while (Date.now() < until) { await w.request({ type: 'closeMcp', serverId: 'none' }).catch(() => {}); done += 1; }
          };
          await Promise.all(Array.from({ length: 10 }, again));
          return done;
        };";
    let worker = house.workers.ensure(&house.plugin(script)).await.unwrap();
    let begun = Instant::now();
    let done = tokio::time::timeout(SOON, worker.call_hook(HookCall::Disable)).await.unwrap().unwrap();
    let most = 20.0 + 10.0 * begun.elapsed().as_secs_f64() + 1.0;
    let done = done.as_f64().unwrap();
    assert!((20.0..=most).contains(&done), "{done} of at most {most}");
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
