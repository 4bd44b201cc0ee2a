//! One address that speaks Streamable HTTP: POST to say something, GET to listen, DELETE to leave.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hayloft_model::Entropy;
use http::header::{ALLOW, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::value::RawValue;

use crate::fault::{Fault, code};
use crate::ids::RequestId;
use crate::message::{Message, MessageError, MessageLimits, write};
use crate::revision::Revision;
use crate::service::{Principal, ToolService};

use super::body::ResponseBody;
use super::call::Pace;
use super::dispatch::{self, Asked};
use super::negotiate::{Accepts, is_json};
use super::notify;
use super::session::{Session, SessionId};
use super::sessions::{SessionLimits, Sessions};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// How the endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointOptions {
    /// The longest message of a client, in bytes.
    pub max_message_bytes: usize,
    /// How deep a message may nest. Never more than 128 for the arguments of a call.
    pub max_depth: usize,
    /// How many sessions there may be.
    pub max_sessions: usize,
    /// How many of them one principal may have.
    pub max_sessions_per_principal: usize,
    /// How long a session without a running call or an open stream is kept.
    pub session_idle: Duration,
    /// How many calls may run in one session at once.
    pub max_calls_per_session: usize,
    /// After how long a call that is not done is answered as events, so that nothing on the way gives up on it.
    pub stream_after: Duration,
    /// How often a quiet stream shows that it is alive.
    pub keep_alive: Duration,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            max_depth: 128,
            max_sessions: 50_000,
            max_sessions_per_principal: 1000,
            session_idle: Duration::from_secs(30 * 60),
            max_calls_per_session: 1024,
            stream_after: Duration::from_secs(10),
            keep_alive: Duration::from_secs(20),
        }
    }
}

/// Streamable HTTP over a [`ToolService`]. Clones share their sessions.
pub struct McpEndpoint<S: ToolService> {
    service: Arc<S>,
    sessions: Arc<Sessions>,
    options: EndpointOptions,
}

/// Why a message could not be read off its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than messages may be.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// It broke off.
    Incomplete,
}

/// What an answer may be before it has its final form.
type Answer = Result<Response<ResponseBody>, Rejection>;

/// A request that HTTP itself says no to.
struct Rejection {
    status: StatusCode,
    fault: Fault,
}

impl<S: ToolService> McpEndpoint<S> {
    /// An endpoint without sessions. Their ids are drawn from `entropy`.
    #[must_use]
    pub fn new(service: Arc<S>, entropy: Arc<dyn Entropy>, options: EndpointOptions) -> Self {
        let limits = SessionLimits {
            total: options.max_sessions,
            per_principal: options.max_sessions_per_principal,
            idle: options.session_idle,
        };
        Self { service, sessions: Arc::new(Sessions::new(entropy, limits)), options }
    }

    /// Answers one HTTP request. Origin, host and authorization were checked by the caller of this.
    pub async fn handle(&self, parts: &Parts, body: Bytes, caller: S::Caller) -> Response<ResponseBody> {
        let answer = match parts.method {
            Method::POST => self.post(&parts.headers, &body, caller).await,
            Method::GET => self.listen(&parts.headers, &caller),
            Method::DELETE => self.leave(&parts.headers, &caller),
            _ => return method_not_allowed(),
        };
        answer.unwrap_or_else(rejected)
    }

    /// Answers an HTTP request whose body was not read to its end: whoever reads it off the wire need not go beyond
    /// [`Self::max_message_bytes`].
    #[must_use]
    pub fn refuse(&self, unread: Unread) -> Response<ResponseBody> {
        rejected(match unread {
            Unread::TooLarge => unreadable(&MessageError::TooLarge { limit: self.max_message_bytes() }),
            Unread::TooSlow => {
                transport(StatusCode::REQUEST_TIMEOUT, "message took too long to arrive; send it again")
            }
            Unread::Incomplete => transport(StatusCode::BAD_REQUEST, "message ended early; send it again"),
        })
    }

    /// The longest message of a client, in bytes.
    #[must_use]
    pub const fn max_message_bytes(&self) -> usize {
        self.options.max_message_bytes
    }

    /// How many sessions are open.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Ends the sessions that were idle too long. This happens by itself when sessions are opened; an endpoint that
    /// nobody opens sessions on gives their memory back when asked.
    pub fn sweep(&self) {
        self.sessions.sweep();
    }

    /// Ends all sessions of a principal, its streams and calls included: for when its rights are taken away.
    pub fn end_sessions_of(&self, principal: &Principal) {
        self.sessions.end_all_of(principal);
    }

    /// Ends all sessions and opens no more: for when the server stops.
    pub fn close(&self) {
        self.sessions.close();
    }

