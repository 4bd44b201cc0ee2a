//! What a setting's value looks like inside: the items of an array, the properties of an object. It must not know
//! where a shape was written.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FieldType;
use crate::{Problem, Problems};

/// The shape of a value within a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueShape {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether an object must have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it holds in turn.
    #[serde(flatten)]
    pub inside: Inside,
}

/// What an array or an object holds. Nothing said allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inside {
    /// The shape of each item, for an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<ValueShape>>,
    /// The shapes of properties, for an object. Others are allowed.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub properties: IndexMap<String, ValueShape>,
}

impl Inside {
    /// Tells everything in a value of the right kind that is not as the shape says.
    pub fn check(&self, value: &Value, at: &str, problems: &mut Problems) {
        match value {
            Value::Array(items) => {
                let Some(shape) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    shape.check(item, &format!("{at}[{index}]"), problems);
                }
            }
            Value::Object(object) => {
                for (name, shape) in &self.properties {
                    let at = format!("{at}.{name}");
                    match object.get(name) {
                        Some(value) => shape.check(value, &at, problems),
                        None if shape.required => problems.push(Problem::error(at, "is missing")),
                        None => {}
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl ValueShape {
    fn check(&self, value: &Value, at: &str, problems: &mut Problems) {
        if self.field_type.accepts(value) {
            return self.inside.check(value, at, problems);
        }
        let given = super::check::described(value);
        let message = format!("must be {}, but {given} was given", self.field_type.described());
        problems.push(Problem::error(at, message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_inside_that_is_wrong_is_told_with_its_place() {
        let shape: Inside = serde_json::from_value(json!({
            "items": { "type": "object", "properties": {
                "name": { "type": "string", "required": true },
                "tags": { "type": "array", "items": { "type": "string" } },
            } },
        }))
        .unwrap();
        let told = |value: Value| {
            let mut problems = Problems::new();
            shape.check(&value, "shops", &mut problems);
            problems.to_string()
        };
        assert_eq!(told(json!([])), "");
        assert_eq!(told(json!([{ "name": "a", "tags": ["x"], "more": 1 }])), "");
        let wrong = told(json!(["a", { "tags": ["x", 1] }, { "name": null, "tags": {} }]));
        for expected in [
            "shops[0]: must be an object, but a string was given",
            "shops[1].name: is missing",
            "shops[1].tags[1]: must be a string, but a number was given",
            "shops[2].name: must be a string, but `null` was given",
            "shops[2].tags: must be an array, but an object was given",
        ] {
            assert!(wrong.contains(expected), "{wrong}");
        }
        assert_eq!(wrong.lines().count(), 5, "{wrong}");
    }
}
