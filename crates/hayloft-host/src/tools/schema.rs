//! The check of a call's arguments against the tool's own JSON Schema, before anything is started for it.

use std::sync::OnceLock;

use hayloft_model::{Problem, Problems};
use jsonschema::{PatternOptions, Validator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A tool's input schema, compiled when the first call needs it.
pub(crate) struct ArgumentCheck {
    schema: Option<Box<RawValue>>,
    compiled: OnceLock<Option<Validator>>,
}

impl ArgumentCheck {
    pub(crate) fn new(schema: Option<&RawValue>) -> Self {
        Self { schema: schema.map(ToOwned::to_owned), compiled: OnceLock::new() }
    }

    /// Everything that is wrong with the arguments, each with the path into them.
    pub(crate) fn check(&self, arguments: Option<&RawValue>) -> Problems {
        let Some(validator) = self.compiled.get_or_init(|| self.compile()) else { return Problems::new() };
        let arguments = match arguments.map(|raw| serde_json::from_str::<Value>(raw.get())) {
            None => Value::Object(Map::new()),
            Some(Ok(arguments)) => arguments,
            Some(Err(error)) => return Problem::error("arguments", error.to_string()).into(),
        };
        validator
            .iter_errors(&arguments)
            .map(|error| Problem::error(place(&error.instance_path().to_string()), error.to_string()))
            .collect()
    }

    /// A schema that does not compile is the server's affair: it gets the call and judges for itself. Patterns run
    /// on the linear-time engine, since a plugin wrote them.
    fn compile(&self) -> Option<Validator> {
        let schema: Value = serde_json::from_str(self.schema.as_ref()?.get()).ok()?;
        match jsonschema::options().with_pattern_options(PatternOptions::regex()).build(&schema) {
            Ok(validator) => Some(validator),
            Err(error) => {
                tracing::warn!(%error, "a tool's input schema cannot be used; its calls are not checked");
                None
            }
        }
    }
}

/// `/lines/0/price` as `arguments.lines.0.price`.
fn place(pointer: &str) -> String {
    format!("arguments{}", pointer.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: &Value, arguments: Option<&Value>) -> Vec<String> {
        let raw = |value: &Value| serde_json::value::to_raw_value(value).unwrap();
        let check = ArgumentCheck::new(Some(&raw(schema)));
        check
            .check(arguments.map(raw).as_deref())
            .iter()
            .map(|problem| format!("{}: {}", problem.at, problem.message))
            .collect()
    }

    #[test]
    fn every_problem_has_its_place() {
        let schema = json!({
            "type": "object",
            "required": ["id"],
            "additionalProperties": false,
            "properties": { "id": { "type": "string" }, "lines": { "items": { "properties": { "n": { "minimum": 1 } } } } },
        });
        assert_eq!(problems(&schema, Some(&json!({ "id": "a", "lines": [{ "n": 1 }] }))), [] as [&str; 0]);
        assert_eq!(problems(&schema, None), ["arguments: \"id\" is a required property"]);
        assert_eq!(
            problems(&schema, Some(&json!({ "id": 1, "lines": [{ "n": 1 }, { "n": 0 }], "x": 1 }))),
            [
                "arguments.id: 1 is not of type \"string\"",
                "arguments.lines.1.n: 0 is less than the minimum of 1",
                "arguments: Additional properties are not allowed ('x' was unexpected)",
            ]
        );
    }

    #[test]
    fn an_unusable_schema_checks_nothing() {
        for schema in
            [json!({ "type": "nonsense" }), json!(3), json!({ "$ref": "https://elsewhere.example/schema" })]
        {
            assert_eq!(problems(&schema, Some(&json!({ "a": 1 }))), [] as [&str; 0], "{schema}");
        }
    }

    #[test]
    fn an_exploding_pattern_stays_linear() {
        let schema = json!({ "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } } });
        let evil = json!({ "a": format!("{}!", "a".repeat(50_000)) });
        assert_eq!(problems(&schema, Some(&evil)).len(), 1);
    }
}
