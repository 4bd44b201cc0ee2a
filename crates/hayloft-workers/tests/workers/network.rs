//! The network from inside a worker: what it was granted is reached by name, and nothing else.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use hayloft_model::InstanceKey;
use hayloft_workers::{HookCall, JailLimits, LogStream, Reason, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{House, SOON};

/// A plugin that connects to a name as its jail's way is, and tells how that went.
const PLUGIN: &str = "
    const net = require('node:net');
    const path = require('node:path');
    const connect = (load, host, port) => new Promise((done) => {
      const socket = load.gate
        ? net.connect({ path: path.join(path.dirname(load.gate), 'network.sock') })
        : net.connect(port, host);
      socket.setTimeout(10000, () => done('silence'));
      let said = '';
      socket.on('data', (data) => said += data);
      socket.on('end', () => done(said || 'nothing')).on('error', (error) => done(error.code));
      if (load.gate) socket.write('connect ' + host + ' ' + port + '\\n');
      socket.end('hello');
    });
    exports.registration = { name: 'Network' };
    exports.initialize = async (w) => { exports.registration.early = await connect(w.load, 'early.test', 80); };
    exports.disable = async (w) => {
      const all = { early: exports.registration.early };
      for (const place of PLACES) {
        const [host, port] = place.split(':');
        all[place] = await connect(w.load, host, Number(port));
      }
      return all;
    };";

/// A service that answers each connection with what it was told.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = String::new();
                if stream.read_to_string(&mut said).await.is_ok() {
                    let _ = stream.write_all(format!("you said {said}").as_bytes()).await;
                }
            });
        }
    });
    address
}

fn granted(settings: &mut Settings, plugin: &str, grants: &[String]) {
    let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    settings.network.private.insert(plugin.parse().unwrap(), grants);
}

async fn outcome(house: &House, instance: &InstanceKey) -> Value {
    let worker = house.workers.ensure(instance).await.unwrap();
    timeout(SOON, worker.call_hook(HookCall::Disable)).await.unwrap().unwrap()
}

fn places(places: &[&str]) -> String {
    PLUGIN.replace("PLACES", &json!(places).to_string())
}

#[tokio::test]
async fn what_is_granted_is_reached_and_what_is_not_is_told() {
    let address = service();
    let house = House::with(|settings| {
        granted(
            settings,
            "hay-plugin-one",
            &[format!("db.test:5432={address}"), format!("web.test:80={address}")],
        );
        granted(settings, "hay-plugin-two", &[format!("other.test:80={address}")]);
    });
    let script = places(&["db.test:5432", "web.test:80", "db.test:80", "other.test:80", "secret.test:80"]);
    let one = house.plugin_named("hay-plugin-one", &script);
    let reached = outcome(&house, &one).await;
    assert_eq!(
        (&reached["db.test:5432"], &reached["web.test:80"]),
        (&json!("you said hello"), &json!("you said hello"))
    );
    for place in ["db.test:80", "other.test:80", "secret.test:80", "early"] {
        let outcome = reached[place].as_str().unwrap();
        assert!(["ENOTFOUND", "ECONNRESET", "nothing", "EPIPE"].contains(&outcome), "{place}: {outcome}");
    }
    // The one that is granted to another plugin is reached by that one.
    let two = house.plugin_named("hay-plugin-two", &places(&["other.test:80", "db.test:5432"]));
    let reached = outcome(&house, &two).await;
    assert_eq!(reached["other.test:80"], "you said hello");
    assert_ne!(reached["db.test:5432"], "you said hello");

    let refused = house.observer.refused.lock().unwrap().clone();
    let told = |key: Option<&InstanceKey>, host: &str, reason| {
        refused.iter().any(|(whose, refusal)| {
            whose.as_ref() == key && refusal.host.as_deref() == Some(host) && refusal.reason == reason
        })
    };
    assert!(told(None, "early.test", Reason::Host), "before it is bound it is nobody's: {refused:?}");
    assert!(told(Some(&one), "db.test", Reason::Port), "{refused:?}");
    assert!(told(Some(&one), "secret.test", Reason::Host), "{refused:?}");
    assert!(told(Some(&two), "db.test", Reason::Host), "{refused:?}");
    let lines = house.workers.logs(&one, 100);
    let mut lines = lines.iter().filter(|line| line.stream == LogStream::Host);
    assert!(lines.any(|line| line.message.contains("`secret.test`")), "its people see it in its log");
    house.close().await;
}

#[tokio::test]
async fn a_flood_of_connections_is_paced() {
    let address = service();
    let house = House::with(|settings| {
        settings.network.limits = JailLimits { connections_per_second: 20, ..JailLimits::default() };
        granted(settings, "hay-plugin-test", &[format!("web.test:80={address}")]);
    });
    // Two seconds' worth is free, so the last twenty take a second.
    let script = places(&[]).replace(
        "for (const place of",
        "for (let n = 0; n < 60; n++) await connect(w.load, 'web.test', 80); for (const place of",
    );
    let begun = std::time::Instant::now();
    outcome(&house, &house.plugin(&script)).await;
    assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
    house.close().await;
}

#[tokio::test]
async fn connections_end_with_their_worker() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let house =
        House::with(|settings| granted(settings, "hay-plugin-test", &[format!("web.test:80={address}")]));
    let script =
        places(&[]).replace("for (const place of", "connect(w.load, 'web.test', 80); for (const place of");
    let instance = house.plugin(&script);
    outcome(&house, &instance).await;
    let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    house.workers.stop(&instance, "the test says so").await;
    let end = timeout(SOON, stream.read(&mut said)).await.expect("it is cut");
    assert!(matches!(end, Ok(0) | Err(_)));
    house.close().await;
}
