//! Looking into a document: values with their places, and the problem when one is not as wanted.

use hayloft_model::plugin::LimitName;
use hayloft_model::{Problem, Problems};
use serde_json::Value;

use super::{Document, Entry, Kind, Node};
use crate::words::{is_unprintable, listed, meant, quoted};

/// Longest text that any field may hold, in characters.
const LONGEST_TEXT: usize = 4096;

/// Keys that reach into the prototypes of JavaScript objects when somebody copies them carelessly.
const PROTOTYPE_KEYS: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// A value in a document, with its path.
#[derive(Clone, Debug)]
pub(crate) struct View<'d> {
    document: &'d Document,
    path: String,
    node: &'d Node,
}

impl<'d> View<'d> {
    pub(super) const fn new(document: &'d Document, path: String, node: &'d Node) -> Self {
        Self { document, path, node }
    }

    /// The place, as a problem names it.
    pub(crate) fn at(&self) -> String {
        self.document.place(&self.path, self.node.offset)
    }

    /// The value as plain JSON; of duplicate keys the first counts.
    pub(crate) fn value(&self) -> Value {
        plain(self.node)
    }

    /// The text, or a problem.
    pub(crate) fn text(&self, problems: &mut Problems) -> Option<&'d str> {
        let Kind::Plain(Value::String(text)) = &self.node.kind else {
            self.wrong_type("a string", problems);
            return None;
        };
        if text.chars().count() > LONGEST_TEXT {
            problems.push(Problem::error(self.at(), format!("is longer than {LONGEST_TEXT} characters")));
            return None;
        }
        Some(text)
    }

    /// A text that people will read: not empty, and nothing in it that is invisible or steers a terminal.
    pub(crate) fn label(&self, problems: &mut Problems) -> Option<String> {
        let text = self.text(problems)?;
        if text.trim().is_empty() {
            problems.push(Problem::error(self.at(), "is empty"));
            return None;
        }
        if text.chars().any(|character| is_unprintable(character) && !matches!(character, '\n' | '\t')) {
            problems.push(
                Problem::error(self.at(), format!("holds invisible characters: {}", quoted(text)))
                    .hint("write plain text, without control or direction characters"),
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// `true` or `false`, or a problem.
    pub(crate) fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let Kind::Plain(Value::Bool(value)) = &self.node.kind else {
            self.wrong_type("`true` or `false`", problems);
            return None;
        };
        Some(*value)
    }

    /// A whole number from 0 up, or a problem.
    pub(crate) fn count(&self, problems: &mut Problems) -> Option<u32> {
        let count = match &self.node.kind {
            Kind::Plain(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
            Kind::Array(_) | Kind::Object(_) => None,
        };
        if count.is_none() {
            self.wrong_type("a whole number from 0 up", problems);
        }
        count
    }

    /// Whether it is an array, where a value may be that or something else.
    pub(crate) const fn is_array(&self) -> bool {
        matches!(self.node.kind, Kind::Array(_))
    }

    /// Whether it is a text, where a value may be that or something else.
    pub(crate) const fn is_text(&self) -> bool {
        matches!(self.node.kind, Kind::Plain(Value::String(_)))
    }

    /// A limit as people write it: a number, or a text such as `"1GiB"` where it is a size. Or a problem.
    pub(crate) fn limit(&self, name: LimitName, problems: &mut Problems) -> Option<u64> {
        let value = match &self.node.kind {
            Kind::Plain(Value::Number(number)) => number.as_u64(),
            Kind::Plain(Value::String(text)) if name.is_size() => name.parse(text),
            Kind::Plain(_) | Kind::Array(_) | Kind::Object(_) => {
                self.wrong_type(name.expected(), problems);
                return None;
            }
        };
        if value.is_none() {
            problems.push(Problem::error(self.at(), format!("must be {}", name.expected())));
        }
        value
    }

    /// The items of an array, or a problem. More than `most` items are a problem too, and the rest is left out.
    pub(crate) fn items(&self, most: usize, problems: &mut Problems) -> Vec<Self> {
        let Kind::Array(items) = &self.node.kind else {
            self.wrong_type("an array", problems);
            return Vec::new();
        };
        if items.len() > most {
            problems.push(Problem::error(
                self.at(),
                format!("has {} items; at most {most} are taken", items.len()),
            ));
        }
        let view =
            |(index, node)| Self { document: self.document, path: format!("{}[{index}]", self.path), node };
        items.iter().take(most).enumerate().map(view).collect()
    }

    /// The object, or a problem.
    pub(crate) fn object(&self, problems: &mut Problems) -> Option<Object<'d>> {
        let Kind::Object(entries) = &self.node.kind else {
            self.wrong_type("an object", problems);
            return None;
        };
        Some(Object { view: self.clone(), entries })
    }

    fn wrong_type(&self, wanted: &str, problems: &mut Problems) {
        let given = match &self.node.kind {
            Kind::Plain(Value::Null) => "`null`",
            Kind::Plain(Value::Bool(_)) => "a boolean",
            Kind::Plain(Value::Number(_)) => "a number",
            Kind::Plain(_) => "a string",
            Kind::Array(_) => "an array",
            Kind::Object(_) => "an object",
        };
        problems.push(Problem::error(self.at(), format!("must be {wanted}, but {given} was given")));
    }
}

/// An object in a document.
#[derive(Clone, Debug)]
pub(crate) struct Object<'d> {
    view: View<'d>,
    entries: &'d [Entry],
}

impl<'d> Object<'d> {
    /// The place of the object itself.
    pub(crate) fn at(&self) -> String {
        self.view.at()
    }

