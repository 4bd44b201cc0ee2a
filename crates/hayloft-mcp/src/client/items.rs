//! What a server offers beside tools: its lists, and single things of them.

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::fault::code;
use crate::item::{Item, ItemKind, may_have_resources, with_linked_addresses};
use crate::message::fields::Fields;
use crate::progress::ProgressSink;

use super::error::CallError;
use super::listing::{ItemListing, ListKind};
use super::upstream::{Asked, CallDeadline, Upstream};

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

const fn list_of(kind: ItemKind) -> ListKind {
    let (element, identity) = match kind {
        ItemKind::Resource => ("resource", "address"),
        ItemKind::Template => ("template", "pattern"),
        ItemKind::Prompt => ("prompt", "name"),
    };
    ListKind { method: kind.list_method(), member: kind.list_member(), element, identity }
}

impl Upstream {
    /// All things of a kind that the server offers, without those that cannot be asked for. A server without the
    /// capability is not asked.
    ///
    /// # Errors
    /// The server cannot be asked, or a page is not what the protocol says. What is wrong with single things, or with the
    /// length of the list, is in the listing.
    pub async fn list_items(&self, kind: ItemKind) -> Result<ItemListing, CallError> {
        if !self.has_capability(kind.capability()) {
            return Ok(ItemListing::default());
        }
        match self.list(list_of(kind), |raw| Item::parse(kind, raw)).await {
            Ok(listing) => Ok(ItemListing { items: listing.elements, problems: listing.problems }),
            // Some servers have resources and know nothing of templates: those have none.
            Err(CallError::Refused(error))
                if kind == ItemKind::Template && error.code() == code::METHOD_NOT_FOUND =>
            {
                Ok(ItemListing::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a resource or gets a prompt, and gives the result exactly as the server wrote it. Dropping the future
    /// cancels the request.
    ///
    /// # Errors
    /// There is no result; the error says why. Becomes a [`crate::ToolFailure`] by `into`.
    pub async fn get_item(&self, get: UpstreamGet<'_>) -> Result<Box<RawValue>, CallError> {
        let UpstreamGet { kind, identity, arguments, meta, progress, deadline, cancelled } = get;
        let (method, member) = match kind {
            ItemKind::Prompt => ("prompts/get", "name"),
            ItemKind::Resource | ItemKind::Template => ("resources/read", "uri"),
        };
        self.ask(Asked { method, member, identity, arguments, meta, progress, deadline, cancelled }).await
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

    /// A result of one of the server's tools or prompts with other addresses of the resources that it has inside or leads
    /// to. Where nothing can be read from the server an address is not one of its own, and stays.
    #[must_use]
    pub fn with_linked_addresses(
        &self,
        result: Box<RawValue>,
        rename: impl Fn(&str) -> String,
    ) -> Box<RawValue> {
        if !may_have_resources(&result) || !self.has_capability(ItemKind::Resource.capability()) {
            return result;
        }
        with_linked_addresses(&result, &rename).unwrap_or(result)
    }

    fn has_capability(&self, name: &str) -> bool {
        Fields::of(&self.details().capabilities).is_some_and(|fields| fields.get(name).is_some())
    }
}
