//! All pages of a server's lists, with an end to each way in which a server could make them endless.

use std::collections::HashSet;

use hayloft_model::{Problem, Problems};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::item::Item;
use crate::message;
use crate::message::fields::Fields;
use crate::tool::ToolDefinition;

use super::error::CallError;
use super::link::Request;
use super::upstream::{CallDeadline, Upstream};

/// How much of a server's list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Pages.
    pub pages: usize,
    /// Elements over all pages.
    pub elements: usize,
    /// Bytes of the elements over all pages.
    pub bytes: usize,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self { pages: 100, elements: 1000, bytes: 8 * 1024 * 1024 }
    }
}

/// A server's tools, as far as they can be used, and what is wrong with the rest.
#[derive(Clone, Debug, Default)]
pub struct ToolListing {
    /// In the server's order; no name stands twice.
    pub tools: Vec<ToolDefinition>,
    /// Why something of the list is missing here. `at` starts with `tools[n]`, counted over all pages, or is `tools`.
    pub problems: Problems,
}

/// What a server offers of one kind beside tools, as far as it can be asked for, and what is wrong with the rest.
#[derive(Clone, Debug, Default)]
pub struct ItemListing {
    /// In the server's order; no address or name stands twice.
    pub items: Vec<Item>,
    /// Why something of the list is missing here. `at` starts with the list's member and a number, counted over all
    /// pages, or is the member.
    pub problems: Problems,
}

/// A list as the protocol has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListKind {
    /// The method that asks for it.
    pub(super) method: &'static str,
    /// The member of the answer that has it.
    pub(super) member: &'static str,
    /// What one of its elements is.
    pub(super) element: &'static str,
    /// What an element is told by.
    pub(super) identity: &'static str,
}

/// An element that can be told from the others of its list.
pub(super) trait Element {
    fn identity(&self) -> &str;
}

impl Element for ToolDefinition {
    fn identity(&self) -> &str {
        self.name()
    }
}

impl Element for Item {
    fn identity(&self) -> &str {
        self.identity()
    }
}

/// What came of a list.
#[derive(Debug)]
pub(super) struct Listing<T> {
    pub(super) elements: Vec<T>,
    pub(super) problems: Problems,
}

impl Upstream {
    /// All pages of a list, within the bounds of lists.
    pub(super) async fn list<T: Element>(
        &self,
        kind: ListKind,
        parse: impl Fn(Box<RawValue>) -> Result<T, Problem>,
    ) -> Result<Listing<T>, CallError> {
        let mut collector = Collector::new(kind, self.list_limits);
        let deadline = CallDeadline::fixed(self.list_within);
        let never = CancellationToken::new();
        let mut params = "{}".to_owned();
        loop {
            let write = |_, out: &mut Vec<u8>| out.extend_from_slice(params.as_bytes());
            let request = Request { method: kind.method, size: params.len(), progress: None, deadline };
            let page = self.link.request(request, write, &never).await?;
            match collector.add(&page, &parse)? {
                Next::Done => return Ok(collector.listing),
                Next::Page(cursor) => params = serde_json::json!({ "cursor": cursor }).to_string(),
            }
        }
    }
}

/// Whether there is another page to ask for.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Page(String),
    Done,
}

/// Puts the pages together.
#[derive(Debug)]
struct Collector<T> {
    kind: ListKind,
    limits: ListLimits,
    listing: Listing<T>,
    identities: HashSet<String>,
    cursors: HashSet<String>,
    pages: usize,
    seen: usize,
    bytes: usize,
}

impl<T: Element> Collector<T> {
    fn new(kind: ListKind, limits: ListLimits) -> Self {
        Self {
            kind,
            limits,
            listing: Listing { elements: Vec::new(), problems: Problems::new() },
            identities: HashSet::new(),
            cursors: HashSet::new(),
            pages: 0,
            seen: 0,
            bytes: 0,
        }
    }