    async fn post(&self, headers: &HeaderMap, body: &[u8], caller: S::Caller) -> Answer {
        let accepts = Accepts::of(headers);
        if !is_json(headers) {
            return Err(transport(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content type must be `application/json`",
            ));
        }
        if accepts == Accepts::Nothing {
            let message = "client must accept `application/json` and `text/event-stream`";
            return Err(transport(StatusCode::NOT_ACCEPTABLE, message));
        }
        let limits = MessageLimits { bytes: self.options.max_message_bytes, depth: self.options.max_depth };
        match Message::parse(body, limits).map_err(|error| unreadable(&error))? {
            Message::Request { id, method, params } => {
                let id = RequestId::of(id).map_err(|error| invalid_request(error.to_string()))?;
                if method == "initialize" {
                    return self.open(headers, id, params, accepts, &caller);
                }
                let session = self.session(headers, &caller)?;
                let asked = Asked {
                    service: &self.service,
                    caller,
                    session: &session,
                    max_calls: self.options.max_calls_per_session,
                    accepts,
                    pace: Pace {
                        stream_after: self.options.stream_after,
                        keep_alive: self.options.keep_alive,
                    },
                };
                Ok(asked.request(id, &method, params).await)
            }
            Message::Notification { method, params } => {
                let session = self.session(headers, &caller)?;
                if method == "notifications/cancelled"
                    && let Some(id) = dispatch::cancelled_id(params)
                {
                    session.cancel_call(&id);
                }
                Ok(accepted())
            }
            // Nothing is ever asked of clients, so there is nothing that this could answer.
            Message::Response { .. } => {
                self.session(headers, &caller)?;
                Ok(accepted())
            }
        }
    }

    /// `initialize`: opens a session. The revision header counts only from the next request on.
    fn open(
        &self,
        headers: &HeaderMap,
        id: RequestId,
        params: Option<&RawValue>,
        accepts: Accepts,
        caller: &S::Caller,
    ) -> Answer {
        if headers.contains_key(SESSION_ID) {
            return Err(invalid_request("the session is initialized already".to_owned()));
        }
        let opened = dispatch::asked_revision(params).and_then(|revision| {
            let session = self.sessions.open(self.service.principal(caller), revision);
            session.map_err(|full| Fault::new(code::TRANSPORT, full.to_string()))
        });
        let session = match opened {
            Ok(session) => session,
            Err(fault) => {
                return Ok(dispatch::message(accepts, ResponseBody::whole(fault.to_message(Some(&id)))));
            }
        };
        let details = self.service.server_details(caller);
        let result = dispatch::initialize_result::<S>(&details, session.revision);
        let mut response = dispatch::message(accepts, ResponseBody::whole(write::result(&id, &result)));
        let session_id = HeaderValue::from_str(&session.id.to_string())
            .map_err(|_| transport(StatusCode::INTERNAL_SERVER_ERROR, "session id is not a header value"))?;
        response.headers_mut().insert(SESSION_ID, session_id);
        Ok(response)
    }

    /// GET: the stream of a session's notifications.
    fn listen(&self, headers: &HeaderMap, caller: &S::Caller) -> Answer {
        if !Accepts::of(headers).events() {
            return Err(transport(StatusCode::NOT_ACCEPTABLE, "client must accept `text/event-stream`"));
        }
        let session = self.session(headers, caller)?;
        let changes = self.service.subscribe_changes(caller);
        let stream = notify::changes(changes, session.open_stream(), self.options.keep_alive);
        Ok(dispatch::events(ResponseBody::events(stream)))
    }

    /// DELETE: ends a session.
    fn leave(&self, headers: &HeaderMap, caller: &S::Caller) -> Answer {
        let session = self.session(headers, caller)?;
        self.sessions.end(session.id, &self.service.principal(caller));
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// The session that a request names. One that is somebody else's is told from none at all by nobody.
    fn session(&self, headers: &HeaderMap, caller: &S::Caller) -> Result<Arc<Session>, Rejection> {
        let named = headers.get(SESSION_ID).ok_or_else(|| {
            transport(
                StatusCode::BAD_REQUEST,
                "header `mcp-session-id` is missing; `initialize` opens a session",
            )
        })?;
        if let Some(version) = headers.get(PROTOCOL_VERSION)
            && version.to_str().ok().and_then(Revision::served).is_none()
        {
            return Err(transport(
                StatusCode::BAD_REQUEST,
                "header `mcp-protocol-version` names no supported revision",
            ));
        }
        let id = named.to_str().ok().and_then(SessionId::parse);
        id.and_then(|id| self.sessions.find(id, &self.service.principal(caller)))
            .ok_or_else(|| transport(StatusCode::NOT_FOUND, "session is unknown or has ended"))
    }
}

impl<S: ToolService> Clone for McpEndpoint<S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            sessions: Arc::clone(&self.sessions),
            options: self.options,
        }
    }
}

impl<S: ToolService> fmt::Debug for McpEndpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpEndpoint").field("options", &self.options).finish_non_exhaustive()
    }
}

fn rejected(Rejection { status, fault }: Rejection) -> Response<ResponseBody> {
    dispatch::with_type(status, "application/json", ResponseBody::whole(fault.to_message(None)))
}

fn unreadable(error: &MessageError) -> Rejection {
    let status = match error {
        MessageError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        MessageError::TooDeep { .. }
        | MessageError::Syntax(_)
        | MessageError::Batch
        | MessageError::Shape(_) => StatusCode::BAD_REQUEST,
    };
    Rejection { status, fault: Fault::from(error) }
}

fn invalid_request(message: String) -> Rejection {
    Rejection { status: StatusCode::BAD_REQUEST, fault: Fault::new(code::INVALID_REQUEST, message) }
}

fn transport(status: StatusCode, message: &'static str) -> Rejection {
    Rejection { status, fault: Fault::new(code::TRANSPORT, message) }
}

fn accepted() -> Response<ResponseBody> {
    empty(StatusCode::ACCEPTED)
}

fn method_not_allowed() -> Response<ResponseBody> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    response
}

fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}
