//! JSON as its author wrote it: every value with its place, duplicate keys kept.
//!
//! The parser is `serde_json`; this module keeps what it throws away, so that all problems of a text can be named at
//! once, with line and column. It knows no plugin format.

use std::fmt;

use hayloft_model::Problem;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

mod view;

pub(crate) use view::{Object, View};

/// A value and where it begins, as a byte offset into the text.
#[derive(Debug)]
struct Node {
    offset: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain(Value),
    Array(Vec<Node>),
    Object(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: String,
    key_offset: usize,
    value: Node,
}

/// A parsed text: where it came from and what it holds.
#[derive(Debug)]
pub(crate) struct Document {
    naming: Naming,
    /// The text, where places have line and column.
    text: Option<String>,
    root: Node,
}

/// How places in a document are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// A file that a person edits: `package.json#a.b (line 3, column 5)`.
    File(&'static str),
    /// A value that a program sent: `metadata.a.b`.
    Message(&'static str),
}

impl Document {
    /// Parses a text. A syntax error is the only problem then, with its line and column.
    pub(crate) fn parse(text: &str, naming: Naming) -> Result<Self, Problem> {
        // Editors on some systems begin a file with a byte order mark; Node and npm skip it, and so does this.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // The full parse comes first: it bounds the depth, so that what follows may recurse.
        let parsed = serde_json::from_str::<Value>(text)
            .and_then(|_| serde_json::from_str::<&RawValue>(text))
            .and_then(|raw| node(text, raw));
        match parsed {
            Ok(root) => {
                let text = matches!(naming, Naming::File(_)).then(|| text.to_owned());
                Ok(Self { naming, text, root })
            }
            Err(error) => Err(syntax_problem(&error, naming)),
        }
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> View<'_> {
        View::new(self, String::new(), &self.root)
    }

    fn place(&self, path: &str, offset: usize) -> String {
        match (self.naming, &self.text) {
            (Naming::File(name), Some(text)) => {
                let before = text.get(..offset).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                let separator = if path.is_empty() { "" } else { "#" };
                format!("{name}{separator}{path} (line {line}, column {column})")
            }
            (Naming::File(name) | Naming::Message(name), _) => {
                let separator = if path.is_empty() { "" } else { "." };
                format!("{name}{separator}{path}")
            }
        }
    }
}

fn syntax_problem(error: &serde_json::Error, naming: Naming) -> Problem {
    let (Naming::File(name) | Naming::Message(name)) = naming;
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let at = format!("{name} (line {}, column {})", error.line(), error.column().max(1));
    let problem = Problem::error(at, format!("is not valid JSON: {reason}"));
    match reason {
        "trailing comma" => problem.hint("remove the comma before the closing bracket"),
        "key must be a string" => problem.hint("put the key in double quotes; JSON has no comments"),
        "expected `,` or `}`" | "expected `,` or `]`" => {
            problem.hint("a comma may be missing just before this place")
        }
        "expected value" => problem.hint("JSON has no comments and no single quotes"),
        _ if error.is_eof() => problem.hint("the file ends too early: a closing bracket or quote is missing"),
        _ => problem,
    }
}

fn node(text: &str, raw: &RawValue) -> Result<Node, serde_json::Error> {
    let slice = raw.get();
    let offset = offset_in(text, slice);
    let kind = match slice.as_bytes().first() {
        Some(b'{') => {
            let entries = serde_json::Deserializer::from_str(slice).deserialize_map(Entries)?;
            let entry = |(key, value): (&RawValue, &RawValue)| {
                Ok(Entry {
                    key: serde_json::from_str(key.get())?,
                    key_offset: offset_in(text, key.get()),
                    value: node(text, value)?,
                })
            };
            Kind::Object(entries.into_iter().map(entry).collect::<Result<_, serde_json::Error>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(slice)?;
            Kind::Array(items.into_iter().map(|item| node(text, item)).collect::<Result<_, _>>()?)
        }
        _ => Kind::Plain(serde_json::from_str(slice)?),
    };
    Ok(Node { offset, kind })
}

/// Where a slice of a text begins in it.
fn offset_in(text: &str, slice: &str) -> usize {
    slice.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// The entries of an object in order, duplicates included, as slices of the text.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::Problems;

    use super::*;

    #[test]
    fn places_have_path_line_and_column() {
        let text = "\u{feff}{\n  \"ä\": 1, \"b\": [true,\n {\"c d\": null}],\n \"b\": 2}";
        let document = Document::parse(text, Naming::File("x.json")).unwrap();
        let mut problems = Problems::new();
        let root = document.root().object(&mut problems).unwrap();
        let list = root.items("b", 10, &mut problems);
        assert_eq!(list[0].at(), "x.json#b[0] (line 2, column 17)");
        assert_eq!(
            list[1].object(&mut problems).unwrap().place_of("c d"),
            r#"x.json#b[1]["c d"] (line 3, column 2)"#
        );
        root.check_ambiguous(&mut problems);
        assert_eq!(problems.len(), 1);
        assert!(
            problems
                .to_string()
                .starts_with("error: x.json#b (line 4, column 2): the key `b` stands here twice")
        );
    }

    #[test]
    fn depth_is_bounded() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let problem = Document::parse(&text, Naming::File("x.json")).unwrap_err();
        assert!(problem.message.contains("recursion limit"), "{problem}");
    }
}
