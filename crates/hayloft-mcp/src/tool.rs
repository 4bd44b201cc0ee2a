//! The definition of a tool, raw as its server wrote it, and the few members of it that anybody reads.

use bytes::Bytes;
use hayloft_model::Problem;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::{self, write};

/// One element of a server's `tools` array.
#[derive(Clone, Debug)]
pub struct ToolDefinition {
    name: String,
    raw: Box<RawValue>,
}

/// The members of a definition that a host has an opinion on, still raw.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToolFields<'a> {
    /// A name for people.
    pub title: Option<&'a RawValue>,
    /// What the tool does, for the model.
    pub description: Option<&'a RawValue>,
    /// The JSON Schema of the arguments.
    pub input_schema: Option<&'a RawValue>,
    /// The JSON Schema of structured results.
    pub output_schema: Option<&'a RawValue>,
    /// Hints such as `readOnlyHint`, which nobody vouches for.
    pub annotations: Option<&'a RawValue>,
    /// Metadata.
    pub meta: Option<&'a RawValue>,
}

impl ToolDefinition {
    /// Takes a definition as a server wrote it.
    ///
    /// # Errors
    /// A problem when it is not an object with one `name`, a string that is not empty. `at` is relative to the
    /// definition.
    pub fn parse(raw: Box<RawValue>) -> Result<Self, Problem> {
        let name = {
            let Some(fields) = Fields::of(&raw) else {
                return Err(
                    Problem::error("", "is not an object").hint("list tools as objects with a `name`")
                );
            };
            if fields.count("name") > 1 {
                return Err(Problem::error("name", "stands twice"));
            }
            fields.get("name").and_then(|name| serde_json::from_str::<String>(name.get()).ok())
        };
        match name {
            Some(name) if !name.is_empty() => Ok(Self { name, raw }),
            _ => Err(Problem::error("name", "is not a string, or empty")),
        }
    }

    /// The name on the server, by which it is called there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The definition exactly as the server wrote it.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// The members that a host reads.
    #[must_use]
    pub fn fields(&self) -> ToolFields<'_> {
        let Some(fields) = Fields::of(&self.raw) else {
            return ToolFields::default();
        };
        ToolFields {
            title: fields.get("title"),
            description: fields.get("description"),
            input_schema: fields.get("inputSchema"),
            output_schema: fields.get("outputSchema"),
            annotations: fields.get("annotations"),
            meta: fields.get("_meta"),
        }
    }

    /// The definition under another name. Every other member stays as it is, byte for byte, in its place.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Box<RawValue> {
        let mut json = Vec::new();
        write::string(&mut json, name);
        let name = write::into_text(json);
        match Fields::of(&self.raw) {
            Some(fields) => write::into_raw(fields.to_json(Some(("name", &name)))),
            None => self.raw.clone(),
        }
    }
}

/// The JSON array of definitions, as [`crate::ToolPage`] wants it: made once, sent as often as clients ask.
#[must_use]
pub fn tools_array<'a>(definitions: impl IntoIterator<Item = &'a RawValue>) -> Bytes {
    joined(definitions).into()
}

/// The same as a value, to be remembered.
#[must_use]
pub fn tools_list<'a>(definitions: impl IntoIterator<Item = &'a RawValue>) -> Box<RawValue> {
    write::into_raw(write::into_text(joined(definitions)))
}

fn joined<'a>(definitions: impl IntoIterator<Item = &'a RawValue>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, definition) in definitions.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(definition.get().as_bytes());
    }
    out.push(b']');
    out
}

/// Whether a result says that the tool failed (`isError`), which is the plugin's own "no" and not a broken plugin.
#[must_use]
pub fn is_error_result(result: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Members {
        #[serde(default, rename = "isError")]
        is_error: bool,
    }
    // Hardly any result has the member, and results can be large.
    memmem::find(result.get().as_bytes(), b"\"isError\"").is_some()
        && message::object(result).is_ok_and(|members: Members| members.is_error)
}

/// A result with one more member in its `_meta`, in place of one of the same name. Every other member stays as it is, byte
/// for byte. What is no object stays whole.
#[must_use]
pub fn with_meta(result: &RawValue, name: &str, json: &str) -> Box<RawValue> {
    let Some(mut fields) = Fields::of(result) else { return result.to_owned() };
    let given = fields.take("_meta");
    let mut meta = given.and_then(Fields::of).unwrap_or_default();
    meta.take(name);
    write::into_raw(fields.to_json_with("_meta", &meta.to_json_with(name, json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_definition_needs_one_name() {
        for json in ["[]", "1", "{}", r#"{"name":1}"#, r#"{"name":""}"#, r#"{"name":"a","name":"b"}"#] {
            assert!(ToolDefinition::parse(raw(json)).is_err(), "{json}");
        }
        assert_eq!(ToolDefinition::parse(raw(r#"{"n\u0061me":"\u0061"}"#)).unwrap().name(), "a");
    }

    #[test]
    fn renaming_changes_only_the_name() {
        let json =
            r#"{"x-vendor": {"deep" :[1.0,1e5]}, "name":"a","inputSchema":{"type":"object"},"icons":[]}"#;
        let tool = ToolDefinition::parse(raw(json)).unwrap();
        assert_eq!(
            tool.renamed("p__\"a").get(),
            r#"{"x-vendor":{"deep" :[1.0,1e5]},"name":"p__\"a","inputSchema":{"type":"object"},"icons":[]}"#
        );
        assert_eq!(tool.raw().get(), json);
        assert_eq!(tool.fields().input_schema.map(RawValue::get), Some(r#"{"type":"object"}"#));
    }

    #[test]
    fn arrays_are_joined() {
        assert_eq!(tools_array([]), "[]");
        let (a, b) = (raw(r#"{"name":"a"}"#), raw(r#"{"name":"b"}"#));
        assert_eq!(tools_array([&*a, &*b]), r#"[{"name":"a"},{"name":"b"}]"#);
        assert_eq!(tools_list([&*a, &*b]).get(), r#"[{"name":"a"},{"name":"b"}]"#);
    }

    #[test]
    fn a_member_of_meta_is_added_and_the_rest_passes_raw() {
        let cases = [
            ("{}", r#"{"_meta":{"n":1}}"#),
            (r#"{"content":[ 1e2 ]}"#, r#"{"content":[ 1e2 ],"_meta":{"n":1}}"#),
            (r#"{"_meta":{"a":[ ],"n":0},"x":1}"#, r#"{"x":1,"_meta":{"a":[ ],"n":1}}"#),
            (r#"{"_meta":3}"#, r#"{"_meta":{"n":1}}"#),
            ("[ ]", "[ ]"),
        ];
        for (result, expected) in cases {
            assert_eq!(with_meta(&raw(result), "n", "1").get(), expected);
        }
    }

    #[test]
    fn a_tool_that_says_no_is_told_from_text_about_it() {
        let cases = [
            (r#"{"content":[]}"#, false),
            (r#"{"content":[],"isError":false}"#, false),
            (r#"{"isError" : true,"content":[{"text":"x"}]}"#, true),
            (r#"{"content":[{"isError":true}]}"#, false),
            (r#"{"content":[{"text":"\"isError\":true"}]}"#, false),
            (r#"{"isError":"yes"}"#, false),
        ];
        for (json, expected) in cases {
            assert_eq!(is_error_result(&raw(json)), expected, "{json}");
        }
    }
}
