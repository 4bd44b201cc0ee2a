//! A jail's sockets, answered: who is reached, who is not, and what is told of it.
#![expect(clippy::disallowed_methods, reason = "the tests are both ends")]

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{Dial, PrivateGrant, Reach, Resolve, ResolveError};

/// How long what must happen may take.
const SOON: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Heard(Mutex<Vec<Refusal>>);

impl Watch for Heard {
    fn refused(&self, refusal: Refusal) {
        self.0.lock().unwrap().push(refusal);
    }
}

impl Heard {
    fn reasons(&self) -> Vec<(Option<String>, Option<u16>, Reason)> {
        let heard = self.0.lock().unwrap();
        heard.iter().map(|refusal| (refusal.host.clone(), refusal.port, refusal.reason)).collect()
    }
}

/// Every name is at one address, and every dial ends at the one server that there is.
struct Outside {
    server: SocketAddr,
    address: IpAddr,
    /// How many names were looked up.
    asked: AtomicUsize,
}

impl Resolve for Outside {
    fn resolve<'a>(&'a self, _: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(vec![self.address])).boxed()
    }
}

impl Dial for Outside {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        TcpStream::connect(self.server).boxed()
    }
}

/// A network whose synthetic addresses are those of this machine's loopback: connections are handed in by hand.
struct Fixture {
    network: Arc<JailNetwork>,
    heard: Arc<Heard>,
    outside: Arc<Outside>,
    server: TcpListener,
}

async fn fixture(policy: Policy, limits: JailLimits) -> Fixture {
    fixture_at(policy, limits, "9.9.9.9").await
}

async fn fixture_at(policy: Policy, limits: JailLimits, address: &str) -> Fixture {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = Arc::new(Outside {
        server: server.local_addr().unwrap(),
        address: address.parse().unwrap(),
        asked: AtomicUsize::new(0),
    });
    let heard = Arc::new(Heard::default());
    let egress = Egress::new(outside.clone(), outside.clone());
    let network = Arc::new(JailNetwork::new(egress, Arc::new(policy), &limits, heard.clone()));
    Fixture { network, heard, outside, server }
}

fn public() -> Policy {
    Policy::new(Reach::Public(vec!["mail.example.com:25".parse().unwrap()]), vec![])
}

impl Fixture {
    /// A connection of the jail, as it asks where it has no network of its own.
    async fn connect(&self, request: &str) -> UnixStream {
        let (mut inside, outside) = UnixStream::pair().unwrap();
        let network = Arc::clone(&self.network);
        tokio::spawn(async move { network.requested(outside).await });
        inside.write_all(request.as_bytes()).await.unwrap();
        inside
    }

    /// How many names the host itself looked up.
    fn asked(&self) -> usize {
        self.outside.asked.load(Ordering::Relaxed)
    }
}

async fn end_of(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    // A connection that is cut may end with an error instead.
    let _ = timeout(SOON, stream.read_to_end(&mut all)).await.expect("it ends");
    all
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_side_ends_by_itself() {
    let fixture = fixture(public(), JailLimits::default()).await;
    let mut inside = fixture.connect("connect api.example.com 80\nGET /").await;
    let (mut outside, _) = fixture.server.accept().await.unwrap();
    let mut said = [0; 5];
    outside.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"GET /");
    inside.shutdown().await.unwrap();
    assert_eq!(outside.read(&mut said).await.unwrap(), 0, "the end of one direction arrives");
    outside.write_all(b"still here").await.unwrap();
    drop(outside);
    assert_eq!(end_of(&mut inside).await, b"still here");
    assert_eq!(fixture.heard.reasons(), []);
}

#[tokio::test]
async fn where_the_server_speaks_first_it_is_heard() {
    let fixture = fixture(public(), JailLimits::default()).await;
    let mut inside = fixture.connect("connect mail.example.com 25\n").await;
    let (mut outside, _) = fixture.server.accept().await.unwrap();
    outside.write_all(b"220 hello").await.unwrap();
    let mut said = [0; 9];
    inside.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"220 hello");
}

