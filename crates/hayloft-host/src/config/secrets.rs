//! The texts that a worker's logs must never show: what the plugin declared to be secret, and what nobody declared.

use hayloft_model::Secret;
use hayloft_model::config::{ConfigSchema, ConfigValues, Credentials};
use serde_json::Value;

/// Every text among the secret values: of sensitive fields and of fields that the schema does not know, of the
/// credentials, and of environment variables but for those that stand in for an open field.
pub(crate) fn secrets(
    schema: &ConfigSchema,
    values: &ConfigValues,
    credentials: Option<&Credentials>,
    environment: &[(String, Secret<String>)],
) -> Vec<Secret<String>> {
    let mut secrets = Vec::new();
    let is_open = |name: &str| schema.field(name).is_some_and(|field| !field.sensitive);
    values.iter().filter(|(name, _)| !is_open(name)).for_each(|(_, value)| collect(value, &mut secrets));
    if let Some(credentials) = credentials {
        credentials.values.iter().for_each(|(_, value)| collect(value, &mut secrets));
    }
    let stands_in = |variable: &str| {
        schema.fields.values().any(|field| !field.sensitive && field.env.as_deref() == Some(variable))
    };
    let secret_variables = environment.iter().filter(|(name, _)| !stands_in(name));
    secrets.extend(secret_variables.map(|(_, value)| value.clone()));
    secrets
}

fn collect(value: &Value, into: &mut Vec<Secret<String>>) {
    match value {
        Value::String(text) => into.push(Secret::new(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, into)),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_declared_open_is_shown_and_nothing_else() {
        let schema: ConfigSchema = serde_json::from_value(json!({
            "url": { "type": "string", "env": "URL" },
            "key": { "type": "string", "env": "KEY", "sensitive": true },
            "nested": { "type": "json", "encrypted": true },
        }))
        .unwrap();
        let values: ConfigValues =
            json!({ "url": "open", "key": "k", "nested": { "a": ["n", 1] }, "old": "o" })
                .as_object()
                .unwrap()
                .clone()
                .into_iter()
                .collect();
        let credentials = Credentials {
            method_id: "m".into(),
            values: [("apiKey".to_owned(), json!("c"))].into_iter().collect(),
        };
        let environment =
            ["URL", "KEY", "OTHER"].map(|name| (name.to_owned(), Secret::new(name.to_lowercase())));
        let got = secrets(&schema, &values, Some(&credentials), &environment);
        let got: Vec<_> = got.iter().map(|secret| secret.expose().as_str()).collect();
        assert_eq!(got, ["k", "n", "o", "c", "key", "other"]);
    }
}
