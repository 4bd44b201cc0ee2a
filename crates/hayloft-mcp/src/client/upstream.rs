//! One session with one server, shared by all who call its tools.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::message::fields::Fields;
use crate::message::write;
use crate::progress::ProgressSink;
use crate::tool::ToolDefinition;

use super::error::{CallError, CloseReason, OpenError};
use super::link::{Link, Request};
use super::listing::{ListKind, ListLimits, Listing, ToolListing};
use super::opening::{self, ClientDetails, ToolsCapability, UpstreamDetails};
use super::reader::{Silent, UpstreamObserver};
use super::transport::Transport;

/// How a session is kept.
#[derive(Clone)]
pub struct UpstreamOptions {
    /// Who we say that we are.
    pub client: ClientDetails,
    /// The longest message in either direction, in bytes. Default 4 MiB.
    pub max_message_bytes: usize,
    /// How deep a message may nest. Default 128.
    pub max_depth: usize,
    /// How long the server may take to answer `initialize`. Default 30 s.
    pub open_within: Duration,
    /// How long it may take for one page of its lists. Default 30 s.
    pub list_within: Duration,
    /// How much of each of its lists is read.
    pub list_limits: ListLimits,
    /// How many calls may wait for it at once. Default 4096.
    pub max_waiting: usize,
    /// How many messages that nobody asked for are read in a second. Default 2000.
    pub unasked_per_second: u32,
    /// Hears what the server says beside its answers. Default: nobody.
    pub observer: Arc<dyn UpstreamObserver>,
}

impl UpstreamOptions {
    /// The defaults, under our name.
    #[must_use]
    pub fn new(client: ClientDetails) -> Self {
        Self {
            client,
            max_message_bytes: 4 * 1024 * 1024,
            max_depth: 128,
            open_within: Duration::from_secs(30),
            list_within: Duration::from_secs(30),
            list_limits: ListLimits::default(),
            max_waiting: 4096,
            unasked_per_second: 2000,
            observer: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for UpstreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamOptions").field("client", &self.client).finish_non_exhaustive()
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallDeadline {
    /// From the start, and again from every report of progress.
    pub quiet: Duration,
    /// Altogether, whatever progress is reported.
    pub total: Duration,
}

impl CallDeadline {
    /// A deadline that no progress extends.
    #[must_use]
    pub const fn fixed(duration: Duration) -> Self {
        Self { quiet: duration, total: duration }
    }
}

/// A call of one of the server's tools.
#[derive(Debug)]
pub struct UpstreamCall<'a> {
    /// The tool's name on the server.
    pub name: &'a str,
    /// A JSON object; nothing is sent when there are none.
    pub arguments: Option<&'a RawValue>,
    /// A `_meta` object to send along. A progress token in it is replaced.
    pub meta: Option<&'a RawValue>,
    /// Where reports of progress go. Without it the server is not asked for any.
    pub progress: Option<ProgressSink>,
    /// How long to wait.
    pub deadline: CallDeadline,
    /// Ends the wait when it fires.
    pub cancelled: &'a CancellationToken,
}

/// How tools are listed.
const TOOLS: ListKind = ListKind { method: "tools/list", member: "tools", element: "tool", identity: "name" };

/// One thing that a server has listed, asked for by what it is told by.
pub(super) struct Asked<'a> {
    pub(super) method: &'static str,
    /// The member of the request that says which one.
    pub(super) member: &'static str,
    pub(super) identity: &'a str,
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) meta: Option<&'a RawValue>,
    pub(super) progress: Option<ProgressSink>,
    pub(super) deadline: CallDeadline,
    pub(super) cancelled: &'a CancellationToken,
}

/// What a session ignored so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounters {
    /// Replies under ids that were never given out.
    pub foreign_replies: u64,
    /// Replies to calls that were answered before, given up or cancelled.
    pub late_replies: u64,
    /// Texts that are no messages.
    pub noise: u64,
    /// Requests of the server.
    pub requests: u64,
    /// Notifications of the server, those of use included.
    pub notifications: u64,
}

/// A session with a server. Clones share it; it ends with the last of them, with [`Upstream::close`], or when the
/// server ends.
#[derive(Clone)]
pub struct Upstream {
    pub(super) link: Arc<Link>,
    details: Arc<UpstreamDetails>,
    pub(super) list_within: Duration,
    pub(super) list_limits: ListLimits,
}

impl Upstream {
    /// Opens a session over a transport that is ready.
    ///
    /// # Errors
    /// The server ended, did not answer in time, refused, or speaks nothing that we know. The transport is let go of.
    pub async fn open<T: Transport>(transport: T, options: UpstreamOptions) -> Result<Self, OpenError> {
        let link = Link::new(transport, &options);
        let details = opening::introduce(&link, &options).await?;
        link.shared().revision.get_or_init(|| details.revision);
        let UpstreamOptions { list_within, list_limits, .. } = options;
        Ok(Self { link: Arc::new(link), details: Arc::new(details), list_within, list_limits })
    }

    /// What the server said about itself.
    #[must_use]
    pub fn details(&self) -> &UpstreamDetails {
        &self.details
    }

