//! The REST API of a running server, as the commands use it.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use hayloft_model::{OrganizationId, Problem, Problems, Secret};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, Uri, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::admin_token;
use crate::announcement::Announcement;
use crate::cli::ConnectionArgs;
use crate::config::Storage;
use crate::events::Events;
use crate::failure::{Failure, chain};

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 256 << 20;

/// What separates the parts of a form. The archive may hold it: what counts is a line of its own.
const BOUNDARY: &str = "hayloft-archive-5f2d9c0e7ab34186";

/// How much of an archive is sent at once, in bytes.
const PIECE: usize = 64 << 10;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection to a server.
pub(crate) struct Client {
    http: HttpClient<HttpConnector, Body>,
    base: String,
    token: Option<Secret<String>>,
}

/// What a request carries.
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What is known of a server before anything was asked.
pub(crate) enum Reached {
    /// Here it is.
    Server(Client),
    /// Nobody serves the data folder.
    Nobody {
        /// The folder.
        data_dir: PathBuf,
    },
}

/// Why a request has no answer.
enum RequestFailure {
    /// Nobody listens there.
    Unreachable(String),
    /// Anything else.
    Other(Failure),
}

impl Client {
    /// Finds the server: where `--url` says, else where the one that serves the data folder said that it listens.
    ///
    /// # Errors
    /// When an address or a token cannot be used.
    pub(crate) async fn find(
        connection: &ConnectionArgs,
        storage: &Storage,
        environment: &HashMap<String, String>,
    ) -> Result<Reached, Failure> {
        let data_dir = &storage.data_dir;
        let named = connection.url.as_ref().or_else(|| environment.get("HAYLOFT_URL"));
        let base = match named {
            Some(url) => base(url)?,
            None => match Announcement::read(data_dir)? {
                Some(announcement) => base(&announcement.url)?,
                None => return Ok(Reached::Nobody { data_dir: data_dir.to_owned() }),
            },
        };
        let own = connection.token.as_ref().or_else(|| environment.get("HAYLOFT_TOKEN"));
        let token = match own {
            Some(token) => Some(Secret::new(token.clone())),
            // The administrator's token is for the server beside us, never for whoever `--url` names.
            None if !is_local(&base) => None,
            None => match &storage.admin_token {
                Some(token) => Some(token.clone()),
                None => admin_token::read(data_dir)?,
            },
        };
        #[expect(clippy::disallowed_methods, reason = "the command line goes where its person says")]
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        let client = Self { http, base, token };
        // What a killed server announced may still lie there.
        if named.is_none() && client.is_gone().await {
            return Ok(Reached::Nobody { data_dir: data_dir.to_owned() });
        }
        Ok(Reached::Server(client))
    }

    async fn is_gone(&self) -> bool {
        matches!(self.request(Method::GET, "/health", None).await, Err(RequestFailure::Unreachable(_)))
    }

