//! The check of an organization's values against a plugin's schema. It finds every problem in one go.

use serde_json::Value;

use super::{ConfigField, ConfigSchema, ConfigValues};
use crate::{Problem, Problems};

/// A value that a plugin cannot start without and that nothing gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The field.
    pub field: String,
    /// What a person reads beside it.
    pub label: Option<String>,
    /// The environment variable that would give the value, or that the plugin would find it under.
    pub variable: Option<String>,
}

impl Requirement {
    /// What is missing, for a person: `` `accessToken` (`WHATSAPP_ACCESS_TOKEN`) ``.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.variable {
            Some(variable) if *variable != self.field => format!("`{}` (`{variable}`)", self.field),
            _ => format!("`{}`", self.field),
        }
    }
}

/// All problems of the given values. A required field without a value is none: it makes the instance
/// unconfigured, not the save invalid. `at_prefix` is put before each field's name.
#[must_use]
pub fn check(values: &ConfigValues, schema: &ConfigSchema, at_prefix: &str) -> Problems {
    let mut problems = Problems::new();
    for (name, value) in values.iter() {
        let at = format!("{at_prefix}{name}");
        match schema.field(name) {
            Some(field) => check_value(value, field, at, &mut problems),
            None => problems.push(unknown_field(name, schema, at)),
        }
    }
    problems
}

/// The required fields that neither the values, nor the environment, nor a default fills.
pub fn missing<'a>(
    values: &'a ConfigValues,
    schema: &'a ConfigSchema,
    has_environment: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = Requirement> + 'a {
    schema
        .fields
        .iter()
        .filter(move |(name, field)| {
            field.required
                && field.default.is_none()
                && values.get(name).is_none()
                && !field.env.as_deref().is_some_and(&has_environment)
        })
        .map(|(name, field)| Requirement {
            field: name.clone(),
            label: field.label.clone(),
            variable: field.env.clone().or_else(|| field.exported_as.clone()),
        })
}

/// The variables that must have a value and have none: neither the environment has it, nor a setting that is exported
/// under the name. A required setting is missing under its own name already and is not told twice.
pub fn missing_variables<'a>(
    names: &'a [String],
    values: &'a ConfigValues,
    schema: &'a ConfigSchema,
    has_environment: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = Requirement> + 'a {
    let is_exported = |name: &String| {
        let mut fields =
            schema.fields.iter().filter(move |(_, field)| field.exported_as.as_ref() == Some(name));
        fields.any(|(field_name, field)| {
            field.required || field.default.is_some() || values.get(field_name).is_some()
        })
    };
    names.iter().filter(move |name| !has_environment(name) && !is_exported(name)).map(|name| Requirement {
        field: name.clone(),
        label: None,
        variable: Some(name.clone()),
    })
}

fn check_value(value: &Value, field: &ConfigField, at: String, problems: &mut Problems) {
    if !field.field_type.accepts(value) {
        let message = format!("must be {}, but {} was given", field.field_type.described(), described(value));
        problems.push(Problem::error(at, message));
        return;
    }
    field.inside.check(value, &at, problems);
    if let Some(mut allowed) = field.allowed_values()
        && !allowed.any(|option| option == value)
    {
        let options: Vec<_> =
            field.allowed_values().into_iter().flatten().map(|option| format!("`{option}`")).collect();
        problems.push(
            Problem::error(at.clone(), "is not one of the allowed values")
                .hint(format!("choose one of {}", options.join(", "))),
        );
    }
    if let (Some(pattern), Value::String(text)) = (&field.regex, value) {
        // The linear-time engine with a size limit, since the pattern is a plugin author's.
        match regex::Regex::new(pattern) {
            Ok(regex) if !regex.is_match(text) => {
                problems.push(Problem::error(at, format!("does not match the pattern `{pattern}`")).hint(
                    field.placeholder.as_ref().map_or_else(
                        || String::from("see the field's description for what the plugin expects"),
                        |example| format!("write it like `{example}`"),
                    ),
                ))
            }
            // A pattern that does not compile is the plugin's fault and is reported where it registers.
            Ok(_) | Err(_) => {}
        }
    }
}

fn unknown_field(name: &str, schema: &ConfigSchema, at: String) -> Problem {
    let problem = Problem::error(at, format!("the plugin has no setting `{name}`"));
    let known: Vec<_> = schema.fields.keys().map(|name| format!("`{name}`")).collect();
    if known.is_empty() {
        problem.hint("the plugin has no settings at all")
    } else {
        problem.hint(format!("its settings are {}", known.join(", ")))
    }
}

pub(super) const fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ConfigSchema {
        serde_json::from_value(json!({
            "key": { "type": "string", "required": true, "env": "KEY", "label": "API key", "regex": "^sk_" },
            "retries": { "type": "number", "required": true, "default": 3 },
            "region": { "type": "string", "options": [{ "value": "eu", "label": "Europe" }, "us"] },
            "tags": { "type": "array" },
        }))
        .unwrap()
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let values: ConfigValues = [
            ("key".to_owned(), json!("pk_1")),
            ("retries".to_owned(), json!("three")),
            ("region".to_owned(), json!("asia")),
            ("tags".to_owned(), json!({})),
            ("colour".to_owned(), json!(1)),
        ]
        .into_iter()
        .collect();
        insta::assert_snapshot!(check(&values, &schema(), "config.").to_string(), @r#"
        error: config.key: does not match the pattern `^sk_`
          hint: see the field's description for what the plugin expects
        error: config.retries: must be a number, but a string was given
        error: config.region: is not one of the allowed values
          hint: choose one of `"eu"`, `"us"`
        error: config.tags: must be an array, but an object was given
        error: config.colour: the plugin has no setting `colour`
          hint: its settings are `key`, `retries`, `region`, `tags`
        "#);
    }

    #[test]
    fn good_values_have_no_problem() {
        let values: ConfigValues =
            [("key".to_owned(), json!("sk_1")), ("region".to_owned(), json!("eu"))].into_iter().collect();
        assert!(check(&values, &schema(), "").is_empty());
    }

    #[test]
    fn a_required_variable_can_come_from_a_setting() {
        let schema: ConfigSchema = serde_json::from_value(json!({
            "token": { "type": "string", "exportedAs": "TOKEN" },
            "domain": { "type": "string", "exportedAs": "DOMAIN", "default": "shop.example" },
            "key": { "type": "string", "exportedAs": "KEY", "required": true },
        }))
        .unwrap();
        let names = ["TOKEN", "DOMAIN", "KEY", "PROXY", "REGION"].map(String::from);
        let told = |values: &ConfigValues| -> Vec<String> {
            missing_variables(&names, values, &schema, |name| name == "REGION")
                .map(|missing| missing.field)
                .collect()
        };
        assert_eq!(told(&ConfigValues::new()), ["TOKEN", "PROXY"]);
        assert_eq!(told(&[("token".to_owned(), json!("t"))].into_iter().collect()), ["PROXY"]);
    }

    #[test]
    fn a_required_value_can_come_from_the_environment_or_a_default() {
        let (schema, none) = (schema(), ConfigValues::new());
        let required: Vec<_> = missing(&none, &schema, |_| false).map(|missing| missing.field).collect();
        assert_eq!(required, ["key"]);
        assert_eq!(missing(&none, &schema, |name| name == "KEY").count(), 0);
    }
}
