//! From a message to an answer: the methods that clients may use.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Receiver;

use crate::fault::{Fault, code};
use crate::ids::RequestId;
use crate::item::ItemKind;
use crate::message::fields::Fields;
use crate::message::unique_keys::refuse_duplicate_keys;
use crate::message::{self, Text, write};
use crate::progress::{Progress, ProgressSink, progress_channel};
use crate::revision::{Introduction, Revision};
use crate::service::{CallTool, GetItem, ServerDetails, ToolService};

use super::body::ResponseBody;
use super::call::{Answering, Pace, Work};
use super::negotiate::Accepts;
use super::session::{CallRefused, RunningCall, Session};

/// A request within a session, with what is needed to answer it.
pub(super) struct Asked<'a, S: ToolService> {
    pub(super) service: &'a Arc<S>,
    pub(super) caller: S::Caller,
    pub(super) session: &'a Arc<Session>,
    pub(super) max_calls: usize,
    pub(super) accepts: Accepts,
    pub(super) pace: Pace,
}

impl<S: ToolService> Asked<'_, S> {
    pub(super) async fn request(
        self,
        id: RequestId,
        method: &str,
        params: Option<&RawValue>,
    ) -> Response<ResponseBody> {
        let accepts = self.accepts;
        let answered = match method {
            "ping" => Ok(ResponseBody::whole(write::result(&id, "{}"))),
            "tools/list" => self.list_tools(&id, params).await,
            "tools/call" => match self.start_call(id.clone(), params) {
                Ok((answering, pace)) => return answering.answer(accepts, pace).await,
                Err(fault) => Err(fault),
            },
            "resources/list" if S::OFFERS_ITEMS => self.list_items(&id, ItemKind::Resource, params).await,
            "resources/templates/list" if S::OFFERS_ITEMS => {
                self.list_items(&id, ItemKind::Template, params).await
            }
            "prompts/list" if S::OFFERS_ITEMS => self.list_items(&id, ItemKind::Prompt, params).await,
            "resources/read" | "prompts/get" if S::OFFERS_ITEMS => {
                let kind = if method == "prompts/get" { ItemKind::Prompt } else { ItemKind::Resource };
                match self.start_get(id.clone(), kind, params) {
                    Ok((answering, pace)) => return answering.answer(accepts, pace).await,
                    Err(fault) => Err(fault),
                }
            }
            _ => {
                let shown: String = method.chars().take(100).collect();
                Err(Fault::new(code::METHOD_NOT_FOUND, format!("method `{shown}` is not supported")))
            }
        };
        let body = answered.unwrap_or_else(|fault| ResponseBody::whole(fault.to_message(Some(&id))));
        message(accepts, body)
    }

    async fn list_tools(&self, id: &RequestId, params: Option<&RawValue>) -> Result<ResponseBody, Fault> {
        let cursor = cursor(params)?;
        let page = self.service.list_tools(&self.caller, cursor.as_deref()).await;
        let page = page.map_err(|failure| Fault::from(&failure))?;
        Ok(listed(id, "tools", page.tools, page.next_cursor.as_deref()))
    }

    async fn list_items(
        &self,
        id: &RequestId,
        kind: ItemKind,
        params: Option<&RawValue>,
    ) -> Result<ResponseBody, Fault> {
        let cursor = cursor(params)?;
        let page = self.service.list_items(&self.caller, kind, cursor.as_deref()).await;
        let page = page.map_err(|failure| Fault::from(&failure))?;
        Ok(listed(id, kind.list_member(), page.items, page.next_cursor.as_deref()))
    }

    fn start_get(
        self,
        id: RequestId,
        kind: ItemKind,
        params: Option<&RawValue>,
    ) -> Result<(Answering, Pace), Fault> {
        let wanted = GetParams::read(kind, params)?;
        let (running, progress, reports) = self.start(&id, wanted.progress_token)?;
        let cancelled = running.cancelled.clone();
        let request = GetItem {
            kind,
            identity: wanted.identity.into_owned(),
            arguments: wanted.arguments.map(ToOwned::to_owned),
            meta: wanted.meta,
            progress,
            cancelled: cancelled.clone(),
        };
        let (service, caller) = (Arc::clone(self.service), self.caller);
        let work = Work::new(async move { service.get_item(&caller, request).await }, running);
        Ok((Answering { id, work, cancelled, progress: reports }, self.pace))
    }

    /// Takes a place among the session's requests, and opens the way for reports of progress if they are wanted.
    fn start(&self, id: &RequestId, token: Option<String>) -> Result<Started, Fault> {
        let running =
            self.session.start_call(id.clone(), self.max_calls).map_err(|refused| match refused {
                CallRefused::IdInUse => Fault::new(code::INVALID_REQUEST, refused.to_string()),
                CallRefused::TooMany | CallRefused::Ended => Fault::new(code::TRANSPORT, refused.to_string()),
            })?;
        // Progress can only be sent as events; a client that takes none is not told.
        Ok(match token.filter(|_| self.accepts.events()) {
            Some(token) => {
                let (sink, reports) = progress_channel();
                (running, Some(sink), Some((reports, token)))
            }
            None => (running, None, None),
        })
    }

    fn start_call(self, id: RequestId, params: Option<&RawValue>) -> Result<(Answering, Pace), Fault> {
        let call = CallParams::read(params)?;
        let (running, progress, reports) = self.start(&id, call.progress_token)?;
        let cancelled = running.cancelled.clone();
        let call = CallTool {
            name: call.name.into_owned(),
            arguments: call.arguments.map(ToOwned::to_owned),
            meta: call.meta,
            progress,
            cancelled: cancelled.clone(),
        };
        let (service, caller) = (Arc::clone(self.service), self.caller);
        let work = Work::new(async move { service.call_tool(&caller, call).await }, running);
        Ok((Answering { id, work, cancelled, progress: reports }, self.pace))
    }
}