    /// Asks, and gives the JSON of the answer. `null` for an answer without a body.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.request(method, path, body).await.map_err(|failure| self.told(failure))
    }

    fn told(&self, failure: RequestFailure) -> Failure {
        match failure {
            RequestFailure::Unreachable(cause) => {
                Failure::new(format!("failed to reach the server at `{}`: {cause}", self.base))
                    .hint("is it running? `hayloft serve` starts one, `--url` names another one")
            }
            RequestFailure::Other(failure) => failure,
        }
    }

    /// Sends an archive as the one file of a form, in the name of an organization, and gives the JSON of the answer.
    /// `sent` is told how many bytes went out.
    ///
    /// # Errors
    /// When the archive cannot be read, there is no answer, or the server refuses.
    pub(crate) async fn upload(
        &self,
        path: &str,
        organization: &str,
        archive: &Path,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<Value, Failure> {
        let unreadable =
            |error: io::Error| Failure::new(format!("failed to read `{}`: {error}", archive.display()));
        let file = tokio::fs::File::open(archive).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"package\"\r\n\
             content-type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let length = head.len() as u64 + size + tail.len() as u64;
        let pieces = ReaderStream::with_capacity(file.take(size), PIECE).inspect(move |piece| {
            if let Ok(piece) = piece {
                sent(piece.len() as u64);
            }
        });
        let whole = |text: String| futures::stream::iter([Ok::<_, io::Error>(Bytes::from(text))]);
        let body = whole(head).chain(pieces).chain(whole(tail)).map_ok(Frame::data);
        let request = self
            .builder(Method::POST, path)
            .map_err(|failure| self.told(failure))?
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
            .header(CONTENT_LENGTH, length)
            .header("x-organization-id", organization)
            .body(StreamBody::new(body).boxed_unsync())
            .map_err(|error| Failure::caused("failed to write the request", &error))?;
        let response = self.send(request).await.map_err(|failure| {
            // A server that takes no more closes the connection, and its answer may be lost with it.
            let hint =
                "an archive that is larger than the server's `limits.upload` is refused while it is sent";
            self.told(failure).hint(hint)
        })?;
        read(response).await.map_err(|failure| self.told(failure))
    }

    /// Listens to a stream of server-sent events, from the one after `last` on.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub(crate) async fn listen(&self, path: &str, last: Option<&str>) -> Result<Events, Failure> {
        let mut request = self.builder(Method::GET, path).map_err(|failure| self.told(failure))?;
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request =
            request.body(empty()).map_err(|error| Failure::caused("failed to write the request", &error))?;
        let response = self.send(request).await.map_err(|failure| self.told(failure))?;
        if response.status().is_success() {
            return Ok(Events::new(response.into_body()));
        }
        read(response).await.map_err(|failure| self.told(failure))?;
        Err(Failure::new("the server answered with no stream of events"))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, RequestFailure> {
        let mut request = self.builder(method, path)?;
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        if bytes.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = bytes.map_or_else(empty, |bytes| {
            Full::new(bytes).map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
        });
        let request = request
            .body(body)
            .map_err(|error| other(Failure::caused("failed to write the request", &error)))?;
        read(self.send(request).await?).await
    }

    /// The beginning of a request, with who asks.
    fn builder(&self, method: Method, path: &str) -> Result<request::Builder, RequestFailure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| other(Failure::wrong_use("the token has characters in it that no token has")))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, RequestFailure> {
        self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                RequestFailure::Unreachable(chain(&error))
            } else {
                other(Failure::caused("failed to get an answer from the server", &error))
            }
        })
    }

    /// The id of the organization that was named, or of the only one that the token sees.
    ///
    /// # Errors
    /// When there is none of that name, or more than one.
    pub(crate) async fn organization(&self, named: Option<&str>) -> Result<String, Failure> {
        if let Some(id) = named.filter(|id| id.parse::<OrganizationId>().is_ok()) {
            return Ok(id.to_owned());
        }
        let listed = self.ask(Method::GET, "/v1/orgs", None).await?;
        choose(named, listed["orgs"].as_array().map_or(&[], Vec::as_slice))
    }
}

/// The JSON of an answer, or what its refusal says.
async fn read(response: Response<Incoming>) -> Result<Value, RequestFailure> {
    let status = response.status();
    let bytes = Limited::new(response.into_body(), LARGEST_ANSWER)
        .collect()
        .await
        .map_err(|error| other(Failure::new(format!("failed to read the server's answer: {error}"))))?
        .to_bytes();
    let answer = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
    if status.is_success() {
        return answer.map_err(|error| other(Failure::caused("failed to read the server's answer", &error)));
    }
    Err(other(refused(status, &answer.unwrap_or_default())))
}

const fn other(failure: Failure) -> RequestFailure {
    RequestFailure::Other(failure)
}

