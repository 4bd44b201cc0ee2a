//! Refuses an object that says one thing twice.
//!
//! Parsers differ in which of two equal keys they believe. What a policy or a schema check has seen must be what the
//! receiver sees, so such arguments are refused before anybody looks at them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed};
use serde_json::value::RawValue;

use super::Text;

/// Why raw JSON is not safe to hand on: a key stands twice in one object, or it nests deeper than parsers follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DuplicateKey(String);

/// Reads the whole value and refuses a key that stands twice in the same object, at any depth.
///
/// # Errors
/// Names the key. Nesting over 128 levels, which the readers behind this would refuse, is an error too.
pub fn refuse_duplicate_keys(raw: &RawValue) -> Result<(), DuplicateKey> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer.deserialize_any(UniqueKeys).map_err(|error| {
        let text = error.to_string();
        DuplicateKey(text.split(" at line ").next().unwrap_or(&text).to_owned())
    })
}

#[derive(Clone, Copy)]
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = ();
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            if let Err(key) = seen.add(key) {
                return Err(de::Error::custom(format_args!("key `{key}` stands twice in one object")));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Most objects have a handful of keys, for which a list beats a set.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    const FEW: usize = 16;

    fn add(&mut self, key: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Err(key);
        }
        if self.few.len() < Self::FEW {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), String> {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        refuse_duplicate_keys(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_may_stand_once_per_object() {
        let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        let many_twice = format!("{{{},\"k57\":0}}", many.join(","));
        let cases = [
            (r#"{"a":1,"b":{"a":1},"c":[{"a":null},{"a":true}]}"#.to_owned(), Ok(())),
            (format!("{{{}}}", many.join(",")), Ok(())),
            (many_twice, Err("key `k57` stands twice in one object")),
            (r#"{"a":1,"b":2,"a":3}"#.to_owned(), Err("key `a` stands twice in one object")),
            (r#"{"x":[{"y":{"a":1,"\u0061":2}}]}"#.to_owned(), Err("key `a` stands twice in one object")),
            (r#"{"n":[1,-1,1.5,1e400]}"#.to_owned(), Err("number out of range")),
            (format!("{}{}", "[".repeat(200), "]".repeat(200)), Err("recursion limit exceeded")),
        ];
        for (json, expected) in cases {
            assert_eq!(check(&json), expected.map_err(str::to_owned), "{json}");
        }
    }
}
