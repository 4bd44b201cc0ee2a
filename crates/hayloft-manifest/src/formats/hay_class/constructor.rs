//! The object that a class hands to `super(…)` in its constructor, read as text.
//!
//! Only plain values are understood: texts, numbers, truth values, lists and objects of them. Anything else is passed
//! over, since only running the code would tell what it is.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::formats::Located;

/// Deepest nesting that is looked into.
const DEEPEST: usize = 16;

/// What the object says, as far as it is plain.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    path: String,
    lines: Vec<usize>,
    /// Keys with their values and where these begin.
    fields: Vec<(String, Value, usize)>,
}

impl Metadata {
    /// Reads the object in a module's source. There is nothing in it if the class hands nothing over.
    pub(super) fn read(path: &str, source: &str) -> Self {
        let lines = source.match_indices('\n').map(|(index, _)| index).collect();
        let fields = beginning(source).and_then(|start| fields(source, start)).unwrap_or_default();
        Self { path: path.to_owned(), lines, fields }
    }

    /// A text of the object.
    pub(super) fn text(&self, key: &str) -> Option<Located> {
        let (_, value, offset) = self.field(key)?;
        Some(Located { text: value.as_str()?.to_owned(), at: self.at(key, *offset) })
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<Located>> {
        let (_, value, offset) = self.field(key)?;
        let texts = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        let located = |(index, text): (usize, &str)| Located {
            text: text.to_owned(),
            at: self.at(&format!("{key}[{index}]"), *offset),
        };
        Some(texts.into_iter().enumerate().map(located).collect())
    }

    fn field(&self, key: &str) -> Option<&(String, Value, usize)> {
        self.fields.iter().find(|(name, _, _)| name == key)
    }

    fn at(&self, key: &str, offset: usize) -> String {
        let line = self.lines.partition_point(|newline| *newline < offset);
        let start =
            line.checked_sub(1).and_then(|before| self.lines.get(before)).map_or(0, |newline| newline + 1);
        format!("{}#{key} (line {}, column {})", self.path, line + 1, offset - start + 1)
    }
}

/// Where the object begins: right after `super(` of the class, or, in code for machines that know no classes, after
/// `_super.call(this,`.
fn beginning(source: &str) -> Option<usize> {
    static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let head = r"\bextends\s*\(?(?:[\w$]+\s*[.,]\s*)*HayPlugin\b(?s:.*?)\bsuper\s*\(";
        Regex::new(&format!(r"(?:{head}|\b_super\.call\(\s*this\s*,)\s*")).ok()
    });
    let end = CALL.as_ref()?.find(source)?.end();
    source.get(end..)?.starts_with('{').then_some(end)
}

/// The plain values of the object that begins at this place.
pub(super) fn plain_object(source: &str, start: usize) -> Option<Map<String, Value>> {
    Some(fields(source, start)?.into_iter().map(|(key, value, _)| (key, value)).collect())
}

fn fields(source: &str, start: usize) -> Option<Vec<(String, Value, usize)>> {
    let mut reader = Reader { source, position: start };
    let mut fields = Vec::new();
    reader.object(0, &mut |key, value, offset| fields.push((key, value, offset)))?;
    Some(fields)
}