/// What a client says to start a call.
struct CallParams<'a> {
    name: Cow<'a, str>,
    arguments: Option<&'a RawValue>,
    /// Without the progress token.
    meta: Option<Box<RawValue>>,
    /// As JSON.
    progress_token: Option<String>,
}

impl<'a> CallParams<'a> {
    fn read(params: Option<&'a RawValue>) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow)]
            name: Text<'a>,
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
            #[serde(borrow, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        let params = params.ok_or_else(|| bad_params("they are missing".to_owned()))?;
        let Members { name: Text(name), arguments, meta } = message::object(params).map_err(bad_params)?;
        check_arguments(arguments)?;
        let (meta, progress_token) = read_meta(meta)?;
        Ok(Self { name, arguments, meta, progress_token })
    }
}

/// A place among a session's requests, and where reports of progress go and come from.
type Started = (RunningCall, Option<ProgressSink>, Option<(Receiver<Progress>, String)>);

/// The cursor of a request for a list.
fn cursor(params: Option<&RawValue>) -> Result<Option<String>, Fault> {
    #[derive(Deserialize, Default)]
    struct Params<'a> {
        #[serde(borrow)]
        cursor: Option<Text<'a>>,
    }
    let params: Params<'_> = match params {
        Some(params) => message::object(params).map_err(bad_params)?,
        None => Params::default(),
    };
    Ok(params.cursor.map(|Text(cursor)| cursor.into_owned()))
}

/// A page as the answer to a request for a list.
fn listed(id: &RequestId, member: &str, items: Bytes, next_cursor: Option<&str>) -> ResponseBody {
    let mut head = write::result_head(id);
    head.push(b'{');
    write::string(&mut head, member);
    head.push(b':');
    let mut tail = Vec::new();
    if let Some(cursor) = next_cursor {
        tail.extend_from_slice(br#","nextCursor":"#);
        write::string(&mut tail, cursor);
    }
    tail.push(b'}');
    tail.extend_from_slice(write::RESULT_TAIL);
    ResponseBody::around(head, items, &tail)
}

/// What a client says to read a resource or to get a prompt.
struct GetParams<'a> {
    identity: Cow<'a, str>,
    arguments: Option<&'a RawValue>,
    /// Without the progress token.
    meta: Option<Box<RawValue>>,
    /// As JSON.
    progress_token: Option<String>,
}