#[tokio::test]
async fn tls_for_another_host_is_cut_before_it_gets_out() {
    let fixture = fixture(public(), JailLimits::default()).await;
    // A hello without any name, and what is no TLS at all, where TLS must be.
    for (host, words) in
        [("a.example.com", &b"GET / HTTP/1.1\r\n"[..]), ("b.example.com", b"\x16\x03\x01\x00\x00")]
    {
        let mut inside = fixture.connect(&format!("connect {host} 443\n")).await;
        inside.write_all(words).await.unwrap();
        assert_eq!(end_of(&mut inside).await, b"");
        assert_eq!(fixture.heard.reasons().pop(), Some((Some(host.into()), Some(443), Reason::NoTls)));
    }
    let reached = timeout(Duration::from_millis(50), fixture.server.accept()).await;
    assert!(reached.is_err(), "nobody outside heard of it");
    // Elsewhere the server may speak first, so it is reached; the words do not get through.
    let mut inside = fixture.connect("connect mail.example.com 25\n").await;
    let (mut outside, _) = fixture.server.accept().await.unwrap();
    inside.write_all(b"\x16\x03\x01\x00\x00").await.unwrap();
    assert_eq!(end_of(&mut outside).await, b"");
    assert_eq!(end_of(&mut inside).await, b"");
}

#[tokio::test]
async fn refusals_are_told_and_reach_nobody() {
    let fixture = fixture_at(public(), JailLimits::default(), "169.254.169.254").await;
    for (request, host, port, reason) in [
        ("connect printer 80\n", "printer", 80, Reason::Host),
        ("connect api.example.com 22\n", "api.example.com", 22, Reason::Port),
        ("connect 127.0.0.1 80\n", "127.0.0.1", 80, Reason::Host),
        ("connect api.example.com 80\n", "api.example.com", 80, Reason::NotPublic(crate::Special::LinkLocal)),
    ] {
        let mut inside = fixture.connect(request).await;
        assert_eq!(end_of(&mut inside).await, b"");
        let told = fixture.heard.reasons().pop();
        assert_eq!(told, Some((Some(host.to_owned()), Some(port), reason)), "{request}");
    }
    for nonsense in ["\n", "connect\n", "connect a b\n", "GET / HTTP/1.1\n", "connect a.example.com 80 x\n"] {
        assert_eq!(end_of(&mut fixture.connect(nonsense).await).await, b"", "{nonsense}");
    }
    let endless = "x".repeat(1000);
    assert_eq!(end_of(&mut fixture.connect(&endless).await).await, b"");
    let reached = timeout(Duration::from_millis(50), fixture.server.accept()).await;
    assert!(reached.is_err());
}

#[tokio::test]
async fn a_name_is_looked_up_and_its_address_connected_to() {
    let fixture = fixture(public(), JailLimits::default()).await;
    for (name, address) in [
        ("api.example.com", "198.18.1.1\n"),
        ("hayloft.internal", "198.18.0.1\n"),
        ("printer", "\n"),
        ("127.0.0.1", "\n"),
    ] {
        let mut inside = fixture.connect(&format!("lookup {name}\n")).await;
        assert_eq!(String::from_utf8(end_of(&mut inside).await).unwrap(), address, "{name}");
    }
    let refused = |host: &str| (Some(host.to_owned()), None, Reason::Host);
    assert_eq!(fixture.heard.reasons(), [refused("printer"), refused("127.0.0.1")]);
    assert_eq!(fixture.asked(), 0, "a question of a jail is asked of nobody else");
    let _inside = fixture.connect("connect 198.18.1.1 80\nx").await;
    let (mut outside, _) = fixture.server.accept().await.unwrap();
    assert_eq!(outside.read_u8().await.unwrap(), b'x');
    assert_eq!(fixture.asked(), 1, "a connection is");
    assert_eq!(end_of(&mut fixture.connect("connect 198.18.9.9 80\nx").await).await, b"");
}

