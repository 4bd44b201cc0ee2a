//! Settings as the environment variables that a plugin's own processes find them in.

use hayloft_model::Secret;
use hayloft_model::config::{ConfigSchema, ConfigValues, Credentials};
use serde_json::Value;

/// The variables of all settings that are exported and have a value: what authenticates, else what the organization
/// saved, else what the host's environment gives, else the default. A text stands as it is, anything else as JSON.
pub(super) fn exported(
    schema: &ConfigSchema,
    values: &ConfigValues,
    credentials: Option<&Credentials>,
    environment: impl Fn(&str) -> Option<String>,
) -> Vec<(String, Secret<String>)> {
    let exported = schema.fields.iter().filter_map(|(name, field)| {
        let variable = field.exported_as.clone()?;
        let value = credentials
            .and_then(|credentials| credentials.values.get(name))
            .or_else(|| values.get(name))
            .cloned()
            .or_else(|| environment(field.env.as_deref()?).map(Value::String))
            .or_else(|| field.default.clone())?;
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((variable, Secret::new(text)))
    });
    exported.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_comes_from_the_nearest_place_that_has_one() {
        let schema: ConfigSchema = serde_json::from_value(json!({
            "token": { "type": "string", "exportedAs": "TOKEN", "default": "default" },
            "domain": { "type": "string", "exportedAs": "DOMAIN", "default": "default" },
            "region": { "type": "string", "exportedAs": "REGION", "env": "HOST_REGION", "default": "default" },
            "retries": { "type": "number", "exportedAs": "RETRIES", "default": 3 },
            "tags": { "type": "array", "exportedAs": "TAGS" },
            "unset": { "type": "string", "exportedAs": "UNSET" },
            "inside": { "type": "string" },
        }))
        .unwrap();
        let values = |value: Value| value.as_object().unwrap().clone().into_iter().collect::<ConfigValues>();
        let saved = values(
            json!({ "token": "saved", "domain": "saved", "tags": ["a", 1], "inside": "x", "unset": null }),
        );
        let credentials = Credentials {
            method_id: "jwt".into(),
            values: values(json!({ "token": "given", "apiKey": "given" })),
        };
        let environment = |name: &str| (name == "HOST_REGION").then(|| "host".to_owned());
        let got = exported(&schema, &saved, Some(&credentials), environment);
        let got: Vec<_> = got.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
        assert_eq!(
            got,
            [
                ("TOKEN", "given"),
                ("DOMAIN", "saved"),
                ("REGION", "host"),
                ("RETRIES", "3"),
                ("TAGS", r#"["a",1]"#)
            ]
        );
    }
}
