//! An object as the list of its members: each name read, each value raw.
//!
//! This is how a member is taken out of, or changed in, an object that otherwise passes untouched.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::value::RawValue;

use super::{Text, write};

/// The members in the order in which they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The members of an object, or nothing when the value is not an object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The value of a member; the first, should it stand twice.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// How often a member stands in the object.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(key, _)| key == name).count()
    }

    /// Removes a member wherever it stands and gives its first value.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let value = self.get(name);
        self.0.retain(|(key, _)| key != name);
        value
    }

    /// Whether no member is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON with one more member at its end, whose value is JSON.
    pub(crate) fn to_json_with(&self, name: &str, json: &str) -> String {
        let mut out = self.to_json(None).into_bytes();
        out.pop();
        if !self.is_empty() {
            out.push(b',');
        }
        write::string(&mut out, name);
        out.push(b':');
        out.extend_from_slice(json.as_bytes());
        out.push(b'}');
        write::into_text(out)
    }

    /// The object as JSON, with `name` replaced by the given JSON text where `change` says so.
    pub(crate) fn to_json(&self, change: Option<(&str, &str)>) -> String {
        let length: usize = self.0.iter().map(|(key, value)| key.len() + value.get().len() + 4).sum();
        let mut out = Vec::with_capacity(length + 2);
        out.push(b'{');
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write::string(&mut out, key);
            out.push(b':');
            let value = match change {
                Some((name, json)) if name == key => json,
                _ => value.get(),
            };
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
        write::into_text(out)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
