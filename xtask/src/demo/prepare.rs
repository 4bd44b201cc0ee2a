//! Two organizations, each with a token and plugins that are switched on. What is there already is left as it is.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::keep::{self, Kept};
use super::rest::{Client, part};

/// The organization that gets every sample plugin.
const FIRST: &str = "demo";

/// The organization that gets only the smallest one, to show that neither sees the other's tools.
const SECOND: &str = "second";

/// The folder of the smallest sample plugin.
const SMALLEST: &str = "hello-tool";

/// How long plugins that are starting may take until they are shown as they are.
const SETTLED: Duration = Duration::from_secs(120);

/// How often it is asked whether they are done.
const PAUSE: Duration = Duration::from_millis(200);

/// An organization that is ready to be used.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) token: String,
    pub(super) plugins: Vec<Plugin>,
    pub(super) tools: Vec<Tool>,
    /// Plugins that could not be switched on, by id, each with the reason.
    pub(super) refused: Vec<(String, String)>,
}

impl Organization {
    /// What is not as it should be, plugin by plugin: each is ready, or waits for settings that nobody gave, or was stopped
    /// by an earlier run and starts with its first call.
    pub(super) fn failures(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|(id, why)| format!("`{id}` was not switched on: {why}"));
        let other = self.plugins.iter().filter(|plugin| !plugin.is_well()).map(|plugin| {
            let error = plugin.error.as_deref().unwrap_or("nothing says why");
            format!("`{}` is {}: {error}", plugin.id, plugin.state)
        });
        refused.chain(other).map(|failure| format!("organization `{}`: {failure}", self.name)).collect()
    }
}

/// A plugin and how it is.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) state: String,
    pub(super) error: Option<String>,
}

impl Plugin {
    fn is_well(&self) -> bool {
        match self.state.as_str() {
            // A setting that only a person can give is told as its error.
            "ready" | "unconfigured" => true,
            "stopped" => self.error.is_none(),
            _ => false,
        }
    }

    /// Whether its state is one that something else follows without anybody asking.
    fn is_on_its_way(&self) -> bool {
        ["installing", "starting", "draining"].contains(&self.state.as_str())
    }
}

/// A tool and what it takes.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) plugin: String,
    pub(super) input_schema: Value,
}

/// Prepares both organizations through REST.
pub(super) fn organizations(address: &str, data: &Path, plugins: &Path) -> Result<Vec<Organization>> {
    let token_file = data.join("admin-token");
    let admin = fs::read_to_string(&token_file)
        .with_context(|| format!("failed to read the administrator's token in `{}`", token_file.display()))?;
    let admin = Client::new(address, admin.trim());
    let earlier = keep::read(data);
    let mut kept = Vec::new();
    for name in [FIRST, SECOND] {
        kept.push(match earlier.iter().find(|kept| kept.name == name) {
            Some(kept) if is_valid(address, kept)? => kept.clone(),
            _ => create(&admin, name)?,
        });
        // After each one, so that an interrupted run leaves no organization that nobody knows the token of.
        keep::write(data, &kept)?;
    }
    let (smallest, _) = hayloft_manifest::read_plugin(&plugins.join(SMALLEST));
    let smallest = smallest.map(|descriptor| descriptor.id.to_string());
    let wanted = |kept: &Kept, plugin: &str| kept.name == FIRST || smallest.as_deref() == Some(plugin);
    kept.into_iter()
        .map(|kept| {
            let client = Client::new(address, &kept.token);
            let refused = enable(&client, &kept.id, |plugin| wanted(&kept, plugin))?;
            settled(&client, kept, refused)
        })
        .collect()
}

/// Whether an organization of an earlier run is still there: somebody may have removed the database.
fn is_valid(address: &str, kept: &Kept) -> Result<bool> {
    let answer =
        Client::new(address, &kept.token).ask("GET", &format!("/v1/orgs/{}/plugins", kept.id), None)?;
    Ok(answer.status == 200)
}

fn create(admin: &Client, name: &str) -> Result<Kept> {
    let organization = admin.must("POST", "/v1/orgs", Some(&json!({ "name": name })))?;
    let id = text(&organization, "id").context("the new organization has no id")?;
    let token = admin.must("POST", &format!("/v1/orgs/{id}/tokens"), Some(&json!({ "role": "admin" })))?;
    let token = text(&token, "token").context("the new token has no text")?;
    Ok(Kept { name: name.to_owned(), id, token })
}

/// Switches on what is not on, and gives what refused that. One that cannot be switched on hides none of the others.
fn enable(
    client: &Client,
    organization: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>> {
    let mut refused = Vec::new();
    for plugin in listed(client, organization)? {
        let Some(id) = text(&plugin, "id").filter(|id| wanted(id)) else { continue };
        if plugin.get("enabled").and_then(Value::as_bool) == Some(true) {
            continue;
        }
        let path = format!("/v1/orgs/{organization}/plugins/{}", part(&id));
        let answer = client.ask("PUT", &path, Some(&json!({ "enabled": true })))?;
        if !(200..300).contains(&answer.status) {
            refused.push((id, answer.reason()));
        }
    }
    Ok(refused)
}

/// How an organization is once none of its plugins is on its way to another state, or at the deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "REST tells how a plugin is when it is asked, and not by itself"
)]
fn settled(client: &Client, kept: Kept, refused: Vec<(String, String)>) -> Result<Organization> {
    let deadline = Instant::now() + SETTLED;
    loop {
        let mut organization = look(client, kept.clone())?;
        if !organization.plugins.iter().any(Plugin::is_on_its_way) || Instant::now() >= deadline {
            organization.refused = refused;
            return Ok(organization);
        }
        thread::sleep(PAUSE);
    }
}