fn empty() -> Body {
    Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

/// One of the organizations, by name if there is one.
fn choose(name: Option<&str>, organizations: &[Value]) -> Result<String, Failure> {
    let mut matching = organizations.iter().filter(|found| name.is_none_or(|name| found["name"] == name));
    let (first, second) = (matching.next(), matching.next());
    match (first.and_then(|found| found["id"].as_str()), second) {
        (Some(id), None) => Ok(id.to_owned()),
        (None, _) => Err(match name {
            Some(name) => Failure::new(format!("there is no organization `{name}` that this token can see")),
            None => Failure::new("there is no organization yet"),
        }
        .hint("`hayloft org list` lists them, `hayloft org create` makes one")),
        (Some(_), Some(_)) => Err(match name {
            Some(name) => Failure::wrong_use(format!("more than one organization has the name `{name}`"))
                .hint("name one by its id with `--org`; `hayloft org list` lists them"),
            None => Failure::wrong_use("there is more than one organization")
                .hint("name one with `--org`; `hayloft org list` lists them"),
        }),
    }
}

/// What a refusal (RFC 9457) says.
fn refused(status: http::StatusCode, body: &Value) -> Failure {
    let detail =
        body["detail"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let problems: Problems = body["problems"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|problem| {
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            let read = match problem["severity"].as_str() {
                Some("warning") => Problem::warning(text("at"), text("message")),
                _ => Problem::error(text("at"), text("message")),
            };
            match problem["hint"].as_str() {
                Some(hint) => read.hint(hint),
                None => read,
            }
        })
        .collect();
    let hint = match status.as_u16() {
        401 => Some("name a token with `--token`, or the server's `--data-dir`".to_owned()),
        _ if body["type"] == "urn:hayloft:problem:unknown-plugin" => {
            Some("`hayloft plugin list` lists those that there are".to_owned())
        }
        _ => body["instance"].as_str().map(|instance| format!("look for `{instance}` in the server's log")),
    };
    Failure::new(detail).problems(problems).maybe_hint(hint)
}

/// An address without the slash at its end.
fn base(url: &str) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::wrong_use(format!("`{url}` is not the address of a server: {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    match (uri.scheme_str(), uri.authority(), uri.query()) {
        (Some("http"), Some(_), None) => Ok(url.trim_end_matches('/').to_owned()),
        (Some("https"), ..) => Err(wrong("this client speaks `http://` only")
            .hint("run the command beside the server, or through a tunnel that ends there")),
        _ => Err(wrong("it does not begin with `http://`, or has a query")),
    }
}

/// Whether an address is one of this machine's own.
fn is_local(base: &str) -> bool {
    let uri: Option<Uri> = base.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    number.map_or(host == "localhost", |address| address.is_loopback())
}

/// A text as one segment of a path: everything but the unreserved characters (RFC 3986 section 2.3) is encoded.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scoped_id_is_one_segment() {
        assert_eq!(segment("@acme/tickets"), "%40acme%2Ftickets");
        assert_eq!(segment("hay-plugin-a_b.c"), "hay-plugin-a_b.c");
        assert_eq!(segment("ä?"), "%C3%A4%3F");
    }

    #[test]
    fn an_organization_is_found_by_name_or_because_it_is_the_only_one() {
        let two = [json!({ "id": "org_1", "name": "a" }), json!({ "id": "org_2", "name": "b" })];
        let twins = [json!({ "id": "org_1", "name": "a" }), json!({ "id": "org_2", "name": "a" })];
        let code = |result: Result<String, Failure>| result.map_err(|failure| failure.code());
        assert_eq!(code(choose(None, &two[..1])), Ok("org_1".to_owned()));
        assert_eq!(code(choose(Some("b"), &two)), Ok("org_2".to_owned()));
        assert_eq!(code(choose(None, &two)), Err(2));
        assert_eq!(code(choose(Some("a"), &twins)), Err(2));
        assert_eq!(code(choose(Some("c"), &two)), Err(1));
        assert_eq!(code(choose(None, &[])), Err(1));
    }

    #[test]
    fn a_refusal_is_told_with_its_problems() {
        let body = json!({
            "detail": "1 problem with what was sent",
            "problems": [{ "severity": "error", "at": "config.key", "message": "is missing", "hint": "give it" }],
        });
        insta::assert_snapshot!(refused(http::StatusCode::UNPROCESSABLE_ENTITY, &body).to_string(), @r"
        error: 1 problem with what was sent
          error: config.key: is missing
            hint: give it
        ");
        assert_eq!(
            refused(http::StatusCode::BAD_GATEWAY, &Value::Null).to_string(),
            "error: the server answered 502 Bad Gateway"
        );
    }

    #[test]
    fn the_administrators_token_stays_on_this_machine() {
        for local in ["http://127.0.0.1:3001", "http://localhost", "http://[::1]:1", "http://127.9.9.9"] {
            assert!(is_local(local), "{local}");
        }
        for elsewhere in
            ["http://10.0.0.1", "http://localhost.evil.test", "http://example.com", "http://[fe80::1]"]
        {
            assert!(!is_local(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        assert_eq!(base("http://127.0.0.1:3001/").ok().as_deref(), Some("http://127.0.0.1:3001"));
        for bad in ["127.0.0.1:3001", "https://x", "ftp://x", "http://x?a", "", "http://"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
