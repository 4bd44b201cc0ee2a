//! All pages of a server's `tools/list`, with an end to each way in which a server could make them endless.

use std::collections::HashSet;

use hayloft_model::{Problem, Problems};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message;
use crate::tool::ToolDefinition;

use super::error::CallError;

/// How much of a server's list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Pages.
    pub pages: usize,
    /// Tools over all pages.
    pub tools: usize,
    /// Bytes of the definitions over all pages.
    pub bytes: usize,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self { pages: 100, tools: 1000, bytes: 8 * 1024 * 1024 }
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

/// Whether there is another page to ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Page(String),
    Done,
}

/// Puts the pages together.
#[derive(Debug)]
pub(super) struct Collector {
    limits: ListLimits,
    listing: ToolListing,
    names: HashSet<String>,
    cursors: HashSet<String>,
    pages: usize,
    seen: usize,
    bytes: usize,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(rename = "nextCursor")]
    next_cursor: Option<String>,
}

impl Collector {
    pub(super) fn new(limits: ListLimits) -> Self {
        Self {
            limits,
            listing: ToolListing::default(),
            names: HashSet::new(),
            cursors: HashSet::new(),
            pages: 0,
            seen: 0,
            bytes: 0,
        }
    }

    pub(super) fn finish(self) -> ToolListing {
        self.listing
    }

    /// Takes one page in.
    pub(super) fn add(&mut self, result: &RawValue) -> Result<Next, CallError> {
        let page: Page<'_> = message::object(result).map_err(CallError::Malformed)?;
        self.pages += 1;
        for raw in page.tools {
            if self.seen == self.limits.tools {
                return Ok(self.stop(format!("are more than the {} that are read", self.limits.tools)));
            }
            self.bytes += raw.get().len();
            if self.bytes > self.limits.bytes {
                return Ok(self.stop(format!("have more than the {} bytes that are read", self.limits.bytes)));
            }
            self.add_tool(raw);
            self.seen += 1;
        }
        let Some(cursor) = page.next_cursor else {
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

    fn add_tool(&mut self, raw: &RawValue) {
        let at = format!("tools[{}]", self.seen);
        match ToolDefinition::parse(raw.to_owned()) {
            Ok(tool) if self.names.contains(tool.name()) => {
                let message = format!("has the name `{}` of an earlier tool", tool.name());
                self.listing
                    .problems
                    .push(Problem::error(at, message).hint("give every tool a name of its own"));
            }
            Ok(tool) => {
                self.names.insert(tool.name().to_owned());
                self.listing.tools.push(tool);
            }
            Err(problem) => {
                let at = if problem.at.is_empty() { at } else { format!("{at}.{}", problem.at) };
                self.listing.problems.push(Problem { at, ..problem });
            }
        }
    }

    fn stop(&mut self, message: String) -> Next {
        self.listing.problems.push(Problem::error("tools", message));
        Next::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(collector: &mut Collector, json: &str) -> Next {
        collector.add(&RawValue::from_string(json.to_owned()).unwrap()).unwrap()
    }

    fn limits() -> ListLimits {
        ListLimits { pages: 3, tools: 5, bytes: 200 }
    }

    fn summary(collector: Collector) -> (Vec<String>, String) {
        let listing = collector.finish();
        let names = listing.tools.iter().map(|tool| tool.name().to_owned()).collect();
        (names, listing.problems.to_string())
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_said() {
        let mut collector = Collector::new(limits());
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
            let mut collector = Collector::new(limits());
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
        let mut collector = Collector::new(limits());
        assert_eq!(add(&mut collector, r#"{"tools":[],"nextCursor":""}"#), Next::Page(String::new()));
        assert_eq!(add(&mut collector, r#"{"tools":[],"nextCursor":null}"#), Next::Done);
    }
}