#[tokio::test]
async fn bytes_are_measured_out_over_all_connections() {
    let limits = JailLimits { bytes_per_second: 1 << 20, ..JailLimits::default() };
    let fixture = fixture(public(), limits).await;
    let begun = std::time::Instant::now();
    let amount = 512 << 10;
    let mut receiving = Vec::new();
    for _ in 0..2 {
        let mut inside = fixture.connect("connect api.example.com 80\n.").await;
        let (mut outside, _) = fixture.server.accept().await.unwrap();
        tokio::spawn(async move {
            assert_eq!(end_of(&mut outside).await, b".");
            outside.write_all(&vec![0; amount]).await
        });
        receiving.push(async move {
            inside.shutdown().await.unwrap();
            end_of(&mut inside).await.len()
        });
    }
    let received: usize = futures::future::join_all(receiving).await.into_iter().sum();
    assert_eq!(received, 2 * amount);
    // A quarter of a second's worth is free.
    assert!(begun.elapsed() > Duration::from_millis(600), "{:?}", begun.elapsed());
}

/// A served network on sockets of this machine.
struct Served {
    names: SocketAddr,
    names_by_stream: SocketAddr,
    port: SocketAddr,
    fixture: Fixture,
    _serving: AbortOnDropHandle<io::Result<Infallible>>,
}

async fn serve(policy: Policy, limits: JailLimits) -> Served {
    let fixture = fixture(policy, limits).await;
    let sockets = Sockets {
        names: std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
        names_by_stream: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        listeners: vec![std::net::TcpListener::bind("0.0.0.0:0").unwrap()],
    };
    let names = sockets.names.local_addr().unwrap();
    let names_by_stream = sockets.names_by_stream.local_addr().unwrap();
    let port = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), sockets.listeners[0].local_addr().unwrap().port());
    let network = Arc::clone(&fixture.network);
    let serving = tokio::spawn(async move { network.serve(sockets).await });
    Served { names, names_by_stream, port, fixture, _serving: AbortOnDropHandle::new(serving) }
}

impl Served {
    /// The answer to a question by datagram.
    async fn by_datagram(&self, socket: &UdpSocket, name: &str) -> Result<Ipv4Addr, RCODE> {
        socket.send_to(&question(name), self.names).await.unwrap();
        let mut answer = [0; 600];
        let length = timeout(SOON, socket.recv(&mut answer)).await.unwrap().unwrap();
        address_in(&answer[..length])
    }
}

/// Asks over a connection, each question behind its length.
async fn ask(stream: &mut TcpStream, name: &str) {
    let question = question(name);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, question.as_slice()].concat()).await.unwrap();
}