    /// All tools of the server. A server without the `tools` capability has none.
    ///
    /// # Errors
    /// The server cannot be asked, or a page is not what the protocol says. What is wrong with single tools, or with the
    /// length of the list, is in the listing.
    pub async fn list_tools(&self) -> Result<ToolListing, CallError> {
        if self.details.tools == ToolsCapability::Absent {
            return Ok(ToolListing::default());
        }
        let Listing { elements, problems } = self.list(TOOLS, ToolDefinition::parse).await?;
        Ok(ToolListing { tools: elements, problems })
    }

    /// Calls a tool and gives the result exactly as the server wrote it. Dropping the future cancels the call.
    ///
    /// # Errors
    /// There is no result; the error says why. Becomes a [`crate::ToolFailure`] by `into`.
    pub async fn call_tool(&self, call: UpstreamCall<'_>) -> Result<Box<RawValue>, CallError> {
        let UpstreamCall { name, arguments, meta, progress, deadline, cancelled } = call;
        let (method, member) = ("tools/call", "name");
        self.ask(Asked { method, member, identity: name, arguments, meta, progress, deadline, cancelled })
            .await
    }

    /// Asks for one thing that the server has listed.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<Box<RawValue>, CallError> {
        let Asked { method, member, identity, arguments, meta, progress, deadline, cancelled } = asked;
        let asks_progress = progress.is_some();
        let raw_size = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
        let size = identity.len() + raw_size(arguments) + raw_size(meta) + 64;
        let write = |id: u64, out: &mut Vec<u8>| {
            out.push(b'{');
            write::string(out, member);
            out.push(b':');
            write::string(out, identity);
            if let Some(arguments) = arguments {
                out.extend_from_slice(br#","arguments":"#);
                out.extend_from_slice(arguments.get().as_bytes());
            }
            if let Some(meta) = meta_json(meta, asks_progress.then_some(id)) {
                out.extend_from_slice(br#","_meta":"#);
                out.extend_from_slice(meta.as_bytes());
            }
            out.push(b'}');
        };
        self.link.request(Request { method, size, progress, deadline }, write, cancelled).await
    }

    /// Asks whether the server is still there.
    ///
    /// # Errors
    /// It did not answer in time, or the session is over.
    pub async fn ping(&self, within: Duration) -> Result<(), CallError> {
        let deadline = CallDeadline::fixed(within);
        let request = Request { method: "ping", size: 2, progress: None, deadline };
        let never = CancellationToken::new();
        self.link.request(request, |_, out| out.extend_from_slice(b"{}"), &never).await.map(drop)
    }

    /// Counts the server's notices that its list of tools changed.
    #[must_use]
    pub fn tools_changed(&self) -> watch::Receiver<u64> {
        self.link.shared().tools_changed.subscribe()
    }

    /// Waits for the end of the session and says why it ended. Holds the session open no longer than `self` does.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.link.shared().closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::ByHost),
            Err(_) => CloseReason::ByHost,
        }
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.link.shared().pending.closed()
    }

    /// Ends the session: calls that wait fail, and the transport lets go of its ends.
    pub fn close(&self) {
        self.link.end();
    }

    /// How many calls wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.shared().pending.len()
    }

    /// What was ignored so far.
    #[must_use]
    pub fn counters(&self) -> UpstreamCounters {
        let counts = &self.link.shared().counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        UpstreamCounters {
            foreign_replies: read(&counts.foreign_replies),
            late_replies: read(&counts.late_replies),
            noise: read(&counts.noise),
            requests: read(&counts.requests),
            notifications: read(&counts.notifications),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("details", &self.details).finish_non_exhaustive()
    }
}

/// The `_meta` to send: what the caller gave, with our progress token or none in place of any that it holds.
pub(super) fn meta_json(meta: Option<&RawValue>, token: Option<u64>) -> Option<String> {
    let rest = meta.and_then(Fields::of).map(|mut fields| {
        fields.take("progressToken");
        fields
    });
    let rest = rest.filter(|fields| !fields.is_empty()).map(|fields| fields.to_json(None));
    match (rest, token) {
        (rest, None) => rest,
        (None, Some(token)) => Some(format!(r#"{{"progressToken":{token}}}"#)),
        (Some(rest), Some(token)) => {
            Some(format!(r#"{{"progressToken":{token},{}"#, rest.strip_prefix('{').unwrap_or("}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_in_meta_is_always_ours() {
        let cases = [
            (None, None, None),
            (None, Some(7), Some(r#"{"progressToken":7}"#)),
            (Some("{}"), None, None),
            (Some("[1]"), None, None),
            (Some(r#"{"progressToken":"x"}"#), None, None),
            (Some(r#"{"a/b":{"c" :1},"progressToken":"x"}"#), None, Some(r#"{"a/b":{"c" :1}}"#)),
            (
                Some(r#"{"progressToken":1,"a":1,"progressToken":2}"#),
                Some(7),
                Some(r#"{"progressToken":7,"a":1}"#),
            ),
        ];
        for (meta, token, expected) in cases {
            let raw = meta.map(|meta| RawValue::from_string(meta.to_owned()).unwrap());
            assert_eq!(meta_json(raw.as_deref(), token).as_deref(), expected, "{meta:?}");
        }
    }
}