    /// The place that a missing key would have.
    pub(crate) fn place_of(&self, key: &str) -> String {
        match self.get(key) {
            Some(view) => view.at(),
            None => self.view.document.place(&self.path_of(key), self.view.node.offset),
        }
    }

    /// The value of a key; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<View<'d>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.kind, Kind::Plain(Value::Null))).then(|| self.view_of(entry))
    }

    /// A text that may be absent.
    pub(crate) fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.get(key)?.text(problems).map(ToOwned::to_owned)
    }

    /// A text that people read and that may be absent.
    pub(crate) fn label(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.get(key)?.label(problems)
    }

    /// A value that must be there.
    pub(crate) fn required(&self, key: &str, problems: &mut Problems) -> Option<View<'d>> {
        let view = self.get(key);
        if view.is_none() {
            problems.push(Problem::error(self.place_of(key), "is missing"));
        }
        view
    }

    /// `true` or `false`; absent is `None`.
    pub(crate) fn boolean(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.get(key)?.boolean(problems)
    }

    /// The items of an array; absent is empty.
    pub(crate) fn items(&self, key: &str, most: usize, problems: &mut Problems) -> Vec<View<'d>> {
        self.get(key).map_or_else(Vec::new, |view| view.items(most, problems))
    }

    /// All texts of an array; absent is empty.
    pub(crate) fn texts(&self, key: &str, most: usize, problems: &mut Problems) -> Vec<String> {
        let items = self.items(key, most, problems);
        items.iter().filter_map(|item| item.text(problems).map(ToOwned::to_owned)).collect()
    }

    /// Keys with their values, for objects whose keys the author chooses. Names of prototypes are refused.
    pub(crate) fn fields(&self, problems: &mut Problems) -> Vec<(&'d str, View<'d>)> {
        self.check_ambiguous(problems);
        let mut fields: Vec<(&str, View<'_>)> = Vec::new();
        for entry in self.entries {
            if PROTOTYPE_KEYS.contains(&entry.key.as_str()) {
                self.refuse_prototype_key(entry, problems);
            } else if !fields.iter().any(|(key, _)| *key == entry.key) {
                fields.push((&entry.key, self.view_of(entry)));
            }
        }
        fields
    }

    /// Warns of keys that nothing reads, and refuses duplicate and prototype keys.
    pub(crate) fn check_keys(&self, known: &[&str], problems: &mut Problems) {
        self.check_keys_but(&[], known, problems);
    }

    /// The same for an object of which some keys were dealt with already.
    pub(crate) fn check_keys_but(&self, told: &[&str], known: &[&str], problems: &mut Problems) {
        self.check_ambiguous(problems);
        self.check_prototype(problems);
        for entry in self.entries.iter().filter(|entry| !told.contains(&entry.key.as_str())) {
            if entry.key != "__proto__" && !known.contains(&entry.key.as_str()) {
                let at = self.key_place(entry);
                let message = format!("nothing reads the key {}", quoted(&entry.key));
                let hint = match meant(&entry.key, known.iter().copied()) {
                    Some(word) => format!("did you mean {}?", quoted(word)),
                    None => format!("the keys here are {}", listed(known.iter().copied())),
                };
                problems.push(Problem::warning(at, message).hint(hint));
            }
        }
    }

    /// Refuses keys that stand in the object more than once.
    pub(crate) fn check_ambiguous(&self, problems: &mut Problems) {
        for (index, entry) in self.entries.iter().enumerate() {
            if self.entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                problems.push(
                    Problem::error(
                        self.key_place(entry),
                        format!("the key {} stands here twice", quoted(&entry.key)),
                    )
                    .hint("keep one of them: readers disagree on which one counts"),
                );
            }
        }
    }

    /// Refuses `__proto__`, for objects of which only some keys are ours.
    pub(crate) fn check_prototype(&self, problems: &mut Problems) {
        for entry in self.entries.iter().filter(|entry| entry.key == "__proto__") {
            self.refuse_prototype_key(entry, problems);
        }
    }

    /// The keys in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&'d str, String)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.key_place(entry)))
    }

    fn refuse_prototype_key(&self, entry: &Entry, problems: &mut Problems) {
        problems.push(
            Problem::error(self.key_place(entry), format!("the key {} is not allowed", quoted(&entry.key)))
                .hint("remove it: in JavaScript it reaches into the prototype of every object"),
        );
    }

    fn key_place(&self, entry: &Entry) -> String {
        self.view.document.place(&self.path_of(&entry.key), entry.key_offset)
    }

    fn view_of(&self, entry: &'d Entry) -> View<'d> {
        View { document: self.view.document, path: self.path_of(&entry.key), node: &entry.value }
    }

    fn path_of(&self, key: &str) -> String {
        let plain = !key.is_empty()
            && key.len() <= 128
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'));
        match (plain, self.view.path.as_str()) {
            (true, "") => key.to_owned(),
            (true, path) => format!("{path}.{key}"),
            (false, path) => format!("{path}[{}]", quoted(key).replace('`', "\"")),
        }
    }
}

fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Plain(value) => value.clone(),
        Kind::Array(items) => items.iter().map(plain).collect(),
        Kind::Object(entries) => {
            // The first of duplicate keys wins, as everywhere in this module.
            let mut object = serde_json::Map::new();
            for entry in entries {
                if !object.contains_key(&entry.key) {
                    object.insert(entry.key.clone(), plain(&entry.value));
                }
            }
            Value::Object(object)
        }
    }
}
