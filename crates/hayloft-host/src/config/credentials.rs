//! The credentials that a worker gets: what the organization chose, or what its settings amount to.

use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::plugin::AuthMethod;
use hayloft_model::plugin::auth::ApiKeyAuth;
use hayloft_model::secret::MASK;
use hayloft_model::{Problem, Problems, Registration};
use serde_json::Value;

/// The name under which every plugin finds an API key, whatever its field is called.
const API_KEY: &str = "apiKey";

/// The credentials for the worker. An API key is found under [`API_KEY`] and under its field's name. When nobody
/// chose a method, the first API-key method whose field has a value counts as chosen.
pub(crate) fn resolve(
    chosen: Option<&Credentials>,
    values: &ConfigValues,
    registration: &Registration,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<Credentials> {
    let field_value = |field: &str| {
        values.get(field).cloned().or_else(|| {
            let name = registration.config_schema.field(field)?.env.as_deref()?;
            environment(name).map(Value::String)
        })
    };
    let with_key = |method: &ApiKeyAuth, given: Option<&ConfigValues>| {
        let given_key =
            given.and_then(|given| given.get(API_KEY).or_else(|| given.get(&method.config_field)));
        let key = given_key.cloned().or_else(|| field_value(&method.config_field))?;
        let mut values = given.cloned().unwrap_or_default();
        values.insert(API_KEY, key.clone());
        values.insert(method.config_field.clone(), key);
        Some(Credentials { method_id: method.id.clone(), values })
    };
    let Some(chosen) = chosen else {
        return registration.auth_methods.iter().find_map(|method| match method {
            AuthMethod::ApiKey(method) | AuthMethod::Jwt(method) => with_key(method, None),
            AuthMethod::Oauth2(_) => None,
        });
    };
    match registration.auth_methods.iter().find(|method| method.id() == chosen.method_id)? {
        AuthMethod::ApiKey(method) | AuthMethod::Jwt(method) => with_key(method, Some(&chosen.values)),
        AuthMethod::Oauth2(_) => Some(chosen.clone()),
    }
}

/// The credentials after a person's change: another method starts from nothing, the same one merges.
pub(crate) fn merged(stored: Option<&Credentials>, change: &Credentials) -> Credentials {
    let before = stored.filter(|stored| stored.method_id == change.method_id).map(|stored| &stored.values);
    Credentials {
        method_id: change.method_id.clone(),
        values: before.unwrap_or(&ConfigValues::new()).merged(&change.values),
    }
}

/// Everything that is wrong with a person's choice.
pub(crate) fn check(
    change: &Credentials,
    stored: Option<&Credentials>,
    registration: &Registration,
) -> Problems {
    let mut problems = Problems::new();
    let methods = &registration.auth_methods;
    let Some(method) = methods.iter().find(|method| method.id() == change.method_id) else {
        let problem =
            Problem::error("auth.methodId", format!("the plugin has no auth method `{}`", change.method_id));
        let known: Vec<_> = methods.iter().map(|method| format!("`{}`", method.id())).collect();
        problems.push(if known.is_empty() {
            problem.hint("it has none at all; leave `auth` out")
        } else {
            problem.hint(format!("its methods are {}", known.join(", ")))
        });
        return problems;
    };
    let same_method = stored.is_some_and(|stored| stored.method_id == change.method_id);
    for (name, value) in change.values.iter() {
        let at = format!("auth.credentials.{name}");
        match (method, value) {
            (AuthMethod::ApiKey(method) | AuthMethod::Jwt(method), _)
                if name != API_KEY && name != method.config_field =>
            {
                problems.push(
                    Problem::error(at, format!("the method `{}` takes no `{name}`", method.id))
                        .hint(format!("give the key as `{API_KEY}`")),
                )
            }
            (AuthMethod::ApiKey(_) | AuthMethod::Jwt(_), Value::String(text))
                if text == MASK && !same_method =>
            {
                problems.push(Problem::error(at, "is masked, but no value was saved before"));
            }
            (AuthMethod::ApiKey(_) | AuthMethod::Jwt(_), Value::String(text)) if text.is_empty() => {
                problems
                    .push(Problem::error(at, "is empty").hint("send `null` to take the saved value away"));
            }
            (AuthMethod::ApiKey(_) | AuthMethod::Jwt(_), Value::String(_) | Value::Null)
            | (AuthMethod::Oauth2(_), _) => {}
            (AuthMethod::ApiKey(_) | AuthMethod::Jwt(_), _) => {
                problems.push(Problem::error(at, "must be a string"))
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn registration() -> Registration {
        serde_json::from_value(json!({
            "configSchema": { "key": { "type": "string", "env": "KEY" } },
            "authMethods": [
                { "type": "oauth2", "id": "oauth", "label": "OAuth", "authorizationUrl": "https://a.example", "tokenUrl": "https://t.example",
                  "clientId": { "name": "key" }, "clientSecret": { "name": "key" } },
                { "type": "apiKey", "id": "api", "label": "Key", "configField": "key" },
            ],
        }))
        .unwrap()
    }

    fn values(value: Value) -> ConfigValues {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    fn credentials(method: &str, given: Value) -> Credentials {
        Credentials { method_id: method.into(), values: values(given) }
    }

    #[test]
    fn a_key_is_found_wherever_it_was_given() {
        let none = |_: &str| None;
        let environment = |name: &str| (name == "KEY").then(|| "from-env".to_owned());
        let key = |key: &str| Some(credentials("api", json!({ "apiKey": key, "key": key })));
        let registration = registration();
        let nothing = ConfigValues::new();
        let saved = values(json!({ "key": "saved" }));
        let cases = [
            (None, &nothing, false, None),
            (None, &nothing, true, key("from-env")),
            (None, &saved, true, key("saved")),
            (Some(credentials("api", json!({}))), &saved, true, key("saved")),
            (Some(credentials("api", json!({ "apiKey": "given" }))), &saved, true, key("given")),
            (Some(credentials("api", json!({}))), &nothing, false, None),
            (Some(credentials("gone", json!({ "apiKey": "given" }))), &saved, true, None),
        ];
        for (chosen, values, with_environment, expected) in cases {
            let got = if with_environment {
                resolve(chosen.as_ref(), values, &registration, environment)
            } else {
                resolve(chosen.as_ref(), values, &registration, none)
            };
            assert!(got == expected, "{chosen:?}: {got:?}");
        }
        let oauth = credentials("oauth", json!({ "accessToken": "t" }));
        assert!(resolve(Some(&oauth), &saved, &registration, none) == Some(oauth));
    }

    #[test]
    fn a_wrong_choice_is_explained() {
        let registration = registration();
        let bad = credentials("api", json!({ "token": "x", "apiKey": 3, "key": "" }));
        insta::assert_snapshot!(check(&bad, None, &registration).to_string(), @r"
        error: auth.credentials.token: the method `api` takes no `token`
          hint: give the key as `apiKey`
        error: auth.credentials.apiKey: must be a string
        error: auth.credentials.key: is empty
          hint: send `null` to take the saved value away
        ");
        insta::assert_snapshot!(check(&credentials("jwt", json!({})), None, &registration).to_string(), @r"
        error: auth.methodId: the plugin has no auth method `jwt`
          hint: its methods are `oauth`, `api`
        ");
        assert!(check(&credentials("api", json!({ "apiKey": MASK })), None, &registration).has_errors());
        let stored = credentials("api", json!({ "apiKey": "k" }));
        assert!(
            check(&credentials("api", json!({ "apiKey": MASK })), Some(&stored), &registration).is_empty()
        );
    }

    #[test]
    fn another_method_starts_from_nothing() {
        let stored = credentials("api", json!({ "apiKey": "k" }));
        assert!(merged(Some(&stored), &credentials("api", json!({ "apiKey": MASK }))) == stored);
        let other = credentials("oauth", json!({ "accessToken": "t" }));
        assert!(merged(Some(&stored), &other) == other);
    }
}
