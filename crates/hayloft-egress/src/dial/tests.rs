//! What is dialled, in which order, and what is not.
#![expect(clippy::disallowed_methods, reason = "the tests are both ends")]

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::net::TcpListener;

use super::*;
use crate::policy::{PrivateGrant, Reach};

/// Names with their addresses, and what was asked for.
#[derive(Default)]
struct Names(HashMap<&'static str, Vec<IpAddr>>, Mutex<Vec<String>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        self.1.lock().unwrap().push(host.to_string());
        let found = self.0.get(host.as_str()).cloned().ok_or(ResolveError::Unknown);
        std::future::ready(found).boxed()
    }
}

/// Some addresses lead to a listener, some never answer, others refuse. It notes what is dialled.
struct Network {
    here: SocketAddr,
    answering: Vec<IpAddr>,
    silent: Vec<IpAddr>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Dial for Network {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        if self.silent.contains(&address.ip()) {
            return std::future::pending().boxed();
        }
        if self.answering.contains(&address.ip()) || address == self.here {
            return TcpStream::connect(self.here).boxed();
        }
        std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
    }
}

struct Fixture {
    egress: Egress,
    names: Arc<Names>,
    network: Arc<Network>,
    _listener: TcpListener,
}

async fn fixture(names: &[(&'static str, &[&str])], answering: &[&str], silent: &[&str]) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let names =
        Arc::new(Names(names.iter().map(|(name, all)| (*name, ips(all))).collect(), Mutex::default()));
    let network = Arc::new(Network {
        here: listener.local_addr().unwrap(),
        answering: ips(answering),
        silent: ips(silent),
        dialled: Mutex::default(),
    });
    let egress = Egress::new(names.clone(), network.clone());
    Fixture { egress, names, network, _listener: listener }
}

impl Fixture {
    async fn connect(&self, name: &str) -> Result<TcpStream, ConnectError> {
        self.egress.connect(&Policy::new(Reach::Public(vec![]), vec![]), &name.parse().unwrap(), 443).await
    }

    fn dialled(&self) -> Vec<String> {
        self.network.dialled.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn what_was_vetted_is_dialled() {
    let names: &[(_, &[&str])] = &[("a.example.com", &["::ffff:9.9.9.9"])];
    let fixture = fixture(names, &["9.9.9.9"], &[]).await;
    fixture.connect("a.example.com").await.unwrap();
    assert_eq!(fixture.dialled(), ["9.9.9.9:443"]);
    assert_eq!(*fixture.names.1.lock().unwrap(), ["a.example.com"], "asked once");
}

#[tokio::test]
async fn private_addresses_are_not_dialled_whatever_stands_beside_them() {
    let names: &[(_, &[&str])] = &[
        ("private.example.com", &["127.0.0.1", "10.0.0.1", "::1", "64:ff9b::a9fe:a9fe"]),
        ("mixed.example.com", &["169.254.169.254", "9.9.9.9", "::ffff:127.0.0.1"]),
        ("nothing.example.com", &[]),
    ];
    let fixture = fixture(names, &["9.9.9.9", "127.0.0.1", "10.0.0.1", "169.254.169.254"], &[]).await;
    let refused = fixture.connect("private.example.com").await.unwrap_err();
    assert!(matches!(refused, ConnectError::NotPublic { .. }) && refused.is_refusal(), "{refused}");
    assert!(fixture.dialled().is_empty());
    fixture.connect("mixed.example.com").await.unwrap();
    assert_eq!(fixture.dialled(), ["9.9.9.9:443"]);
    for name in ["nothing.example.com", "unknown.example.com"] {
        let unknown = fixture.connect(name).await.unwrap_err();
        assert!(matches!(unknown, ConnectError::Resolve(ResolveError::Unknown)), "{unknown}");
    }
}

#[tokio::test]
async fn what_the_policy_refuses_is_not_even_looked_up() {
    let fixture = fixture(&[("printer", &["9.9.9.9"])], &["9.9.9.9"], &[]).await;
    assert!(matches!(fixture.connect("printer").await, Err(ConnectError::Denied(Denial::Host))));
    assert!(fixture.names.1.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_granted_address_is_dialled_without_a_look_up() {
    let fixture = fixture(&[], &[], &[]).await;
    let host: HostName = "db.internal".parse().unwrap();
    let grant = PrivateGrant { host: host.clone(), port: 5432, address: fixture.network.here };
    let policy = Policy::new(Reach::Nothing, vec![grant]);
    fixture.egress.connect(&policy, &host, 5432).await.unwrap();
    assert!(fixture.names.1.lock().unwrap().is_empty());
    assert!(fixture.egress.connect(&policy, &host, 5433).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_holds_up_the_next_one_only_a_moment() {
    let addresses = ["2606:4700::1", "2606:4700::2", "9.9.9.9", "9.9.9.10"];
    let names: &[(_, &[&str])] = &[("a.example.com", &addresses)];
    let fixture = fixture(names, &["9.9.9.10"], &["2606:4700::1", "2606:4700::2"]).await;
    let begun = Instant::now();
    fixture.connect("a.example.com").await.unwrap();
    assert_eq!(
        fixture.dialled(),
        ["[2606:4700::1]:443", "9.9.9.9:443", "[2606:4700::2]:443", "9.9.9.10:443"]
    );
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_without_end() {
    let names: &[(_, &[&str])] = &[("a.example.com", &["9.9.9.9"])];
    let fixture = fixture(names, &[], &["9.9.9.9"]).await;
    assert!(matches!(fixture.connect("a.example.com").await, Err(ConnectError::TooSlow)));
}

#[tokio::test]
async fn a_refusal_of_every_address_is_told() {
    let names: &[(_, &[&str])] = &[("a.example.com", &["9.9.9.9", "2606:4700::1"])];
    let fixture = fixture(names, &[], &[]).await;
    let error = fixture.connect("a.example.com").await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    );
    assert!(!error.is_refusal());
}
