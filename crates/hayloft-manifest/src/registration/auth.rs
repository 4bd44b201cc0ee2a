//! The ways to authenticate that a plugin offers.

use std::collections::BTreeMap;

use hayloft_model::config::ConfigSchema;
use hayloft_model::plugin::AuthMethod;
use hayloft_model::plugin::auth::{ApiKeyAuth, ClientCredential, FieldReference, OAuth2, TokenCall};
use hayloft_model::{Problem, Problems};

use super::{MOST_ENTRIES, known_field, unique_id};
use crate::document::{Object, View};
use crate::words::quoted;
use crate::{normalize, web_address};

const OAUTH2_KEYS: [&str; 14] = [
    "type",
    "id",
    "label",
    "authorizationUrl",
    "tokenUrl",
    "scopes",
    "optionalScopes",
    "pkce",
    "clientId",
    "clientSecret",
    "authorizationParams",
    "scopeSeparator",
    "tokenExchange",
    "tokenRefresh",
];

/// The methods without errors.
pub(super) fn read(
    message: &Object<'_>,
    schema: &ConfigSchema,
    host_env: &[String],
    problems: &mut Problems,
) -> Vec<AuthMethod> {
    let mut seen = Vec::new();
    let items = message.items("authMethods", MOST_ENTRIES, problems);
    items.iter().filter_map(|item| method(item, schema, host_env, &mut seen, problems)).collect()
}

fn method(
    item: &View<'_>,
    schema: &ConfigSchema,
    host_env: &[String],
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<AuthMethod> {
    let object = item.object(problems)?;
    let kind = object.required("type", problems)?;
    match kind.text(problems)? {
        "apiKey" => api_key(&object, schema, seen, problems).map(AuthMethod::ApiKey),
        "jwt" => api_key(&object, schema, seen, problems).map(AuthMethod::Jwt),
        "oauth2" => oauth2(&object, schema, host_env, seen, problems)
            .map(|method| AuthMethod::Oauth2(Box::new(method))),
        other => {
            problems.push(
                Problem::error(kind.at(), format!("{} is not a known way to authenticate", quoted(other)))
                    .hint("known are `apiKey`, `jwt` and `oauth2`"),
            );
            None
        }
    }
}

fn api_key(
    object: &Object<'_>,
    schema: &ConfigSchema,
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<ApiKeyAuth> {
    object.check_keys(&["type", "id", "label", "configField"], problems);
    let id = unique_id(object, "id", seen, problems);
    let label = object.required("label", problems).and_then(|label| label.label(problems));
    let config_field =
        object.required("configField", problems).and_then(|view| field(&view, schema, problems));
    Some(ApiKeyAuth { id: id?, label: label?, config_field: config_field? })
}

fn oauth2(
    object: &Object<'_>,
    schema: &ConfigSchema,
    host_env: &[String],
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<OAuth2> {
    object.check_keys(&OAUTH2_KEYS, problems);
    let id = unique_id(object, "id", seen, problems);
    let label = object.required("label", problems).and_then(|label| label.label(problems));
    let authorization_url =
        object.required("authorizationUrl", problems).and_then(|view| web_address::read(&view, problems));
    let token_url = object.required("tokenUrl", problems).and_then(|view| web_address::read(&view, problems));
    let scopes = object.texts("scopes", MOST_ENTRIES, problems);
    let optional_scopes = object.texts("optionalScopes", MOST_ENTRIES, problems);
    let pkce = object.boolean("pkce", problems);
    let client_id = credential(object, "clientId", schema, host_env, problems);
    let client_secret = credential(object, "clientSecret", schema, host_env, problems);
    let authorization_params = parameters(object, problems);
    let scope_separator = object.text("scopeSeparator", problems);
    let token_exchange = token_call(object, "tokenExchange", problems);
    let token_refresh = token_call(object, "tokenRefresh", problems);
    if let Some(ClientCredential::Field(secret)) = &client_secret {
        warn_if_shown(&object.place_of("clientSecret"), &secret.name, schema, problems);
    }
    Some(OAuth2 {
        id: id?,
        label: label?,
        authorization_url: Some(authorization_url?),
        token_url: Some(token_url?),
        scopes,
        optional_scopes,
        pkce,
        client_id: Some(client_id?),
        client_secret: Some(client_secret?),
        authorization_params,
        scope_separator,
        token_exchange,
        token_refresh,
    })
}

/// A setting, or a variable of the host that the plugin's manifest lists.
fn credential(
    object: &Object<'_>,
    key: &str,
    schema: &ConfigSchema,
    host_env: &[String],
    problems: &mut Problems,
) -> Option<ClientCredential> {
    let reference = object.required(key, problems)?.object(problems)?;
    reference.check_keys(&["name", "env"], problems);
    let Some(view) = reference.get("env") else {
        let view = reference.required("name", problems)?;
        return known_field(&view, schema, problems)
            .map(|name| ClientCredential::Field(FieldReference { name }));
    };
    let env = view.text(problems)?;
    if !normalize::is_env_name(env) || !host_env.iter().any(|listed| listed == env) {
        let message = format!("{} is not in the plugin's list of variables", quoted(env));
        problems.push(Problem::error(view.at(), message).hint("list it in the manifest, or use a setting"));
        return None;
    }
    Some(ClientCredential::Host { env: env.to_owned() })
}

/// The field that holds a key: it must exist, and its values must not be shown.
fn field(view: &View<'_>, schema: &ConfigSchema, problems: &mut Problems) -> Option<String> {
    let name = known_field(view, schema, problems)?;
    warn_if_shown(&view.at(), &name, schema, problems);
    Some(name)
}

fn warn_if_shown(at: &str, name: &str, schema: &ConfigSchema, problems: &mut Problems) {
    if schema.field(name).is_some_and(|field| !field.sensitive) {
        let message = format!("the setting `{name}` holds a secret and is not marked as one");
        problems.push(
            Problem::warning(at, message).hint(format!("write `sensitive: true` in the setting `{name}`")),
        );
    }
}

fn parameters(object: &Object<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let Some(parameters) = object.get("authorizationParams").and_then(|view| view.object(problems)) else {
        return BTreeMap::new();
    };
    let fields = parameters.fields(problems);
    fields
        .iter()
        .filter_map(|(name, view)| Some(((*name).to_owned(), view.text(problems)?.to_owned())))
        .collect()
}

fn token_call(object: &Object<'_>, key: &str, problems: &mut Problems) -> Option<TokenCall> {
    let call = object.get(key)?.object(problems)?;
    call.check_keys(&["url", "grantType", "tokenParam", "includeClientSecret"], problems);
    let url = call.required("url", problems).and_then(|view| web_address::read(&view, problems));
    let mut text =
        |key| call.required(key, problems).and_then(|view| view.text(problems).map(ToOwned::to_owned));
    let (grant_type, token_param) = (text("grantType"), text("tokenParam"));
    let include_client_secret = call.boolean("includeClientSecret", problems);
    Some(TokenCall { url: url?, grant_type: grant_type?, token_param: token_param?, include_client_secret })
}