struct Reader<'s> {
    source: &'s str,
    position: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    fn eat(&mut self, wanted: char) -> Option<()> {
        self.blank();
        (self.take()? == wanted).then_some(())
    }

    /// Passes over space and comments.
    fn blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            let skipped = rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else {
                0
            };
            self.position += skipped + comment;
            if comment == 0 {
                return;
            }
        }
    }

    /// An object. Of each property with a plain value the key, the value and its place are told.
    fn object(&mut self, depth: usize, tell: &mut dyn FnMut(String, Value, usize)) -> Option<()> {
        self.eat('{')?;
        loop {
            self.blank();
            if self.peek()? == '}' {
                self.take();
                return Some(());
            }
            let key = self.key();
            self.blank();
            if let Some(key) = key
                && self.peek()? == ':'
            {
                self.take();
                self.blank();
                let offset = self.position;
                let value = self.value(depth + 1);
                self.blank();
                match (value, self.peek()?) {
                    (Some(value), ',' | '}') => tell(key, value, offset),
                    // An expression, which may begin as a value does.
                    _ => {
                        self.position = offset;
                        self.pass_over()?;
                    }
                }
            } else {
                self.pass_over()?;
            }
            if self.peek()? == ',' {
                self.take();
            }
        }
    }

    fn key(&mut self) -> Option<String> {
        match self.peek()? {
            '"' | '\'' => self.text(),
            first if first.is_alphanumeric() || matches!(first, '_' | '$') => {
                let rest = self.rest();
                let end = rest
                    .find(|character: char| !character.is_alphanumeric() && !matches!(character, '_' | '$'));
                let key = rest.get(..end.unwrap_or(rest.len()))?.to_owned();
                self.position += key.len();
                Some(key)
            }
            _ => None,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        match self.peek()? {
            '"' | '\'' | '`' => self.text().map(Value::from),
            '[' => self.list(depth),
            '{' => {
                let mut object = Map::new();
                self.object(depth, &mut |key, value, _| {
                    object.insert(key, value);
                })?;
                Some(Value::Object(object))
            }
            _ => {
                let rest = self.rest();
                let end = rest.find(|character: char| {
                    !character.is_alphanumeric() && !matches!(character, '.' | '-' | '!')
                });
                let word = rest.get(..end.unwrap_or(rest.len()))?.to_owned();
                let value = match word.as_str() {
                    // Compilers write `!0` for `true`.
                    "true" | "!0" => Value::Bool(true),
                    "false" | "!1" => Value::Bool(false),
                    "null" => Value::Null,
                    number => number.parse::<Number>().ok().map(Value::Number)?,
                };
                self.position += word.len();
                Some(value)
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.eat('[')?;
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.peek()? == ']' {
                self.take();
                return Some(Value::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.blank();
            match self.peek()? {
                ',' => {
                    self.take();
                }
                ']' => {}
                _ => return None,
            }
        }
    }

    /// A text without anything to compute in it.
    fn text(&mut self) -> Option<String> {
        let quote = self.take()?;
        let mut text = String::new();
        loop {
            match self.take()? {
                character if character == quote => return Some(text),
                '\\' => match self.take()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'u' => text.push(self.escaped()?),
                    '\n' => {}
                    other => text.push(other),
                },
                '\n' if quote != '`' => return None,
                '$' if quote == '`' && self.peek() == Some('{') => return None,
                other => text.push(other),
            }
        }
    }

    /// The character of `\u00e4` or `\u{e4}`.
    fn escaped(&mut self) -> Option<char> {
        let digits = if self.peek()? == '{' {
            let end = self.rest().find('}')?;
            let digits = self.rest().get(1..end)?.to_owned();
            self.position += end + 1;
            digits
        } else {
            let digits = self.rest().get(..4)?.to_owned();
            self.position += 4;
            digits
        };
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
    }

    /// Passes over an expression up to the comma or the bracket that ends its property.
    fn pass_over(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            self.blank();
            match self.peek()? {
                ',' | '}' if open == 0 => return Some(()),
                '"' | '\'' | '`' => {
                    let before = self.position;
                    if self.text().is_none() {
                        // A template with something to compute: its end is found by its brackets.
                        self.position = before;
                        self.template()?;
                    }
                }
                '(' | '[' | '{' => {
                    open += 1;
                    self.take();
                }
                ')' | ']' | '}' => {
                    open = open.checked_sub(1)?;
                    self.take();
                }
                _ => {
                    self.take();
                }
            }
        }
    }

    fn template(&mut self) -> Option<()> {
        if self.take()? != '`' {
            return None;
        }
        loop {
            match self.take()? {
                '`' => return Some(()),
                '\\' => {
                    self.take();
                }
                '$' if self.peek() == Some('{') => {
                    self.take();
                    self.braces()?;
                }
                _ => {}
            }
        }
    }

    /// Passes over what is computed in a template, up to its closing bracket.
    fn braces(&mut self) -> Option<()> {
        let mut open = 1_usize;
        while open > 0 {
            match self.peek()? {
                '{' => open += 1,
                '}' => open -= 1,
                '"' | '\'' => {
                    self.text()?;
                    continue;
                }
                // A template in a template is beyond what plain values need.
                '`' => return None,
                _ => {}
            }
            self.take();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Metadata {
        Metadata::read("dist/index.js", source)
    }

    #[test]
    fn plain_values_are_read_and_others_passed_over() {
        let metadata = read(
            "class P extends sdk_1.HayPlugin {\n  constructor() {\n    super({\n      // who\n      id: 'p', \"name\": \
             \"P \\u00e4\", version: require(\"./package.json\").version, /* list */ capabilities: [\"mcp\", `routes`,],\n      \
             config: { key: { type: 'string', default: `a${1 + { b: 2 }.b}` }, f(x) { return { y: x } } },\n      \
             description: cond ? 'a' : 'b',\n      author: 'A',\n    });\n  }\n}",
        );
        assert_eq!(metadata.text("id").unwrap().text, "p");
        assert_eq!(metadata.text("id").unwrap().at, "dist/index.js#id (line 5, column 11)");
        assert_eq!(metadata.text("name").unwrap().text, "P ä");
        assert!(metadata.text("version").is_none());
        assert!(metadata.text("description").is_none());
        assert_eq!(metadata.text("author").unwrap().text, "A");
        let capabilities: Vec<_> =
            metadata.texts("capabilities").unwrap().into_iter().map(|item| item.text).collect();
        assert_eq!(capabilities, ["mcp", "routes"]);
    }

    #[test]
    fn other_constructors_say_nothing() {
        for source in [
            "class P extends HayPlugin { constructor() { super(); } }",
            "class P extends HayPlugin {}",
            "class P extends HayPlugin { constructor() { super(metadata); } }",
            "class P extends HayPlugin { constructor() { super({ ...base, id",
            "class P extends HayPlugin { constructor() { super({ id: `${",
            "",
        ] {
            assert!(read(source).text("id").is_none(), "{source}");
        }
        let older = "var P = (function (_super) { function P() { return _super.call(this, { id: 'p' }) || this; } })(HayPlugin);";
        assert_eq!(read(older).text("id").unwrap().text, "p");
        let other = "class P extends HayPlugin { constructor() { super() } } class E extends X { constructor() { super({ id: 'e' }) } }";
        assert!(read(other).text("id").is_none());
        let spread = read("class P extends HayPlugin { constructor() { super({ ...base, id: 'p' }); } }");
        assert_eq!(spread.text("id").unwrap().text, "p");
    }
}