impl<'a> GetParams<'a> {
    fn read(kind: ItemKind, params: Option<&'a RawValue>) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow)]
            uri: Option<Text<'a>>,
            #[serde(borrow)]
            name: Option<Text<'a>>,
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
            #[serde(borrow, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        let params = params.ok_or_else(|| bad_params("they are missing".to_owned()))?;
        let Members { uri, name, arguments, meta } = message::object(params).map_err(bad_params)?;
        let (member, identity) = match kind {
            ItemKind::Prompt => ("name", name),
            ItemKind::Resource | ItemKind::Template => ("uri", uri),
        };
        let Text(identity) = identity.ok_or_else(|| bad_params(format!("`{member}` is missing")))?;
        let arguments = arguments.filter(|_| kind == ItemKind::Prompt);
        check_arguments(arguments)?;
        let (meta, progress_token) = read_meta(meta)?;
        Ok(Self { identity, arguments, meta, progress_token })
    }
}

/// Arguments are one object in which no key can mean two things.
fn check_arguments(arguments: Option<&RawValue>) -> Result<(), Fault> {
    let Some(arguments) = arguments else { return Ok(()) };
    if !message::is_object(arguments) {
        return Err(bad_params("`arguments` is not an object".to_owned()));
    }
    refuse_duplicate_keys(arguments).map_err(|error| bad_params(format!("`arguments`: {error}")))
}

/// `_meta` without its progress token, and the token as JSON.
fn read_meta(meta: Option<&RawValue>) -> Result<(Option<Box<RawValue>>, Option<String>), Fault> {
    let Some(meta) = meta else { return Ok((None, None)) };
    let mut fields = Fields::of(meta).ok_or_else(|| bad_params("`_meta` is not an object".to_owned()))?;
    let token = match fields.take("progressToken") {
        Some(token) => {
            let token = RequestId::of(token).map_err(|_| {
                bad_params(
                    "`_meta.progressToken` is not a string or a number of at most 256 bytes".to_owned(),
                )
            })?;
            Some(token.as_json().to_owned())
        }
        None => None,
    };
    let rest = (!fields.is_empty()).then(|| write::into_raw(fields.to_json(None)));
    Ok((rest, token))
}

fn bad_params(why: String) -> Fault {
    Fault::new(code::INVALID_PARAMS, format!("params are not valid: {why}"))
}

/// What a client says of itself and of the protocol when it opens a session.
pub(super) fn asked_revision(params: Option<&RawValue>) -> Result<Revision, Fault> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "protocolVersion")]
        protocol_version: Text<'a>,
    }
    let params = params.ok_or_else(|| bad_params("they are missing".to_owned()))?;
    let Params { protocol_version: Text(asked) } = message::object(params).map_err(bad_params)?;
    Ok(Revision::negotiate(&asked))
}

/// The result of `initialize`: only what is truly supported is declared.
pub(super) fn initialize_result<S: ToolService>(details: &ServerDetails, revision: Revision) -> String {
    let rules = revision.rules();
    let mut introduction = json!({ "name": details.name, "version": details.version });
    if let Some(title) = details.title.as_deref().filter(|_| rules.introduction >= Introduction::Titled) {
        introduction["title"] = title.into();
    }
    if let Some(description) =
        details.description.as_deref().filter(|_| rules.introduction >= Introduction::Described)
    {
        introduction["description"] = description.into();
    }
    let mut result = json!({
        "protocolVersion": rules.name,
        "capabilities": { "tools": { "listChanged": true } },
        "serverInfo": introduction,
    });
    if S::OFFERS_ITEMS {
        result["capabilities"]["resources"] = json!({ "listChanged": true });
        result["capabilities"]["prompts"] = json!({ "listChanged": true });
    }
    if let Some(instructions) = &details.instructions {
        result["instructions"] = instructions.as_str().into();
    }
    result.to_string()
}

/// The id of the call that a client cancels.
pub(super) fn cancelled_id(params: Option<&RawValue>) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let params: Params<'_> = message::object(params?).ok()?;
    RequestId::of(params.request_id).ok()
}

/// One message as the whole answer, in the form that the client takes.
pub(super) fn message(accepts: Accepts, body: ResponseBody) -> Response<ResponseBody> {
    match accepts {
        Accepts::Events => events(body.into_event()),
        Accepts::Json | Accepts::Both | Accepts::Nothing => json(body),
    }
}

pub(super) fn json(body: ResponseBody) -> Response<ResponseBody> {
    with_type(StatusCode::OK, "application/json", body)
}

pub(super) fn events(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = with_type(StatusCode::OK, "text/event-stream", body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Proxies of the nginx family would else hold events back.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

pub(super) fn with_type(
    status: StatusCode,
    kind: &'static str,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
