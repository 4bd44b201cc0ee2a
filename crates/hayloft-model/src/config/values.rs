//! An organization's values and credentials in memory. Any of them may be a secret.

use indexmap::IndexMap;
use serde_json::Value;
use zeroize::Zeroize;

use super::ConfigSchema;
use crate::Secret;
use crate::secret::MASK;

/// JSON whose memory is wiped as far as the parser's own types allow: its texts.
#[derive(Clone, PartialEq)]
pub struct WipedJson(pub Value);

impl Zeroize for WipedJson {
    fn zeroize(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Number(_) | Value::Bool(_) | Value::Null => *value = Value::Null,
    }
}

/// Values by field. `Debug` shows the names only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigValues {
    fields: IndexMap<String, Secret<WipedJson>>,
}

impl ConfigValues {
    /// No value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).map(|value| &value.expose().0)
    }

    /// Gives a field a value.
    pub fn insert(&mut self, field: impl Into<String>, value: Value) {
        self.fields.insert(field.into(), Secret::new(WipedJson(value)));
    }

    /// Takes a field's value away.
    pub fn remove(&mut self, field: &str) {
        self.fields.shift_remove(field);
    }

    /// All values by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), &value.expose().0))
    }

    /// How many fields have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether no field has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// These values after a person's change: an absent field keeps, `null` clears, the mask keeps.
    #[must_use]
    pub fn merged(&self, change: &Self) -> Self {
        let mut merged = self.clone();
        for (field, value) in change.iter() {
            match value {
                Value::Null => merged.remove(field),
                Value::String(text) if text == MASK => {}
                value => merged.insert(field, value.clone()),
            }
        }
        merged
    }
}

impl FromIterator<(String, Value)> for ConfigValues {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(iter: T) -> Self {
        let mut values = Self::new();
        for (field, value) in iter {
            values.insert(field, value);
        }
        values
    }
}

/// The method that an organization chose and what it gave for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// The id of one of the plugin's methods.
    pub method_id: String,
    /// What the method needs, by name. All of it is secret.
    pub values: ConfigValues,
}

/// The values as a person may see them: secrets masked, fields that the schema does not know masked too, since
/// nobody can say that they are none.
#[must_use]
pub fn masked(values: &ConfigValues, schema: &ConfigSchema) -> IndexMap<String, Value> {
    values
        .iter()
        .map(|(name, value)| {
            let open = schema.field(name).is_some_and(|field| !field.sensitive);
            (name.to_owned(), if open { value.clone() } else { Value::from(MASK) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(value: Value) -> ConfigValues {
        match value {
            Value::Object(fields) => fields.into_iter().collect(),
            _ => ConfigValues::new(),
        }
    }

    #[test]
    fn a_change_merges() {
        let stored = values(json!({ "key": "sk_1", "region": "eu", "retries": 3 }));
        let change = values(json!({ "key": MASK, "region": null, "debug": true }));
        assert_eq!(stored.merged(&change), values(json!({ "key": "sk_1", "retries": 3, "debug": true })));
    }

    #[test]
    fn secrets_and_strangers_are_masked() {
        let schema: ConfigSchema = serde_json::from_value(json!({
            "key": { "type": "string", "encrypted": true },
            "region": { "type": "string" },
        }))
        .unwrap();
        let shown = masked(&values(json!({ "key": "sk_1", "region": "eu", "old": "sk_0" })), &schema);
        assert_eq!(serde_json::to_value(shown).unwrap(), json!({ "key": MASK, "region": "eu", "old": MASK }));
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", values(json!({ "key": "canary" }))).contains("canary"));
    }
}
