//! What a plugin may ask of the Plugin API is what its folder asks for and its organization grants, whatever the host can do.

use std::fs;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::until;

/// Asks for everything that there is, and answers with what came of each.
const ASK: &str = r#"
const operations = {
  "mcp.registerRemote": "/mcp/register-remote",
  "messages.receive": "/messages/receive",
  "messages.send": "/messages/send",
  "customers.upsert": "/customers/upsert",
  "sources.register": "/sources/register",
  "products.upsertMany": "/products/upsert-many",
  "email.send": "/send-email",
  "sms.send": "/send-sms",
};
module.exports = async (request, response) => {
  const { HAY_API_URL: url, HAY_API_TOKEN: token } = process.env;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const said = {};
  for (const [name, path] of Object.entries(operations)) {
    const rest = await fetch(`${url}/v1/plugin-api${path}`, { method: "POST", headers, body: "{}" });
    const procedure = await fetch(`${url}/v1/pluginApi.${name}`, { method: "POST", headers, body: "{}" });
    await procedure.text();
    said[name] = [rest.status, procedure.status, (await rest.json()).error];
  }
  response.json(said);
};
"#;

fn plugin(folder: &PluginFolder, id: &str, version: &str, apis: &[&str]) {
    let manifest = json!({
        "id": id, "name": "Asks", "version": version, "description": "Asks for things", "author": "Tests",
        "type": ["channel"], "entry": "./dist/index.js", "permissions": { "api": apis },
        "capabilities": { "api": { "routes": [{ "method": "GET", "path": "/ask", "handler": "./ask.js" }] } },
    });
    folder
        .plugin(id)
        .file("ask.js", ASK)
        .file("dist/index.js", "")
        .file("manifest.json", manifest.to_string());
}

async fn ask(organization: &Organization, id: &str) -> Value {
    organization.route(&Method::GET, id, "/ask", &[], "").await.expect(200).json()
}

#[tokio::test]
async fn nothing_is_done_that_the_folder_does_not_ask_for() {
    let folder = PluginFolder::new();
    plugin(&folder, "hay-plugin-mails", "1.0.0", &["email"]);
    let all = ["email", "mcp", "messages", "customers", "sources", "products", "sms"];
    plugin(&folder, "hay-plugin-all", "1.0.0", &all);
    plugin(&folder, "hay-plugin-none", "1.0.0", &[]);
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    for id in ["hay-plugin-mails", "hay-plugin-all", "hay-plugin-none"] {
        acme.enable(id, json!({})).await;
    }
    for (id, granted) in
        [("hay-plugin-mails", &["email"] as &[&str]), ("hay-plugin-all", &all), ("hay-plugin-none", &[])]
    {
        let said = ask(&acme, id).await;
        for (name, said) in said.as_object().unwrap() {
            let capability = name.split('.').next().unwrap();
            let (status, told) = match (granted.contains(&capability), capability) {
                // What is sent is no server: the check comes before that is looked at.
                (true, "mcp") => (422, String::from("server.url")),
                (true, _) => (501, format!("`{name}` is not available: this host ")),
                (false, _) => (
                    403,
                    format!(
                        "`{name}` needs the capability `{capability}`, which the plugin does not declare"
                    ),
                ),
            };
            assert_eq!((&said[0], &said[1]), (&json!(status), &json!(status)), "{id}: {name}: {said}");
            assert!(said[2].as_str().unwrap().contains(&told), "{id}: {name}: {said}");
        }
    }
}

#[tokio::test]
async fn what_a_newer_version_asks_for_is_refused_until_it_is_granted() {
    let folder = PluginFolder::new();
    let id = "hay-plugin-mails";
    plugin(&folder, id, "1.0.0", &["email"]);
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable(id, json!({})).await;
    assert_eq!(ask(&acme, id).await["messages.send"][0], 403);

    fs::remove_dir_all(folder.path().join(id)).unwrap();
    plugin(&folder, id, "1.1.0", &["email", "messages"]);
    let shown = async || acme.get(&format!("plugins/{id}")).await.expect(200).json();
    until("the newer version", async || shown().await["version"] == "1.1.0").await;
    let withheld = "`messages.send` needs the capability `messages`, which this version of the plugin asks for and the organization has not granted";
    until("the newer version to answer", async || {
        ask(&acme, id).await["messages.send"] == json!([403, 403, withheld])
    })
    .await;
    assert_eq!(ask(&acme, id).await["email.send"][0], 501);

    let pending = json!({ "permissions": shown().await["pendingPermissions"] });
    acme.post(&format!("plugins/{id}/permissions"), &pending).await.expect(200);
    until("what was granted", async || ask(&acme, id).await["messages.send"][0] == 501).await;
}
