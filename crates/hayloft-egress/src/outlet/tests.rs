//! Connections under limits: to those who are who they say they are, and to nobody else.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::jail::Refusal;
use crate::{Dial, PrivateGrant, Reach, Resolve, ResolveError, RootCertStore, add_roots};

/// A certificate for `api.outside.test`, which the end-to-end tests use too.
const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/functional/fixtures/outside-cert.pem");
const KEY: &[u8] = include_bytes!("../../../../tests/functional/fixtures/outside-key.pem");

/// A name server that says these addresses in turn, and a network that only notes.
#[derive(Default)]
struct Noted {
    addresses: Mutex<Vec<IpAddr>>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Resolve for Noted {
    fn resolve<'a>(&'a self, _: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        let address = self.addresses.lock().unwrap().pop();
        std::future::ready(address.map(|address| vec![address]).ok_or(ResolveError::Unknown)).boxed()
    }
}

impl Dial for Noted {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Refusal>>);

impl Watch for Heard {
    fn refused(&self, refusal: Refusal) {
        self.0.lock().unwrap().push(refusal);
    }
}

fn outlet(egress: Egress, roots: RootCertStore, limits: &JailLimits) -> (Outlet, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    (Outlet::new(egress, Tls::new(roots).unwrap(), limits, heard.clone()), heard)
}

fn place(host: &str, port: u16, security: Security) -> Place {
    Place::parse(host, port, security).unwrap()
}

fn granted(host: &str, port: u16, address: SocketAddr) -> Policy {
    Policy::new(Reach::Nothing, vec![PrivateGrant { host: host.parse().unwrap(), port, address }])
}

#[tokio::test]
async fn a_name_that_moves_inside_is_refused_and_told() {
    let network = Arc::new(Noted::default());
    *network.addresses.lock().unwrap() = vec!["169.254.169.254".parse().unwrap(), "9.9.9.9".parse().unwrap()];
    let egress = Egress::new(network.clone(), network.clone());
    let (outlet, heard) = outlet(egress, RootCertStore::empty(), &JailLimits::default());
    let policy = Policy::new(Reach::Listed(vec!["mcp.example.com".parse().unwrap()]), vec![]);
    let wanted = place("mcp.example.com", 443, Security::Tls);
    let first = outlet.connect(&policy, &wanted).await.err().unwrap();
    assert!(!first.is_refusal(), "{first}");
    let second = outlet.connect(&policy, &wanted).await.err().unwrap();
    assert!(second.is_refusal() && second.to_string().contains("not one of the public internet"), "{second}");
    assert_eq!(*network.dialled.lock().unwrap(), ["9.9.9.9:443".parse().unwrap()]);
    for (other, denied) in [
        (place("other.example.com", 443, Security::Tls), "may not be reached"),
        (place("mcp.example.com", 22, Security::Tls), "not at this port"),
        (place("mcp.example.com", 80, Security::Clear), "without TLS"),
    ] {
        let error = outlet.connect(&policy, &other).await.err().unwrap();
        assert!(error.is_refusal() && error.to_string().contains(denied), "{error}");
    }
    assert_eq!(network.dialled.lock().unwrap().len(), 1);
    assert_eq!(heard.0.lock().unwrap().len(), 4);
    assert!(Place::parse("127.0.0.1", 80, Security::Clear).is_err());
}

#[tokio::test]
async fn over_tls_the_host_must_be_who_it_says() {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let mut roots = RootCertStore::empty();
    assert_eq!(add_roots(&mut roots, CERTIFICATE).unwrap(), 1);
    let (trusting, _) = outlet(Egress::system(), roots, &JailLimits::default());
    let policy = granted("api.outside.test", 443, there);
    let wanted = place("api.outside.test", 443, Security::Tls);
    let mut stream = trusting.connect(&policy, &wanted).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello");

    let other = granted("evil.outside.test", 443, there);
    let error =
        trusting.connect(&other, &place("evil.outside.test", 443, Security::Tls)).await.err().unwrap();
    assert!(matches!(error, OutletError::Tls { .. }), "{error}");
    let (distrusting, _) = outlet(Egress::system(), RootCertStore::empty(), &JailLimits::default());
    let error = distrusting.connect(&policy, &wanted).await.err().unwrap();
    assert!(matches!(error, OutletError::Tls { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn connections_and_bytes_wait_their_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    let limits = JailLimits { connections: 1, bytes_per_second: 1000, ..JailLimits::default() };
    let (outlet, _) = outlet(Egress::system(), RootCertStore::empty(), &limits);
    let policy = granted("echo.internal", 7, there);
    let wanted = place("echo.internal", 7, Security::Clear);
    let mut first = outlet.connect(&policy, &wanted).await.unwrap();
    let second = timeout(Duration::from_secs(5), outlet.connect(&policy, &wanted)).await;
    assert!(second.is_err(), "one at a time");
    let begun = Instant::now();
    let mut back = vec![0; 2000];
    first.write_all(&[7; 2000]).await.unwrap();
    first.read_exact(&mut back).await.unwrap();
    first.write_all(b"x").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(first);
    outlet.connect(&policy, &wanted).await.unwrap();
}
