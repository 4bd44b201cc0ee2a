//! How a server elsewhere is authenticated to, as a plugin's code says it: `auth` of a registration.
//!
//! The kinds are `bearer` and `jwt` (a token), `apiKey` (a key in a header), `basic` (a name and a password), `headers`
//! (whatever the plugin likes), `oauth2` (a connection of the organization) and `none`. A token, key or password that is
//! not given stands in a setting (`configField`), or is what the organization authenticates with.

use std::collections::BTreeMap;

use hayloft_model::plugin::{AuthValue, ServerAuth};
use hayloft_model::{Problem, Problems, Secret};

use crate::document::{Object, View};
use crate::formats::Located;
use crate::normalize::suggestion;
use crate::words::quoted;

/// The kinds that are known.
const KINDS: [&str; 7] = ["oauth2", "bearer", "jwt", "apiKey", "basic", "headers", "none"];

/// The header that a key stands in when nothing else is said.
const AUTHORIZATION: &str = "Authorization";

/// Reads it. Headers that it gives join those that the plugin gave beside it.
pub(super) fn read(
    view: &View<'_>,
    headers: &mut BTreeMap<String, Secret<String>>,
    problems: &mut Problems,
) -> ServerAuth {
    let Some(auth) = view.object(problems) else { return ServerAuth::Nothing };
    let Some(kind) = Located::required(&auth, "type", problems) else { return ServerAuth::Nothing };
    match kind.text.as_str() {
        "none" => ServerAuth::Nothing,
        "oauth2" => ServerAuth::Connection,
        "bearer" | "jwt" => ServerAuth::Bearer(value(&auth, &["token", "jwt"], problems)),
        "apiKey" => {
            let header = text(&auth, &["header", "headerName"], problems);
            let header = header.unwrap_or_else(|| AUTHORIZATION.to_owned());
            let usual = if header.eq_ignore_ascii_case(AUTHORIZATION) { "Bearer " } else { "" };
            let prefix = text(&auth, &["prefix"], problems).unwrap_or_else(|| usual.to_owned());
            let value = value(&auth, &["apiKey", "key", "value"], problems);
            ServerAuth::Key { value, header, prefix }
        }
        "basic" => {
            let username = Located::required(&auth, "username", problems);
            let password = value(&auth, &["password"], problems);
            ServerAuth::Basic { username: username.map(|name| name.text).unwrap_or_default(), password }
        }
        "headers" => {
            headers.extend(super::texts(&auth, "headers", problems));
            ServerAuth::Nothing
        }
        other => {
            let message = format!("{} is not a kind of authentication", quoted(other));
            problems.push(Problem::error(&kind.at, message).hint(suggestion(other, &KINDS)));
            ServerAuth::Nothing
        }
    }
}

/// The secret under the first of these names that is there, or where it comes from else.
fn value(auth: &Object<'_>, names: &[&str], problems: &mut Problems) -> AuthValue {
    if let Some(given) = text(auth, names, problems) {
        return AuthValue::Given(Secret::new(given));
    }
    text(auth, &["configField"], problems).map_or(AuthValue::Credentials, AuthValue::Setting)
}

fn text(auth: &Object<'_>, names: &[&str], problems: &mut Problems) -> Option<String> {
    let name = names.iter().find(|name| auth.get(name).is_some())?;
    Located::optional(auth, name, problems).map(|text| text.text)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::super::{Place, read};
    use super::*;

    fn read_auth(auth: &Value) -> (Option<(ServerAuth, Vec<String>)>, String) {
        let message = json!({ "url": "https://mcp.example.com", "headers": { "X-A": "a" }, "auth": auth });
        let (server, problems) = read(&RawValue::from_string(message.to_string()).unwrap(), Place::Remote);
        let read = server.map(|server| (server.auth, server.headers.into_keys().collect()));
        (read, problems.to_string())
    }

    #[test]
    fn every_kind_is_read() {
        let given = |text: &str| AuthValue::Given(Secret::new(text.to_owned()));
        let key = |value, header: &str, prefix: &str| ServerAuth::Key {
            value,
            header: header.into(),
            prefix: prefix.into(),
        };
        for (auth, expected) in [
            (json!({ "type": "none" }), ServerAuth::Nothing),
            (json!({ "type": "oauth2", "tokenUrl": "https://a.example/t" }), ServerAuth::Connection),
            (json!({ "type": "bearer", "token": "t" }), ServerAuth::Bearer(given("t"))),
            (json!({ "type": "jwt" }), ServerAuth::Bearer(AuthValue::Credentials)),
            (
                json!({ "type": "jwt", "configField": "f" }),
                ServerAuth::Bearer(AuthValue::Setting("f".into())),
            ),
            (json!({ "type": "apiKey", "apiKey": "k" }), key(given("k"), "Authorization", "Bearer ")),
            (json!({ "type": "apiKey", "key": "k", "header": "X-Key" }), key(given("k"), "X-Key", "")),
            (
                json!({ "type": "apiKey", "headerName": "authorization", "prefix": "Token " }),
                key(AuthValue::Credentials, "authorization", "Token "),
            ),
            (
                json!({ "type": "basic", "username": "u", "password": "p" }),
                ServerAuth::Basic { username: "u".into(), password: given("p") },
            ),
        ] {
            let (read, problems) = read_auth(&auth);
            assert_eq!((read, &*problems), (Some((expected, vec!["X-A".to_owned()])), ""), "{auth}");
        }
        let (read, _) = read_auth(&json!({ "type": "headers", "headers": { "X-B": "b" } }));
        assert_eq!(read, Some((ServerAuth::Nothing, vec!["X-A".to_owned(), "X-B".to_owned()])));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (auth, place) in [
            (json!({}), "server.auth.type: is missing"),
            (json!("canary"), "server.auth: "),
            (json!({ "type": "apikey", "apiKey": "canary" }), "did you mean `apiKey`"),
            (json!({ "type": "bearer", "token": ["canary"] }), "server.auth.token: "),
            (json!({ "type": "basic", "password": "canary" }), "server.auth.username: is missing"),
        ] {
            let (read, problems) = read_auth(&auth);
            assert!(read.is_none() && problems.contains(place), "{auth}: {problems}");
            assert!(!problems.contains("canary"), "{problems}");
        }
    }
}
