//! Against real name servers with zones of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::rr::{Name, Record};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::sleep;

use super::*;
use crate::dial::{ConnectError, Dial, Egress};
use crate::policy::{Policy, Reach};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a server was asked, as `protocol type name`.
type Asked = Arc<Mutex<Vec<String>>>;

/// A name server with one zone.
struct NameServer {
    address: SocketAddr,
    asked: Asked,
    zone: Arc<InMemoryZoneHandler>,
    _server: Server<Noting>,
}

/// Notes what is asked, and answers after a while.
struct Noting {
    catalog: Catalog,
    asked: Asked,
    pause: Duration,
}

#[async_trait]
impl RequestHandler for Noting {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        if let Ok(info) = request.request_info() {
            let asked =
                format!("{} {} {}", info.protocol, info.query.query_type(), info.query.name()).to_lowercase();
            self.asked.lock().unwrap().push(asked);
        }
        sleep(self.pause).await;
        self.catalog.handle_request::<R, T>(request, response).await
    }
}

fn records(origin: &str, zone: &str) -> (Name, BTreeMap<String, Vec<Record>>) {
    let text = format!(
        "$TTL 300\n@ IN SOA ns.{origin} admin.{origin} 1 3600 600 86400 5\n@ IN NS ns.{origin}\n{zone}\n"
    );
    let origin: Name = origin.parse().unwrap();
    let (_, sets) = Parser::new(text, None, Some(origin.clone())).parse().unwrap();
    let mut all = BTreeMap::<String, Vec<Record>>::new();
    for set in sets.into_values() {
        all.entry(set.name().to_string()).or_default().extend(set.records_without_rrsigs().cloned());
    }
    (origin, all)
}

impl NameServer {
    async fn start(origin: &str, zone: &str) -> Self {
        Self::slow(origin, zone, Duration::ZERO).await
    }

