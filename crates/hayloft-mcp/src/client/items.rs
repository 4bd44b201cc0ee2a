//! What a server offers beside tools: all pages of its lists, within the same bounds as its tools, and single things of
//! them.

use std::collections::HashSet;
use std::fmt;

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::fault::code;
use crate::item::{Item, ItemKind};
use crate::message::fields::Fields;
use crate::message::write;
use crate::progress::ProgressSink;

use super::error::CallError;
use super::link::Request;
use super::upstream::{CallDeadline, Upstream, meta_json};

/// A resource to read or a prompt to get.
#[derive(Debug)]
pub struct UpstreamGet<'a> {
    /// Which of the two: a resource or a prompt.
    pub kind: ItemKind,
    /// Its address or name on the server.
    pub identity: &'a str,
    /// What a prompt is given.
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

impl Upstream {
    /// All things of a kind that the server offers, without those that cannot be asked for. A server without the
    /// capability is not asked. What is beyond the limits of lists is left out.
    ///
    /// # Errors
    /// The server cannot be asked, or a page is not what the protocol says.
    pub async fn list_items(&self, kind: ItemKind) -> Result<Vec<Item>, CallError> {
        if !self.has_capability(kind.capability()) {
            return Ok(Vec::new());
        }
        let limits = self.list_limits;
        let deadline = CallDeadline::fixed(self.list_within);
        let never = CancellationToken::new();
        let (mut items, mut identities, mut cursors) = (Vec::new(), HashSet::new(), HashSet::new());
        let (mut bytes, mut params) = (0, "{}".to_owned());
        for _ in 0..limits.pages {
            let write = |_, out: &mut Vec<u8>| out.extend_from_slice(params.as_bytes());
            let request =
                Request { method: kind.list_method(), size: params.len(), progress: None, deadline };
            let result = match self.link.request(request, write, &never).await {
                // Some servers have resources and know nothing of templates: those have none.
                Err(CallError::Refused(error))
                    if kind == ItemKind::Template && error.code() == code::METHOD_NOT_FOUND =>
                {
                    return Ok(Vec::new());
                }
                answered => answered?,
            };
            let page = Fields::of(&result).ok_or_else(|| malformed("it is not an object"))?;
            let list = page.get(kind.list_member()).ok_or_else(|| malformed("it has no list"))?;
            let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(malformed)?;
            for raw in list {
                bytes += raw.get().len();
                if items.len() == limits.tools || bytes > limits.bytes {
                    return Ok(items);
                }
                // One that nobody could ask for hides no other.
                if let Ok(item) = Item::parse(kind, raw.to_owned())
                    && identities.insert(item.identity().to_owned())
                {
                    items.push(item);
                }
            }
            let cursor =
                page.get("nextCursor").map(|cursor| serde_json::from_str::<Option<String>>(cursor.get()));
            let Some(cursor) = cursor.transpose().map_err(malformed)?.flatten() else { break };
            if !cursors.insert(cursor.clone()) {
                break;
            }
            params = serde_json::json!({ "cursor": cursor }).to_string();
        }
        Ok(items)
    }

    /// Reads a resource or gets a prompt, and gives the result exactly as the server wrote it. Dropping the future
    /// cancels the request.
    ///
    /// # Errors
    /// There is no result; the error says why. Becomes a [`crate::ToolFailure`] by `into`.
    pub async fn get_item(&self, get: UpstreamGet<'_>) -> Result<Box<RawValue>, CallError> {
        let UpstreamGet { kind, identity, arguments, meta, progress, deadline, cancelled } = get;
        let (method, member): (_, &[u8]) = match kind {
            ItemKind::Prompt => ("prompts/get", br#"{"name":"#),
            ItemKind::Resource | ItemKind::Template => ("resources/read", br#"{"uri":"#),
        };
        let asks_progress = progress.is_some();
        let raw_size = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
        let size = identity.len() + raw_size(arguments) + raw_size(meta) + 64;
        let write = |id: u64, out: &mut Vec<u8>| {
            out.extend_from_slice(member);
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

    /// Counts the server's notices that a list of something else than tools changed.
    #[must_use]
    pub fn items_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.link.shared().items_changed.subscribe()
    }

    /// Whether the server offers anything beside tools.
    #[must_use]
    pub fn offers_items(&self) -> bool {
        ItemKind::ALL.into_iter().any(|kind| self.has_capability(kind.capability()))
    }

    fn has_capability(&self, name: &str) -> bool {
        Fields::of(&self.details().capabilities).is_some_and(|fields| fields.get(name).is_some())
    }
}

fn malformed(why: impl fmt::Display) -> CallError {
    CallError::Malformed(why.to_string())
}