/// The answer to a question over a connection.
async fn answered(stream: &mut TcpStream) -> Result<Ipv4Addr, RCODE> {
    let mut answer = vec![0; usize::from(timeout(SOON, stream.read_u16()).await.unwrap().unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    address_in(&answer)
}

fn question(name: &str) -> Vec<u8> {
    let mut packet = Packet::new_query(7);
    let name = simple_dns::Name::new_unchecked(name);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().unwrap()
}

fn address_in(answer: &[u8]) -> Result<Ipv4Addr, RCODE> {
    let answer = Packet::parse(answer).unwrap();
    match answer.answers.first().map(|record| &record.rdata) {
        Some(RData::A(address)) => Ok(Ipv4Addr::from_bits(address.address)),
        _ => Err(answer.rcode()),
    }
}

#[tokio::test]
async fn names_are_answered_by_datagram_and_by_connection() {
    let served = serve(public(), JailLimits::default()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(served.names_by_stream).await.unwrap();
    for (name, address) in [
        ("api.example.com", Ok(Ipv4Addr::new(198, 18, 1, 1))),
        ("mail.example.com", Ok(Ipv4Addr::new(198, 18, 1, 0))),
        ("hayloft.internal", Ok(HOST_ADDRESS)),
        ("secret.internal", Err(RCODE::NameError)),
    ] {
        assert_eq!(served.by_datagram(&socket, name).await, address, "{name}");
        ask(&mut stream, name).await;
        assert_eq!(answered(&mut stream).await, address, "{name}");
    }
    let host = Some(String::from("secret.internal"));
    let heard = served.fixture.heard.reasons();
    assert_eq!(heard, [(host, None, Reason::Host)], "the second one is only counted");
    assert_eq!(served.fixture.asked(), 0, "a question of a jail is asked of nobody else");
    let _inside = served.fixture.connect("connect api.example.com 80\nx").await;
    served.fixture.server.accept().await.unwrap();
    assert_eq!(served.fixture.asked(), 1, "a connection is");
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let served = serve(public(), JailLimits { connections: 1, ..JailLimits::default() }).await;
    let host = Ok(HOST_ADDRESS);
    let mut first = TcpStream::connect(served.names_by_stream).await.unwrap();
    ask(&mut first, HOST_NAME).await;
    assert_eq!(answered(&mut first).await, host);

    // The limit is that of all listeners together.
    let mut second = TcpStream::connect(served.port).await.unwrap();
    let waited = timeout(Duration::from_millis(100), second.read(&mut [0])).await;
    assert!(waited.is_err(), "it was let in: {waited:?}");
    // What is open is answered meanwhile, and so is the next one when it ends.
    ask(&mut first, HOST_NAME).await;
    assert_eq!(answered(&mut first).await, host);
    drop(first);
    assert!(timeout(SOON, second.read(&mut [0])).await.unwrap().is_err(), "its address stands for nothing");

    let mut held = TcpStream::connect(served.names_by_stream).await.unwrap();
    ask(&mut held, HOST_NAME).await;
    assert_eq!(answered(&mut held).await, host);
    let mut waiting = TcpStream::connect(served.names_by_stream).await.unwrap();
    ask(&mut waiting, HOST_NAME).await;
    let waited = timeout(Duration::from_millis(100), waiting.read_u8()).await;
    assert!(waited.is_err(), "it was answered: {waited:?}");
    drop(held);
    assert_eq!(answered(&mut waiting).await, host);
}

#[tokio::test]
async fn names_are_looked_up_no_faster_than_the_limit() {
    // Two seconds' worth is free, so the last ten take a second.
    const QUESTIONS: usize = 30;
    let limits = JailLimits { lookups_per_second: 10, ..JailLimits::default() };
    let by_datagram = async {
        let served = serve(public(), limits).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let begun = std::time::Instant::now();
        for _ in 0..QUESTIONS {
            served.by_datagram(&socket, HOST_NAME).await.unwrap();
        }
        begun.elapsed()
    };
    let by_connection = async {
        let served = serve(public(), limits).await;
        let mut stream = TcpStream::connect(served.names_by_stream).await.unwrap();
        let begun = std::time::Instant::now();
        for _ in 0..QUESTIONS {
            ask(&mut stream, HOST_NAME).await;
            answered(&mut stream).await.unwrap();
        }
        begun.elapsed()
    };
    let by_request = async {
        let fixture = fixture(public(), limits).await;
        let begun = std::time::Instant::now();
        for _ in 0..QUESTIONS {
            let mut inside = fixture.connect(&format!("lookup {HOST_NAME}\n")).await;
            assert_eq!(end_of(&mut inside).await, format!("{HOST_ADDRESS}\n").into_bytes());
        }
        begun.elapsed()
    };
    let took: [Duration; 3] = tokio::join!(by_datagram, by_connection, by_request).into();
    assert!(took.iter().all(|took| *took > Duration::from_millis(900)), "{took:?}");
}

#[tokio::test]
async fn an_address_that_stands_for_nothing_is_cut() {
    let served = serve(public(), JailLimits::default()).await;
    let mut stream = TcpStream::connect(served.port).await.unwrap();
    assert!(stream.read(&mut [0]).await.is_err(), "reset, not an orderly end");
    let reached = timeout(Duration::from_millis(50), served.fixture.server.accept()).await;
    assert!(reached.is_err());
}

#[tokio::test]
async fn a_private_grant_reaches_its_service() {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grant = PrivateGrant {
        host: "db.internal".parse().unwrap(),
        port: 5432,
        address: service.local_addr().unwrap(),
    };
    let network = JailNetwork::new(
        Egress::system(),
        Arc::new(Policy::new(Reach::Nothing, vec![grant])),
        &JailLimits::default(),
        Arc::new(Heard::default()),
    );
    let (mut inside, outside) = UnixStream::pair().unwrap();
    inside.write_all(b"connect db.internal 5432\nhello").await.unwrap();
    let forwarded = network.requested(outside);
    let served = async {
        let (mut stream, _) = service.accept().await.unwrap();
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        drop(inside);
    };
    tokio::join!(forwarded, served);
}
