//! The ways to authenticate that a plugin offers.

use std::collections::BTreeMap;

use hayloft_model::config::ConfigSchema;
use hayloft_model::plugin::AuthMethod;
use hayloft_model::plugin::auth::{ApiKeyAuth, FieldReference, OAuth2, TokenCall};
use hayloft_model::{Problem, Problems};

use super::{MOST_ENTRIES, known_field, unique_id};
use crate::document::{Object, View};
use crate::words::quoted;

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
pub(super) fn read(message: &Object<'_>, schema: &ConfigSchema, problems: &mut Problems) -> Vec<AuthMethod> {
    let mut seen = Vec::new();
    let items = message.items("authMethods", MOST_ENTRIES, problems);
    items.iter().filter_map(|item| method(item, schema, &mut seen, problems)).collect()
}

fn method(
    item: &View<'_>,
    schema: &ConfigSchema,
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<AuthMethod> {
    let object = item.object(problems)?;
    let kind = object.required("type", problems)?;
    match kind.text(problems)? {
        "apiKey" => api_key(&object, schema, seen, problems).map(AuthMethod::ApiKey),
        "oauth2" => {
            oauth2(&object, schema, seen, problems).map(|method| AuthMethod::Oauth2(Box::new(method)))
        }
        other => {
            problems.push(
                Problem::error(kind.at(), format!("{} is not a known way to authenticate", quoted(other)))
                    .hint("known are `apiKey` and `oauth2`"),
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
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<OAuth2> {
    object.check_keys(&OAUTH2_KEYS, problems);
    let id = unique_id(object, "id", seen, problems);
    let label = object.required("label", problems).and_then(|label| label.label(problems));
    let authorization_url =
        object.required("authorizationUrl", problems).and_then(|view| url(&view, problems));
    let token_url = object.required("tokenUrl", problems).and_then(|view| url(&view, problems));
    let scopes = object.texts("scopes", MOST_ENTRIES, problems);
    let optional_scopes = object.texts("optionalScopes", MOST_ENTRIES, problems);
    let pkce = object.boolean("pkce", problems);
    let client_id = reference(object, "clientId", schema, problems);
    let client_secret = reference(object, "clientSecret", schema, problems);
    let authorization_params = parameters(object, problems);
    let scope_separator = object.text("scopeSeparator", problems);
    let token_exchange = token_call(object, "tokenExchange", problems);
    let token_refresh = token_call(object, "tokenRefresh", problems);
    if let Some(secret) = &client_secret {
        warn_if_shown(&object.place_of("clientSecret"), &secret.name, schema, problems);
    }
    Some(OAuth2 {
        id: id?,
        label: label?,
        authorization_url: authorization_url?,
        token_url: token_url?,
        scopes,
        optional_scopes,
        pkce,
        client_id: client_id?,
        client_secret: client_secret?,
        authorization_params,
        scope_separator,
        token_exchange,
        token_refresh,
    })
}

fn reference(
    object: &Object<'_>,
    key: &str,
    schema: &ConfigSchema,
    problems: &mut Problems,
) -> Option<FieldReference> {
    let reference = object.required(key, problems)?.object(problems)?;
    reference.check_keys(&["name"], problems);
    let view = reference.required("name", problems)?;
    known_field(&view, schema, problems).map(|name| FieldReference { name })
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

/// An absolute address of a provider, without credentials in it.
fn url(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let text = view.text(problems)?;
    let hint = "write a whole address, such as `https://provider.example/oauth/token`";
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            let message = format!("{} holds credentials", quoted(uri.host().unwrap_or_default()));
            problems.push(
                Problem::error(view.at(), message).hint("remove them: everybody can read this address"),
            );
            None
        }
        Ok(uri)
            if matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.host().is_some_and(|host| !host.is_empty()) =>
        {
            if uri.scheme_str() == Some("http") {
                problems.push(
                    Problem::warning(view.at(), format!("{} is not encrypted", quoted(text)))
                        .hint("use `https`; plain `http` works only for addresses that an operator grants"),
                );
            }
            Some(text.to_owned())
        }
        _ => {
            problems
                .push(Problem::error(view.at(), format!("{} is not a web address", quoted(text))).hint(hint));
            None
        }
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
    let url = call.required("url", problems).and_then(|view| url(&view, problems));
    let mut text =
        |key| call.required(key, problems).and_then(|view| view.text(problems).map(ToOwned::to_owned));
    let (grant_type, token_param) = (text("grantType"), text("tokenParam"));
    let include_client_secret = call.boolean("includeClientSecret", problems);
    Some(TokenCall { url: url?, grant_type: grant_type?, token_param: token_param?, include_client_secret })
}
