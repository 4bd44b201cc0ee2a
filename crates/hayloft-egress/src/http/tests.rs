//! Addresses that are refused, redirects that are looked at anew, answers that have an end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use tokio_rustls::rustls;

use super::*;
use crate::{Dial, PrivateGrant, Reach, Resolve, ResolveError};

/// A name server whose first answer is public and whose every further one is not, and a network that only notes.
#[derive(Default)]
struct Rebinding {
    asked: Mutex<usize>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        let address = if *asked == 1 { "9.9.9.9" } else { "169.254.169.254" };
        std::future::ready(Ok(vec![address.parse().unwrap()])).boxed()
    }
}

impl Dial for Rebinding {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed()
    }
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn client(egress: Egress, policy: Policy, limits: HttpLimits) -> HttpClient {
    HttpClient::new(egress, Arc::new(policy), RootCertStore::empty(), limits).unwrap()
}

/// A server that answers each request with the next text, and what it was asked.
async fn server(answers: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            heard.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

fn granted(hosts: &[(&str, u16)], address: SocketAddr) -> Policy {
    let grants =
        hosts.iter().map(|(host, port)| PrivateGrant { host: host.parse().unwrap(), port: *port, address });
    Policy::new(Reach::Nothing, grants.collect())
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

#[tokio::test]
async fn only_names_over_tls_are_spoken_to() {
    let network = Arc::new(Rebinding::default());
    let egress = Egress::new(network.clone(), network.clone());
    let client = client(egress, Policy::new(Reach::Public(vec![]), vec![]), HttpLimits::default());
    for url in [
        "http://example.com/",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://localhost/",
        "https://a.localhost/",
        "https://printer/",
        "https://metadata.google.internal/",
        "https://nas.local/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:6379/",
        "https://example.com:8080/",
        "https://user@example.com/",
        "https://example.com%00.evil.net/",
        "https://example.com./",
        "https://exa_mple.com/",
        "https://%31%32%37.0.0.1/",
        "ftp://example.com/",
        "gopher://example.com/",
    ] {
        // Some are not even an address to this library, which is as good.
        let Ok(request) = Request::get(url).body(Bytes::new()) else { continue };
        let error = client.send(request).await.unwrap_err();
        let refused = match &error {
            HttpError::Url { .. } => true,
            HttpError::Connect { error, .. } => error.is_refusal(),
            _ => false,
        };
        assert!(refused, "{url}: {error}");
    }
    assert!(network.dialled.lock().unwrap().is_empty());
    assert_eq!(*network.asked.lock().unwrap(), 0, "no name server heard of any");
}

#[tokio::test]
async fn a_name_that_moves_inside_is_dialled_only_where_it_was_vetted() {
    let network = Arc::new(Rebinding::default());
    let egress = Egress::new(network.clone(), network.clone());
    let client = client(egress, Policy::new(Reach::Public(vec![]), vec![]), HttpLimits::default());
    let first = client.send(get("https://rebinding.example.com/")).await.unwrap_err();
    assert!(matches!(&first, HttpError::Connect { error: ConnectError::Connect(_), .. }), "{first}");
    let second = client.send(get("https://rebinding.example.com/")).await.unwrap_err();
    assert!(matches!(&second, HttpError::Connect { error, .. } if error.is_refusal()), "{second}");
    assert_eq!(*network.dialled.lock().unwrap(), ["9.9.9.9:443".parse().unwrap()]);
}

#[tokio::test]
async fn each_place_it_is_sent_to_is_looked_at_anew() {
    for to in [
        "http://169.254.169.254/",
        "http://127.0.0.1:1/",
        "http://other.test/",
        "http://user@granted.test/",
        "https://other.test/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//other.test/",
    ] {
        let (address, asked) = server(vec![redirect(to), OK.to_owned()]).await;
        let client =
            client(Egress::system(), granted(&[("granted.test", 80)], address), HttpLimits::default());
        let error = client.send(get("http://granted.test/")).await.unwrap_err();
        assert!(matches!(error, HttpError::Url { .. } | HttpError::Connect { .. }), "{to}: {error}");
        assert_eq!(asked.lock().unwrap().len(), 1, "{to}");
    }
}

#[tokio::test]
async fn what_is_for_one_origin_stays_there() {
    let (address, asked) =
        server(vec![redirect("/here?a=b"), redirect("http://second.test/there"), OK.to_owned()]).await;
    let policy = granted(&[("first.test", 80), ("second.test", 80)], address);
    let client = client(Egress::system(), policy, HttpLimits::default());
    let mut request = get("http://first.test/");
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer canary"));
    request.headers_mut().insert("x-other", HeaderValue::from_static("kept"));
    assert_eq!(client.send(request).await.unwrap().into_body(), "ok");
    let asked = asked.lock().unwrap();
    assert!(asked[1].starts_with("GET /here?a=b ") && asked[1].contains("canary"), "{}", asked[1]);
    assert!(asked[2].contains("host: second.test") && asked[2].contains("x-other: kept"), "{}", asked[2]);
    assert!(!asked[2].contains("canary"), "{}", asked[2]);
}

#[tokio::test]
async fn nothing_goes_on_without_end() {
    let limits = HttpLimits { body: 1000, time: Duration::from_millis(500) };
    let policy = |address| granted(&[("granted.test", 80)], address);
    let (address, _) = server(vec![redirect("/again"); 10]).await;
    let error = client(Egress::system(), policy(address), limits).send(get("http://granted.test/")).await;
    assert!(matches!(error, Err(HttpError::TooManyRedirects)), "{error:?}");

    let long = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(2000));
    let (address, _) = server(vec![long]).await;
    let error = client(Egress::system(), policy(address), limits).send(get("http://granted.test/")).await;
    assert!(matches!(error, Err(HttpError::TooLong(1000))), "{error:?}");

    let (address, _) = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx".to_owned()]).await;
    let error = client(Egress::system(), policy(address), limits).send(get("http://granted.test/")).await;
    assert!(matches!(error, Err(HttpError::Http(_) | HttpError::TooSlow(_))), "{error:?}");

    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(LARGEST_HEAD * 2));
    let (address, _) = server(vec![head]).await;
    let error = client(Egress::system(), policy(address), limits).send(get("http://granted.test/")).await;
    assert!(matches!(error, Err(HttpError::Http(_))), "{error:?}");
}

/// A certificate for `api.outside.test`, which the end-to-end tests use too.
const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/functional/fixtures/outside-cert.pem");
const KEY: &[u8] = include_bytes!("../../../../tests/functional/fixtures/outside-key.pem");

#[tokio::test]
async fn over_tls_the_host_must_be_who_it_says() {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy =
        granted(&[("api.outside.test", 443), ("evil.outside.test", 443)], listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client =
        HttpClient::new(Egress::system(), Arc::new(policy.clone()), roots, HttpLimits::default()).unwrap();
    assert_eq!(client.send(get("https://api.outside.test/")).await.unwrap().into_body(), "ok");
    let error = client.send(get("https://evil.outside.test/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error}");
    // Without that root nobody is trusted.
    let client = self::client(Egress::system(), policy, HttpLimits::default());
    let error = client.send(get("https://api.outside.test/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_post_is_not_sent_elsewhere() {
    let (address, asked) = server(vec![redirect("/elsewhere"), OK.to_owned()]).await;
    let client = client(Egress::system(), granted(&[("granted.test", 80)], address), HttpLimits::default());
    let request = Request::post("http://granted.test/").body(Bytes::from_static(b"secret")).unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 302);
    assert_eq!(asked.lock().unwrap().len(), 1);
}
