//! `capabilities.mcp.auth` in all its spellings: a list of methods, or `{ methods, oauth }`, or one method alone.

use std::collections::BTreeMap;

use hayloft_model::config::{ConfigField, ConfigSchema, FieldType};
use hayloft_model::plugin::AuthMethod;
use hayloft_model::plugin::auth::{ApiKeyAuth, ClientCredential, OAuth2};
use hayloft_model::{Problem, Problems};

use super::MOST_ITEMS;
use crate::document::{Object, View};
use crate::formats::Located;
use crate::normalize::{is_env_name, needs_grant, suggestion};
use crate::web_address;
use crate::words::quoted;

const METHODS: [&str; 3] = ["apiKey", "oauth2", "jwt"];

const OAUTH_KEYS: [&str; 8] = [
    "authorizationUrl",
    "tokenUrl",
    "scopes",
    "optionalScopes",
    "pkce",
    "clientIdEnvVar",
    "clientSecretEnvVar",
    "scopeSeparator",
];

/// The methods. A key that no setting holds gets a setting of its own.
pub(super) fn read(mcp: &Object<'_>, schema: &mut ConfigSchema, problems: &mut Problems) -> Vec<AuthMethod> {
    let Some(view) = mcp.get("auth") else { return Vec::new() };
    let (named, oauth) = spelled(&view, problems);
    let wants_oauth = named.iter().any(|name| name.text == "oauth2");
    let mut methods: Vec<AuthMethod> = Vec::new();
    for name in named {
        if methods.iter().any(|method| method.id() == name.text) {
            continue;
        }
        match name.text.as_str() {
            "apiKey" => {
                let field = field(
                    schema,
                    &["apiKey", "api_key", "apiToken", "accessToken", "token", "key"],
                    "apiKey",
                    "API key",
                    &name,
                    problems,
                );
                methods.push(AuthMethod::ApiKey(pasted("apiKey", "API key", field)));
            }
            "jwt" => {
                let field = field(
                    schema,
                    &["jwt", "jwtToken", "token", "accessToken"],
                    "jwt",
                    "Token",
                    &name,
                    problems,
                );
                methods.push(AuthMethod::Jwt(pasted("jwt", "Token", field)));
            }
            "oauth2" => methods.extend(oauth2(&name, oauth.as_ref(), problems)),
            other => {
                let message = format!("{} is not a known way to authenticate", quoted(other));
                problems.push(Problem::error(&name.at, message).hint(suggestion(other, &METHODS)));
            }
        }
    }
    if let Some(oauth) = &oauth
        && !wants_oauth
    {
        let message = "counts for nothing: `oauth2` is not among the methods";
        problems.push(Problem::warning(oauth.at(), message).hint("add `\"oauth2\"` to `methods`"));
    }
    methods
}

/// The names of the methods, and the section about OAuth.
fn spelled<'d>(view: &View<'d>, problems: &mut Problems) -> (Vec<Located>, Option<Object<'d>>) {
    if view.is_text() {
        return (Located::read(view, problems).into_iter().collect(), None);
    }
    if view.is_array() {
        let items = view.items(MOST_ITEMS, problems);
        return (items.iter().filter_map(|item| Located::read(item, problems)).collect(), None);
    }
    let Some(object) = view.object(problems) else { return (Vec::new(), None) };
    // One method alone, with what belongs to it beside its name.
    if let Some(kind) = Located::optional(&object, "type", problems) {
        let known: Vec<&str> = OAUTH_KEYS.into_iter().chain(["type"]).collect();
        object.check_keys(&known, problems);
        let oauth = (kind.text == "oauth2").then_some(object);
        return (vec![kind], oauth);
    }
    object.check_keys(&["methods", "oauth"], problems);
    let oauth = object.get("oauth").and_then(|view| view.object(problems));
    if let Some(oauth) = &oauth {
        oauth.check_keys(&OAUTH_KEYS, problems);
    }
    let methods = match object.get("methods") {
        Some(_) => Located::list(&object, "methods", problems),
        None => oauth.iter().map(|oauth| Located { text: String::from("oauth2"), at: oauth.at() }).collect(),
    };
    (methods, oauth)
}

fn pasted(id: &str, label: &str, config_field: String) -> ApiKeyAuth {
    ApiKeyAuth { id: id.to_owned(), label: label.to_owned(), config_field }
}