    async fn slow(origin: &str, zone: &str, pause: Duration) -> Self {
        let (name, all) = records(origin, zone);
        let mut handler = InMemoryZoneHandler::empty(name.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        for record in all.into_values().flatten() {
            assert!(handler.upsert_mut(record, 1));
        }
        let zone = Arc::new(handler);
        let mut catalog = Catalog::new();
        catalog.upsert(name.into(), vec![Arc::clone(&zone) as _]);
        let asked = Asked::default();
        let mut server = Server::new(Noting { catalog, asked: Arc::clone(&asked), pause });
        // Both on one port, which somebody else may have for one of them.
        let (datagrams, streams) = loop {
            let streams = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
            if let Ok(datagrams) = UdpSocket::bind(streams.local_addr().unwrap()).await {
                break (datagrams, streams);
            }
        };
        let address = streams.local_addr().unwrap();
        server.register_socket(datagrams);
        server.register_listener(streams, Duration::from_secs(5), 16);
        Self { address, asked, zone, _server: server }
    }

    /// From now on a name has these records and no others.
    async fn replace(&self, origin: &str, zone: &str) {
        let (_, all) = records(origin, zone);
        for (name, new) in all {
            let serial = self.zone.serial().await + 1;
            let mut kept = self.zone.records_mut().await;
            kept.retain(|key, _| key.name.to_string() != name);
            drop(kept);
            for record in new {
                assert!(self.zone.upsert(record, serial).await);
            }
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A resolver on some name servers, on a machine whose own domain is `corp.test`.
fn resolver(servers: &[SocketAddr]) -> SystemResolver {
    let servers = servers.iter().map(|address| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    });
    let search = vec!["corp.test.".parse().unwrap()];
    let config = ResolverConfig::from_parts(search.first().cloned(), search, servers.collect());
    SystemResolver::of(Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())))
}

async fn addresses(resolver: &SystemResolver, name: &str) -> Result<Vec<String>, ResolveError> {
    let found = resolver.resolve(&name.parse().unwrap()).await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

/// An address where a name server would be, which swallows what it is asked.
async fn silent() -> (SocketAddr, UdpSocket, TcpListener) {
    let streams = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = streams.local_addr().unwrap();
    (address, UdpSocket::bind(address).await.unwrap(), streams)
}

#[tokio::test]
async fn names_have_the_addresses_that_a_server_says() {
    let zone = "four A 192.0.2.1\nsix AAAA 2001:db8::1\nboth A 192.0.2.2\nboth AAAA 2001:db8::2\n\
                alias CNAME second\nsecond CNAME third\nthird A 192.0.2.3\nthird AAAA 2001:db8::3\n\
                lost CNAME nobody\ncircle CNAME round\nround CNAME circle\ntext TXT \"only words\"\n\
                *.wild A 192.0.2.4";
    let server = NameServer::start("example.test.", zone).await;
    let resolver = resolver(&[server.address]);
    let cases: [(&str, Result<&[&str], ResolveError>); 9] = [
        ("four", Ok(&["192.0.2.1"])),
        ("six", Ok(&["2001:db8::1"])),
        ("both", Ok(&["192.0.2.2", "2001:db8::2"])),
        ("alias", Ok(&["192.0.2.3", "2001:db8::3"])),
        ("any.wild", Ok(&["192.0.2.4"])),
        ("text", Err(ResolveError::Unknown)),
        ("nobody", Err(ResolveError::Unknown)),
        ("lost", Err(ResolveError::Unknown)),
        ("circle", Err(ResolveError::Unknown)),
    ];
    for (name, expected) in cases {
        let found = addresses(&resolver, &format!("{name}.example.test")).await;
        match (found, expected) {
            (Ok(mut found), Ok(expected)) => {
                found.sort();
                assert_eq!(found, expected, "{name}");
            }
            (Err(error), Err(expected)) => assert_eq!(error, expected, "{name}"),
            (found, expected) => panic!("{name}: {found:?}, not {expected:?}"),
        }
    }
    // A server that is not asked for such names says so, which is no answer.
    let refused = addresses(&resolver, "elsewhere.example").await.unwrap_err();
    assert!(matches!(refused, ResolveError::NoAnswer(_)), "{refused}");
}

#[tokio::test]
async fn the_machines_own_domains_complete_no_name() {
    let zone = "db.example A 10.0.0.1\nexample.test A 10.0.0.2\ndb A 10.0.0.3";
    let server = NameServer::start("corp.test.", zone).await;
    let resolver = resolver(&[server.address]);
    assert_eq!(addresses(&resolver, "db.corp.test").await.unwrap(), ["10.0.0.3"]);
    for name in ["db.example", "example.test"] {
        addresses(&resolver, name).await.unwrap_err();
    }
    let asked = server.asked();
    assert!(asked.iter().any(|asked| asked.ends_with(" db.example.")), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.ends_with("example.corp.test.")), "{asked:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_a_datagram_is_asked_for_again() {
    let mut zone = String::new();
    for number in 0..200 {
        writeln!(zone, "many AAAA 2001:db8::{number:x}").unwrap();
    }
    let server = NameServer::start("example.test.", &zone).await;
    let found = addresses(&resolver(&[server.address]), "many.example.test").await.unwrap();
    assert_eq!(found.len(), MOST_ADDRESSES);
    let asked = server.asked();
    for protocol in ["udp", "tcp"] {
        let question = format!("{protocol} aaaa many.example.test.");
        assert!(asked.contains(&question), "{question}: {asked:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_and_another_one_asked() {
    let (dead, _datagrams, _streams) = silent().await;
    let began = Instant::now();
    let error = addresses(&resolver(&[dead]), "four.example.test").await.unwrap_err();
    assert!(matches!(&error, ResolveError::NoAnswer(_)), "{error}");
    assert!(began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());

    let alive = NameServer::start("example.test.", "four A 192.0.2.1").await;
    let resolver = resolver(&[dead, alive.address]);
    let began = Instant::now();
    assert_eq!(addresses(&resolver, "four.example.test").await.unwrap(), ["192.0.2.1"]);
    assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_is_remembered_as_long_as_it_says() {
    let old = "brief 1 A 192.0.2.1\nlong 86400 A 192.0.2.1\nnever 0 A 192.0.2.1";
    let server = NameServer::start("example.test.", old).await;
    let resolver = resolver(&[server.address]);
    let look = async |name: &str| addresses(&resolver, &format!("{name}.example.test")).await.unwrap();
    for name in ["brief", "long", "never"] {
        assert_eq!(look(name).await, ["192.0.2.1"]);
    }
    server.replace("example.test.", &old.replace("192.0.2.1", "192.0.2.9")).await;
    assert_eq!(
        (look("long").await, look("never").await),
        (vec!["192.0.2.1".into()], vec!["192.0.2.9".into()])
    );
    let changes = async {
        while look("brief").await != ["192.0.2.9"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), changes).await.expect("it is asked for again");

    // However long an answer says that it holds, it is not believed for longer than that.
    let known = resolver.resolver.as_ref().unwrap().lookup_ip("long.example.test.").await.unwrap();
    let left = known.valid_until().saturating_duration_since(Instant::now());
    assert!(left <= LONGEST_MEMORY && left > LONGEST_MEMORY / 2, "{left:?}");
}

#[tokio::test]
async fn many_names_are_looked_up_at_once() {
    let server = NameServer::slow("example.test.", "*.wild A 192.0.2.4", Duration::from_millis(200)).await;
    let resolver = resolver(&[server.address]);
    let names: Vec<String> =
        (0..MOST_QUESTIONS).map(|number| format!("n{number}.wild.example.test")).collect();
    let found = futures::future::join_all(names.iter().map(|name| addresses(&resolver, name))).await;
    let failed: Vec<_> = found.iter().filter(|found| found.is_err()).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), found.len(), failed[0]);
}

/// Connects nowhere, and notes where to.
#[derive(Default)]
struct Notebook(Mutex<Vec<SocketAddr>>);

impl Dial for Notebook {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, std::io::Result<TcpStream>> {
        self.0.lock().unwrap().push(address);
        std::future::ready(Err(std::io::ErrorKind::ConnectionRefused.into())).boxed()
    }
}

#[tokio::test]
async fn a_name_that_comes_to_mean_a_private_address_leads_nowhere() {
    let zone = "evil 0 A 93.184.216.34\nmixed 0 A 93.184.216.34\nmixed 0 A 169.254.169.254\nchain 0 CNAME inner\n\
                inner 0 A 10.0.0.1";
    let server = NameServer::start("example.com.", zone).await;
    let notebook = Arc::new(Notebook::default());
    let egress = Egress::new(Arc::new(resolver(&[server.address])), Arc::clone(&notebook) as _);
    let policy = Policy::new(Reach::Public(vec![]), vec![]);
    let connect = async |name: &str| {
        let host = format!("{name}.example.com").parse().unwrap();
        let error = egress.connect(&policy, &host, 443).await.unwrap_err();
        (std::mem::take(&mut *notebook.0.lock().unwrap()), error)
    };
    let public: SocketAddr = "93.184.216.34:443".parse().unwrap();
    let (dialled, error) = connect("evil").await;
    assert_eq!(dialled, [public], "{error}");
    server.replace("example.com.", "evil 0 A 127.0.0.1\nevil 0 AAAA ::1").await;
    let (dialled, error) = connect("evil").await;
    assert!(dialled.is_empty() && matches!(error, ConnectError::NotPublic { .. }), "{dialled:?}: {error}");
    let (dialled, _) = connect("mixed").await;
    assert_eq!(dialled, [public]);
    let (dialled, error) = connect("chain").await;
    assert!(dialled.is_empty() && matches!(error, ConnectError::NotPublic { .. }), "{dialled:?}: {error}");
}
