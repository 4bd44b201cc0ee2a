//! The settings that a plugin asks for.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields by name, in the order in which the plugin declared them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ConfigSchema {
    /// The fields.
    pub fields: IndexMap<String, ConfigField>,
}

impl ConfigSchema {
    /// A field by name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&ConfigField> {
        self.fields.get(name)
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigField {
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// What a person reads beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A sentence about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An example shown while it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Whether the plugin cannot start without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// A host environment variable that stands in while the organization gave no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The environment variable under which the value reaches the plugin's own processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_as: Option<String>,
    /// Whether the value is a secret. Plugins also write `encrypted` for the same thing.
    #[serde(default, alias = "encrypted", skip_serializing_if = "is_false")]
    pub sensitive: bool,
    /// What holds when neither the organization nor the environment gives a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values allowed, if given: plain values, or objects with `value` and `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<Value>>,
    /// A regular expression that a text must match, in linear-time syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What an array or an object holds.
    #[serde(flatten)]
    pub inside: super::Inside,
}

impl ConfigField {
    /// The values that `options` allows, without their labels.
    pub fn allowed_values(&self) -> Option<impl Iterator<Item = &Value>> {
        self.options.as_ref().map(|options| {
            options.iter().map(|option| match option {
                Value::Object(labelled) => labelled.get("value").unwrap_or(option),
                plain => plain,
            })
        })
    }
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text.
    String,
    /// A finite number.
    Number,
    /// Yes or no.
    Boolean,
    /// Any JSON.
    Json,
    /// A JSON array.
    Array,
    /// A JSON object.
    Object,
}

impl FieldType {
    /// What a value of this kind is called in a message, with its article.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
            Self::Json => "JSON",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }

    /// Whether a value is of this kind.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Json => true,
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}
