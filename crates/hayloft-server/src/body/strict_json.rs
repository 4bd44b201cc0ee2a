//! JSON with one meaning: a key that stands twice in one object, nesting that is too deep and numbers that do not fit
//! are refused, since readers differ in what they make of them.

use std::cell::RefCell;
use std::fmt;

use hayloft_model::{Problem, Problems};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not JSON with one meaning.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Not JSON.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the start of an empty text.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// Keys that stand twice, each with its place.
    Duplicates(Problems),
}

/// Reads a whole text. Nesting deeper than 128 levels is a syntax fault.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Fault> {
    let notes = Notes::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Seed(&notes)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            Fault::Syntax { line: error.line(), column: error.column(), message }
        })?;
    let duplicates = notes.duplicates.into_inner();
    if duplicates.is_empty() { Ok(value) } else { Err(Fault::Duplicates(duplicates)) }
}

/// What is noticed on the way through a text.
#[derive(Default)]
struct Notes {
    path: RefCell<Vec<String>>,
    duplicates: RefCell<Problems>,
}

impl Notes {
    fn within<T>(&self, step: String, read: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(step);
        let read = read();
        self.path.borrow_mut().pop();
        read
    }

    fn duplicate(&self, key: &str) {
        let at = self.path.borrow().iter().map(String::as_str).chain([key]).collect::<Vec<_>>().join(".");
        self.duplicates.borrow_mut().push(Problem::error(at, "stands twice").hint("say each thing once"));
    }
}

struct Seed<'a>(&'a Notes);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let index = items.len().to_string();
            match self.0.within(index, || sequence.next_element_seed(Seed(self.0)))? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                self.0.duplicate(&key);
            }
            let value = self.0.within(key.clone(), || map.next_value_seed(Seed(self.0)))?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_json_is_what_serde_makes_of_it() {
        for text in [r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":{}}}"#, "[]", "null", "18446744073709551615"] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        }
        assert_eq!(parse(br#"{"__proto__":1}"#).unwrap(), json!({ "__proto__": 1 }));
    }

    #[test]
    fn a_syntax_fault_has_its_place() {
        let Err(Fault::Syntax { line, column, message }) = parse(b"{\n  \"a\": 1,,\n}") else {
            panic!("it is no JSON");
        };
        assert_eq!((line, column, message.as_str()), (2, 10, "key must be a string"));
    }

    #[test]
    fn every_key_that_stands_twice_is_named() {
        let Err(Fault::Duplicates(problems)) = parse(br#"{"a":1,"a":2,"b":[{"c":1,"\u0063":2}]}"#) else {
            panic!("two keys stand twice");
        };
        let places: Vec<_> = problems.iter().map(|problem| problem.at.as_str()).collect();
        assert_eq!(places, ["a", "b.0.c"]);
    }
}
