//! HTTP for the host itself: one client whose every connection goes through a policy, and whose answers have an end.
//!
//! It must not know who asks or why. There is no pool and no state between requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION};
use ::http::uri::PathAndQuery;
use ::http::{HeaderValue, Method, Request, Response, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::{ConnectError, Denial, Egress, HostName, HostNameError, Policy, Tls, TlsError};

/// How many times one request is sent elsewhere.
const REDIRECTS: usize = 5;

/// Largest head of an answer, in bytes.
const LARGEST_HEAD: usize = 64 << 10;

/// Headers that are for one origin and never follow to another one.
const FOR_ONE_ORIGIN: [::http::HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// From the connection to the last byte of the answer, redirects included.
    pub time: Duration,
    /// The answer's body, in bytes.
    pub body: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), body: 1 << 20 }
    }
}

/// Sends requests. Clones share their settings.
#[derive(Clone)]
pub struct HttpClient {
    egress: Egress,
    policy: Arc<Policy>,
    tls: Tls,
    limits: HttpLimits,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It is not an address that is spoken to.
    #[error("`{url}` {why}")]
    Url {
        /// The address, without anything secret in it.
        url: String,
        /// Why not.
        why: UrlFault,
    },
    /// There is no connection to the host.
    #[error("failed to reach `{host}`: {error}")]
    Connect {
        /// Which host.
        host: HostName,
        /// Why.
        error: ConnectError,
    },
    /// The host is not who it says it is, or speaks no TLS.
    #[error("failed to agree on TLS with `{host}`: {error}")]
    Tls {
        /// Which host.
        host: HostName,
        /// Why.
        error: io::Error,
    },
    /// It does not speak HTTP as it should.
    #[error("failed to speak HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is longer than it may be.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// It sends elsewhere again and again.
    #[error("it sends elsewhere more than {REDIRECTS} times")]
    TooManyRedirects,
    /// It took too long.
    #[error("it did not answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
}

/// Why an address is not spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It is none.
    #[error("is no absolute address")]
    Form,
    /// Its scheme is another one.
    #[error("must begin with `https://`")]
    Scheme,
    /// It has a user or a password.
    #[error("must not have a user or password in it")]
    User,
    /// Its host is no name.
    #[error("names no host: {0}")]
    Host(HostNameError),
    /// It is sent in the clear, and no operator granted that host's address.
    #[error("is not encrypted; that is allowed for granted private addresses only")]
    Clear,
}

impl HttpClient {
    /// A client that trusts these certificates.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        egress: Egress,
        policy: Arc<Policy>,
        roots: RootCertStore,
        limits: HttpLimits,
    ) -> Result<Self, TlsError> {
        Ok(Self { egress, policy, tls: Tls::new(roots)?, limits })
    }

    /// Sends a request and reads its whole answer. `GET` and `HEAD` follow to where they are sent, each place as if it
    /// had been asked for at first; what was for the first origin stays there.
    ///
    /// # Errors
    /// When an address is refused or there is no good answer in time.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let time = self.limits.time;
        timeout(time, self.follow(request)).await.unwrap_or(Err(HttpError::TooSlow(time)))
    }

    async fn follow(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        let mut url = Url::parse(&parts.uri.to_string()).map_err(|_| fault("", UrlFault::Form))?;
        let follows = matches!(parts.method, Method::GET | Method::HEAD);
        for _ in 0..=REDIRECTS {
            let mut hop = Request::new(Full::new(body.clone()));
            *hop.method_mut() = parts.method.clone();
            *hop.headers_mut() = headers.clone();
            let answer = self.hop(&url, hop).await?;
            let next = answer.headers().get(LOCATION).filter(|_| follows && answer.status().is_redirection());
            let Some(next) = next else { return Ok(answer) };
            let next = next.to_str().ok().and_then(|next| url.join(next).ok());
            let next = next.ok_or_else(|| fault(url.as_str(), UrlFault::Form))?;
            if next.origin() != url.origin() {
                FOR_ONE_ORIGIN.iter().for_each(|name| drop(headers.remove(name)));
            }
            // What began encrypted does not go on in the clear, not even to a granted address.
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(fault(next.as_str(), UrlFault::Scheme));
            }
            url = next;
        }
        Err(HttpError::TooManyRedirects)
    }

    /// One request to one place. The host that was compared is the host that is dialled and named in TLS.
    async fn hop(&self, url: &Url, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let (host, port) = target(url)?;
        let refused = |error: Denial| HttpError::Connect { host: host.clone(), error: error.into() };
        let permit = self.policy.permit(&host, port).map_err(refused)?;
        if url.scheme() != "https" && !permit.is_granted() {
            return Err(fault(url.as_str(), UrlFault::Clear));
        }
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        *request.uri_mut() =
            Uri::from(PathAndQuery::try_from(path).map_err(|_| fault(url.as_str(), UrlFault::Form))?);
        let named = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let named = HeaderValue::try_from(named).map_err(|_| fault(url.as_str(), UrlFault::Form))?;
        request.headers_mut().insert(HOST, named);
        let stream = self.egress.dial(&permit).await;
        let stream = stream.map_err(|error| HttpError::Connect { host: host.clone(), error })?;
        if url.scheme() != "https" {
            return self.exchange(stream, request).await;
        }
        let tls = |error: io::Error| HttpError::Tls { host: host.clone(), error };
        let stream = self.tls.connect(&host, stream).await.map_err(tls)?;
        self.exchange(stream, request).await
    }

    async fn exchange(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, HttpError> {
        let mut builder = http1::Builder::new();
        let (mut sender, connection) =
            builder.max_buf_size(LARGEST_HEAD).handshake(TokioIo::new(stream)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let most = self.limits.body;
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return HttpError::TooLong(most);
            }
            error.downcast::<hyper::Error>().map_or(HttpError::TooLong(most), |error| HttpError::Http(*error))
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// The host and port of an address that is spoken to.
fn target(url: &Url) -> Result<(HostName, u16), HttpError> {
    let fault = |why| fault(url.as_str(), why);
    if !matches!(url.scheme(), "https" | "http") {
        return Err(fault(UrlFault::Scheme));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault(UrlFault::User));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => HostName::parse(name),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(HostNameError::Address),
        None => Err(HostNameError::Empty),
    };
    let host = host.map_err(|error| fault(UrlFault::Host(error)))?;
    Ok((host, url.port_or_known_default().ok_or_else(|| fault(UrlFault::Form))?))
}

/// A problem with an address, which is told without what may be secret in it.
fn fault(url: &str, why: UrlFault) -> HttpError {
    let shown = Url::parse(url).map_or_else(
        |_| String::from("the address"),
        |url| format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()),
    );
    HttpError::Url { url: shown, why }
}

#[cfg(test)]
mod tests;