    /// Takes one page in.
    fn add(
        &mut self,
        result: &RawValue,
        parse: impl Fn(Box<RawValue>) -> Result<T, Problem>,
    ) -> Result<Next, CallError> {
        let page: Fields<'_> = message::object(result).map_err(CallError::Malformed)?;
        let elements: Vec<&RawValue> = match self.member(&page, self.kind.member)? {
            Some(list) => read(list, self.kind.member)?,
            None => return Err(CallError::Malformed(format!("it has no `{}`", self.kind.member))),
        };
        let cursor: Option<String> = match self.member(&page, "nextCursor")? {
            Some(cursor) => read(cursor, "nextCursor")?,
            None => None,
        };
        self.pages += 1;
        for raw in elements {
            if self.seen == self.limits.elements {
                return Ok(self.stop(format!("are more than the {} that are read", self.limits.elements)));
            }
            self.bytes += raw.get().len();
            if self.bytes > self.limits.bytes {
                return Ok(self.stop(format!("have more than the {} bytes that are read", self.limits.bytes)));
            }
            self.add_element(parse(raw.to_owned()));
            self.seen += 1;
        }
        let Some(cursor) = cursor else {
            return Ok(Next::Done);
        };
        if self.cursors.contains(&cursor) {
            return Ok(self.stop("are listed in a circle: a cursor came twice".to_owned()));
        }
        if self.pages == self.limits.pages {
            return Ok(self.stop(format!("are on more than the {} pages that are read", self.limits.pages)));
        }
        self.cursors.insert(cursor.clone());
        Ok(Next::Page(cursor))
    }