/// The setting that holds a secret: one of the usual names, else the only secret one, else a new one.
fn field(
    schema: &mut ConfigSchema,
    usual: &[&str],
    new: &str,
    label: &str,
    method: &Located,
    problems: &mut Problems,
) -> String {
    let is_text = |name: &str| schema.field(name).is_some_and(|field| field.field_type == FieldType::String);
    if let Some(name) = usual.iter().find(|name| is_text(name)) {
        if let Some(field) = schema.fields.get_mut(*name).filter(|field| !field.sensitive) {
            // What authenticates is a secret, whether or not its author thought of saying so.
            field.sensitive = true;
            let message = format!("the setting `{name}` holds a secret and is not marked as one");
            let problem = Problem::warning(&method.at, message);
            problems.push(problem.hint(format!("write `\"encrypted\": true` in the setting `{name}`")));
        }
        return (*name).to_owned();
    }
    let secrets = || {
        let texts = |field: &ConfigField| field.sensitive && field.field_type == FieldType::String;
        schema.fields.iter().filter(move |(_, field)| texts(field)).map(|(name, _)| name.clone())
    };
    let ending = |name: &String| {
        let name = name.to_lowercase();
        usual.iter().any(|usual| name.ends_with(&usual.to_lowercase()))
    };
    if let Some(name) = secrets().find(ending).or_else(|| secrets().next()) {
        return name;
    }
    let message = format!("no setting holds what `{}` needs, so one named `{new}` is added", method.text);
    problems.push(
        Problem::warning(&method.at, message)
            .hint("declare it in `configSchema`, with the `env` under which the server expects it"),
    );
    let field = ConfigField {
        field_type: FieldType::String,
        label: Some(label.to_owned()),
        description: None,
        placeholder: None,
        required: false,
        env: None,
        exported_as: None,
        sensitive: true,
        default: None,
        options: None,
        regex: None,
        inside: Default::default(),
    };
    schema.fields.insert(new.to_owned(), field);
    new.to_owned()
}

fn oauth2(name: &Located, oauth: Option<&Object<'_>>, problems: &mut Problems) -> Option<AuthMethod> {
    let bare = OAuth2 {
        id: name.text.clone(),
        label: String::from("OAuth"),
        authorization_url: None,
        token_url: None,
        scopes: Vec::new(),
        optional_scopes: Vec::new(),
        pkce: None,
        client_id: None,
        client_secret: None,
        authorization_params: BTreeMap::new(),
        scope_separator: None,
        token_exchange: None,
        token_refresh: None,
    };
    // Without a section the server itself says where its authorization server is.
    let Some(oauth) = oauth else { return Some(AuthMethod::Oauth2(Box::new(bare))) };
    let url = |key, problems: &mut Problems| {
        oauth.required(key, problems).and_then(|view| web_address::read(&view, problems))
    };
    let authorization_url = url("authorizationUrl", problems);
    let token_url = url("tokenUrl", problems);
    let method = OAuth2 {
        scopes: oauth.texts("scopes", MOST_ITEMS, problems),
        optional_scopes: oauth.texts("optionalScopes", MOST_ITEMS, problems),
        pkce: oauth.boolean("pkce", problems),
        client_id: credential(oauth, "clientIdEnvVar", problems),
        client_secret: credential(oauth, "clientSecretEnvVar", problems),
        scope_separator: oauth.text("scopeSeparator", problems),
        ..bare
    };
    Some(AuthMethod::Oauth2(Box::new(OAuth2 {
        authorization_url: Some(authorization_url?),
        token_url: Some(token_url?),
        ..method
    })))
}

/// A variable of the host. The host alone reads it; the plugin never sees it.
fn credential(oauth: &Object<'_>, key: &str, problems: &mut Problems) -> Option<ClientCredential> {
    let name = Located::optional(oauth, key, problems)?;
    if !is_env_name(&name.text) {
        let message = format!("{} cannot be the name of an environment variable", quoted(&name.text));
        problems.push(
            Problem::error(&name.at, message).hint("use letters, digits and `_`, such as `SHOP_CLIENT_ID`"),
        );
        return None;
    }
    if needs_grant(&name.text) {
        let message = format!("{} looks like a secret or a setting of the host", quoted(&name.text));
        problems.push(
            Problem::warning(&name.at, message)
                .hint("the host does not use its value until an operator grants this name to this plugin"),
        );
    }
    Some(ClientCredential::Host { env: name.text })
}
