//! A server elsewhere as the text that is sealed and remembered. Only this host reads it.

use hayloft_model::Secret;
use hayloft_model::plugin::{AuthValue, McpTransport, ServerAuth};
use serde::{Deserialize, Serialize};

use super::super::handed::RemoteServer;

#[derive(Serialize, Deserialize)]
struct Sealed {
    url: String,
    transports: Vec<McpTransport>,
    headers: Vec<(String, String)>,
    auth: Auth,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Auth {
    Nothing,
    Organization,
    Bearer { value: From },
    Key { value: From, header: String, prefix: String },
    Basic { username: String, password: From },
    Connection,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum From {
    Given(String),
    Setting(String),
    Credentials,
}

/// The text for a server.
pub(super) fn write(server: &RemoteServer) -> Result<Secret<String>, serde_json::Error> {
    let headers = server.headers.iter().map(|(name, value)| (name.clone(), value.expose().clone()));
    let sealed = Sealed {
        url: server.url.clone(),
        transports: server.transports.clone(),
        headers: headers.collect(),
        auth: match &server.auth {
            ServerAuth::Nothing => Auth::Nothing,
            ServerAuth::Organization => Auth::Organization,
            ServerAuth::Bearer(value) => Auth::Bearer { value: of(value) },
            ServerAuth::Key { value, header, prefix } => {
                Auth::Key { value: of(value), header: header.clone(), prefix: prefix.clone() }
            }
            ServerAuth::Basic { username, password } => {
                Auth::Basic { username: username.clone(), password: of(password) }
            }
            ServerAuth::Connection => Auth::Connection,
        },
    };
    serde_json::to_string(&sealed).map(Secret::new)
}

/// The server of a text.
pub(super) fn read(text: &Secret<String>) -> Result<RemoteServer, serde_json::Error> {
    let Sealed { url, transports, headers, auth } = serde_json::from_str(text.expose())?;
    let auth = match auth {
        Auth::Nothing => ServerAuth::Nothing,
        Auth::Organization => ServerAuth::Organization,
        Auth::Bearer { value } => ServerAuth::Bearer(to(value)),
        Auth::Key { value, header, prefix } => ServerAuth::Key { value: to(value), header, prefix },
        Auth::Basic { username, password } => ServerAuth::Basic { username, password: to(password) },
        Auth::Connection => ServerAuth::Connection,
    };
    let headers = headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    Ok(RemoteServer { url, transports, headers, auth })
}

fn of(value: &AuthValue) -> From {
    match value {
        AuthValue::Given(secret) => From::Given(secret.expose().clone()),
        AuthValue::Setting(name) => From::Setting(name.clone()),
        AuthValue::Credentials => From::Credentials,
    }
}

fn to(value: From) -> AuthValue {
    match value {
        From::Given(secret) => AuthValue::Given(Secret::new(secret)),
        From::Setting(name) => AuthValue::Setting(name),
        From::Credentials => AuthValue::Credentials,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let given = || AuthValue::Given(Secret::new("canary".to_owned()));
        for auth in [
            ServerAuth::Nothing,
            ServerAuth::Organization,
            ServerAuth::Bearer(given()),
            ServerAuth::Key {
                value: AuthValue::Setting("f".into()),
                header: "X".into(),
                prefix: "Y ".into(),
            },
            ServerAuth::Basic { username: "u".into(), password: AuthValue::Credentials },
            ServerAuth::Connection,
        ] {
            let server = RemoteServer {
                url: "https://mcp.example.com/".into(),
                transports: vec![McpTransport::Http, McpTransport::Sse],
                headers: vec![("X-Key".into(), Secret::new("k".to_owned()))],
                auth,
            };
            assert_eq!(read(&write(&server).unwrap()).unwrap(), server);
        }
    }
}