fn look(client: &Client, kept: Kept) -> Result<Organization> {
    let plugins = listed(client, &kept.id)?;
    let plugins =
        plugins.iter().filter(|plugin| plugin.get("enabled").and_then(Value::as_bool) == Some(true));
    let plugins = plugins
        .filter_map(|plugin| {
            let id = text(plugin, "id")?;
            let error = plugin.get("lastError").filter(|error| !error.is_null());
            let error =
                error.map(|error| text(error, "message").or_else(|| error.as_str().map(ToOwned::to_owned)));
            Some(Plugin {
                name: text(plugin, "name").unwrap_or_else(|| id.clone()),
                state: text(plugin, "state").unwrap_or_default(),
                error: error.flatten(),
                id,
            })
        })
        .collect();
    let tools = client.must("GET", &format!("/v1/orgs/{}/tools", kept.id), None)?;
    let tools = tools.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    let tools = tools
        .iter()
        .filter_map(|tool| {
            Some(Tool {
                name: text(tool, "name")?,
                plugin: text(tool, "pluginId")?,
                input_schema: tool.get("inputSchema").cloned().unwrap_or_default(),
            })
        })
        .collect();
    Ok(Organization { name: kept.name, id: kept.id, token: kept.token, plugins, tools, refused: Vec::new() })
}

fn listed(client: &Client, organization: &str) -> Result<Vec<Value>> {
    let answer = client.must("GET", &format!("/v1/orgs/{organization}/plugins"), None)?;
    Ok(answer.get("plugins").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A server that knows two plugins, of which one cannot be switched on, and notes what it is asked.
    fn server(asked: Arc<Mutex<Vec<String>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &asked)));
        address
    }

    fn answer(mut stream: TcpStream, asked: &Mutex<Vec<String>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_ascii_lowercase());
        }
        let header = |name: &str| {
            lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
        };
        let mut body = vec![0; header("content-length:").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let line = lines[0].trim_end_matches(" http/1.1");
        let token = header("authorization: bearer");
        asked.lock().unwrap().push(format!("{token} {line} {}", String::from_utf8(body).unwrap()));
        let plugin = |id, enabled| json!({ "id": id, "name": id, "enabled": enabled, "state": "ready" });
        let (status, body) = match (line, token) {
            ("post /v1/orgs", "adm") => (201, json!({ "id": "org_1", "name": "x" })),
            ("post /v1/orgs/org_1/tokens", "adm") => (201, json!({ "token": "tok" })),
            ("get /v1/orgs/org_1/plugins", "tok") => {
                (200, json!({ "plugins": [plugin("@a/b", true), plugin("hay-plugin-hello-tool", false)] }))
            }
            ("get /v1/orgs/org_1/tools", "tok") => {
                (200, json!({ "tools": [{ "name": "t", "pluginId": "@a/b" }] }))
            }
            ("put /v1/orgs/org_1/plugins/hay-plugin-hello-tool", "tok") => {
                (422, json!({ "title": "no", "problems": [{ "at": "x", "message": "is wrong" }] }))
            }
            _ => (401, json!({ "title": "who are you?" })),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    }

    #[test]
    fn a_second_run_makes_nothing_again() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let address = server(Arc::clone(&asked));
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("admin-token"), "adm\n").unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples");
        let asked_for =
            |beginning: &str| asked.lock().unwrap().iter().filter(|line| line.contains(beginning)).count();

        let first = organizations(&address, data.path(), &examples).unwrap();
        assert_eq!(
            first.iter().map(|organization| organization.name.as_str()).collect::<Vec<_>>(),
            [FIRST, SECOND]
        );
        assert_eq!(first[0].tools[0].plugin, "@a/b");
        assert_eq!(first[0].plugins.len(), 1, "only what is switched on is shown");
        let refusal = "organization `demo`: `hay-plugin-hello-tool` was not switched on: is wrong".to_owned();
        assert_eq!(first[0].failures(), [refusal]);
        assert_eq!(asked_for("post /v1/orgs {"), 2);
        assert_eq!(asked_for("put "), 2, "what is on already is left alone, and one refusal stops nothing");

        organizations(&address, data.path(), &examples).unwrap();
        assert_eq!(asked_for("post /v1/orgs {"), 2, "no organization is made twice");

        let kept = fs::read_to_string(data.path().join("demo-organizations.json")).unwrap();
        fs::write(data.path().join("demo-organizations.json"), kept.replace("\"tok\"", "\"gone\"")).unwrap();
        organizations(&address, data.path(), &examples).unwrap();
        assert_eq!(asked_for("post /v1/orgs {"), 4, "an organization that is gone is made anew");
    }

    #[test]
    fn whatever_is_not_ready_without_a_good_reason_is_a_failure() {
        let plugin = |id: &str, state: &str, error: Option<&str>| Plugin {
            name: id.to_owned(),
            id: id.to_owned(),
            state: state.to_owned(),
            error: error.map(ToOwned::to_owned),
        };
        let organization = Organization {
            name: FIRST.to_owned(),
            id: String::from("org_1"),
            token: String::from("tok"),
            plugins: vec![
                plugin("a", "ready", None),
                plugin("b", "stopped", None),
                plugin("c", "stopped", Some("it ended")),
                plugin("d", "failed", Some("no entry")),
                plugin("e", "degraded", None),
                plugin("g", "unconfigured", Some("no value for `key`")),
            ],
            tools: Vec::new(),
            refused: vec![(String::from("f"), String::from("no"))],
        };
        let expected = [
            "organization `demo`: `f` was not switched on: no",
            "organization `demo`: `c` is stopped: it ended",
            "organization `demo`: `d` is failed: no entry",
            "organization `demo`: `e` is degraded: nothing says why",
        ];
        assert_eq!(organization.failures(), expected);
    }
}