    /// A member of a page, which stands there once at most.
    fn member<'a>(&self, page: &Fields<'a>, name: &str) -> Result<Option<&'a RawValue>, CallError> {
        if page.count(name) > 1 {
            return Err(CallError::Malformed(format!("`{name}` stands twice")));
        }
        Ok(page.get(name))
    }

    fn add_element(&mut self, element: Result<T, Problem>) {
        let ListKind { member, element: one, identity, .. } = self.kind;
        let at = format!("{member}[{}]", self.seen);
        match element {
            Ok(element) if self.identities.contains(element.identity()) => {
                let message = format!("has the {identity} `{}` of an earlier {one}", element.identity());
                let hint = format!("give every {one} {} {identity} of its own", article(identity));
                self.listing.problems.push(Problem::error(at, message).hint(hint));
            }
            Ok(element) => {
                self.identities.insert(element.identity().to_owned());
                self.listing.elements.push(element);
            }
            Err(problem) => {
                let at = if problem.at.is_empty() { at } else { format!("{at}.{}", problem.at) };
                self.listing.problems.push(Problem { at, ..problem });
            }
        }
    }

    fn stop(&mut self, message: String) -> Next {
        self.listing.problems.push(Problem::error(self.kind.member, message));
        Next::Done
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn read<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue, name: &str) -> Result<T, CallError> {
    serde_json::from_str(raw.get()).map_err(|error| CallError::Malformed(format!("`{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: ListKind =
        ListKind { method: "tools/list", member: "tools", element: "tool", identity: "name" };

    fn collector(limits: ListLimits) -> Collector<ToolDefinition> {
        Collector::new(TOOLS, limits)
    }

    fn tried(collector: &mut Collector<ToolDefinition>, json: &str) -> Result<Next, CallError> {
        collector.add(&RawValue::from_string(json.to_owned()).unwrap(), ToolDefinition::parse)
    }

    fn add(collector: &mut Collector<ToolDefinition>, json: &str) -> Next {
        tried(collector, json).unwrap()
    }

    fn limits() -> ListLimits {
        ListLimits { pages: 3, elements: 5, bytes: 200 }
    }

    fn summary(collector: Collector<ToolDefinition>) -> (Vec<String>, String) {
        let listing = collector.listing;
        let names = listing.elements.iter().map(|tool| tool.name().to_owned()).collect();
        (names, listing.problems.to_string())
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_said() {
        let mut collector = collector(limits());
        let json = r#"{"tools":[{"name":"a"},7,{"name":""},{"name":"a"},{"name":"b"}]}"#;
        assert_eq!(add(&mut collector, json), Next::Done);
        let (names, problems) = summary(collector);
        assert_eq!(names, ["a", "b"]);
        assert_eq!(
            problems,
            "error: tools[1]: is not an object\n  hint: list tools as objects with a `name`\n\
             error: tools[2].name: is not a string, or empty\n\
             error: tools[3]: has the name `a` of an earlier tool\n  hint: give every tool a name of its own"
        );
    }

    #[test]
    fn endless_lists_end() {
        let cases: [(&[&str], &str); 4] = [
            (
                &[r#"{"tools":[],"nextCursor":"x"}"#, r#"{"tools":[],"nextCursor":"x"}"#],
                "error: tools: are listed in a circle: a cursor came twice",
            ),
            (
                &[
                    r#"{"tools":[],"nextCursor":"1"}"#,
                    r#"{"tools":[],"nextCursor":"2"}"#,
                    r#"{"tools":[],"nextCursor":"3"}"#,
                ],
                "error: tools: are on more than the 3 pages that are read",
            ),
            (&[r#"{"tools":[1,1,1,1,1,1]}"#], "error: tools: are more than the 5 that are read"),
            (
                &[&format!(r#"{{"tools":["{}"]}}"#, "x".repeat(200))],
                "error: tools: have more than the 200 bytes that are read",
            ),
        ];
        for (pages, expected) in cases {
            let mut collector = collector(limits());
            let mut last = None;
            for page in pages {
                last = Some(add(&mut collector, page));
            }
            assert_eq!(last, Some(Next::Done));
            assert_eq!(summary(collector).1.lines().last(), Some(expected));
        }
    }

    #[test]
    fn an_empty_cursor_is_a_cursor() {
        let mut collector = collector(limits());
        assert_eq!(add(&mut collector, r#"{"tools":[],"nextCursor":""}"#), Next::Page(String::new()));
        assert_eq!(add(&mut collector, r#"{"tools":[],"nextCursor":null}"#), Next::Done);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for bad in [
            "[]",
            "{}",
            r#"{"tools":{}}"#,
            r#"{"tools":null}"#,
            r#"{"tools":[],"tools":[]}"#,
            r#"{"tools":[],"nextCursor":1}"#,
            r#"{"tools":[],"nextCursor":"a","nextCursor":"b"}"#,
        ] {
            let refused = tried(&mut collector(limits()), bad);
            assert!(matches!(refused, Err(CallError::Malformed(_))), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn other_lists_keep_the_same_rules_in_their_own_words() {
        let kind = ListKind {
            method: "resources/list",
            member: "resources",
            element: "resource",
            identity: "address",
        };
        let mut collector = Collector::new(kind, limits());
        let json = r#"{"resources":[{"uri":"a:"},{"uri":"a:"},{"name":"b"},{"uri":"c:"},1,1]}"#;
        let page = RawValue::from_string(json.to_owned()).unwrap();
        let parse = |raw| Item::parse(crate::item::ItemKind::Resource, raw);
        assert_eq!(collector.add(&page, parse).unwrap(), Next::Done);
        let found: Vec<_> = collector.listing.elements.iter().map(Item::identity).collect();
        assert_eq!(found, ["a:", "c:"]);
        assert_eq!(
            collector.listing.problems.to_string(),
            "error: resources[1]: has the address `a:` of an earlier resource\n  hint: give every resource an address of its own\n\
             error: resources[2].uri: is not a string, or empty\n\
             error: resources[4]: is not an object\n\
             error: resources: are more than the 5 that are read"
        );
    }
}
