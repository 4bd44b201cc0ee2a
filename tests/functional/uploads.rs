//! Plugins that organizations bring along: uploaded, upgraded, removed, by REST and by the command line.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use hayloft_testkit::{Api, Organization, PluginFiles, PluginFolder, Response, TestServer};
use http::Method;
use serde_json::{Value, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::support::{hayloft, one_tool, text_of, until};

const ID: &str = "hay-plugin-mine";

/// A plugin whose tool says which version it is.
pub(crate) fn versioned(folder: &PluginFolder, id: &str, version: &str, extra: &str) -> PluginFiles {
    let server = one_tool(&format!("return {{ content: [{{ type: 'text', text: '{version}{extra}' }}] }};"));
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({{ register }}) => ({{ name: 'mine',\n\
           onInitialize() {{ register.config({{ key: {{ type: 'string' }} }}); register.route('GET', '/', (_q, r) => r.send('here')); }},\n\
           async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({server})); }} }}));"
    );
    let place = format!("{id}-{version}{}", extra.replace(' ', "-"));
    folder.plugin(&place).file("index.js", entry).manifest(&json!({
        "name": id, "version": version, "type": "module",
        "hay-plugin": {
            "entry": "./index.js", "displayName": "Mine", "category": "tool",
            "capabilities": ["mcp", "config", "routes"], "env": [],
        },
    }))
}

/// The archive that the command line makes of a folder.
pub(crate) fn packed(files: &PluginFiles) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("plugin.tgz");
    let output = hayloft(&["plugin", "pack", path(files.root()), "--to", path(&to)]);
    assert!(output.status.success(), "{output:?}");
    fs::read(to).unwrap()
}

/// A `.zip` with one folder in it, as desktops make it.
fn zipped(files: &PluginFiles) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["package.json", "index.js"] {
        writer.start_file(format!("mine/{name}"), SimpleFileOptions::default()).unwrap();
        writer.write_all(&fs::read(files.root().join(name)).unwrap()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn form(api: &Api, query: &str, field: &str, archive: &[u8], more: &[(&str, &str)]) -> Response {
    let mut body = format!(
        "--x\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"plugin\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend(archive);
    body.extend(b"\r\n--x--\r\n");
    let mut headers = vec![("content-type", "multipart/form-data; boundary=x")];
    headers.extend(more);
    api.send(&Method::POST, &format!("/v1/plugins/upload{query}"), &headers, body).await
}

pub(crate) async fn upload(organization: &Organization, archive: &[u8]) -> Response {
    form(&organization.api, "", "file", archive, &[]).await
}

#[tokio::test]
async fn a_plugin_is_uploaded_upgraded_and_removed() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    folder.hay_package("hay-plugin-shared", &[], "export default () => ({ name: 'shared' });");
    let mut server = TestServer::start(folder.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let first = packed(&versioned(&made, ID, "1.0.0", ""));
    let answer = upload(&acme, &first).await.expect(201).json();
    assert_eq!((&answer["pluginId"], &answer["version"]), (&json!(ID), &json!("1.0.0")), "{answer:#}");
    assert_eq!((&answer["previousVersion"], &answer["unchanged"]), (&json!(null), &json!(false)));
    assert_eq!((&answer["plugin"]["isCustom"], &answer["plugin"]["enabled"]), (&json!(true), &json!(false)));
    other.get(&format!("plugins/{ID}")).await.expect(404);

    acme.enable(ID, json!({ "key": "kept" })).await;
    let said = async |of: &Organization| text_of(of.call_tool("mine__act", json!({})).await);
    assert_eq!(said(&acme).await, "1.0.0");
    assert_eq!(upload(&acme, &first).await.expect(200).json()["unchanged"], true);

    // The same id elsewhere is another plugin.
    let theirs = packed(&versioned(&made, ID, "1.0.0", " of others"));
    upload(&other, &theirs).await.expect(201);
    other.enable(ID, json!({})).await;
    assert_eq!((said(&acme).await, said(&other).await), ("1.0.0".into(), "1.0.0 of others".into()));

    // A version is one content, and older ones come back only on purpose.
    let refused = upload(&acme, &theirs).await.expect(409).json();
    assert_eq!(refused["type"], "urn:hayloft:problem:version-taken", "{refused:#}");
    let second = zipped(&versioned(&made, ID, "2.0.0", ""));
    let answer = upload(&acme, &second).await.expect(201).json();
    assert_eq!(answer["previousVersion"], "1.0.0");
    until("the second version", async || said(&acme).await == "2.0.0").await;
    assert_eq!(upload(&acme, &first).await.expect(409).json()["type"], "urn:hayloft:problem:downgrade");
    form(&acme.api, "?allowDowngrade=true", "file", &first, &[]).await.expect(201);
    until("the first version again", async || said(&acme).await == "1.0.0").await;
    let changed = packed(&versioned(&made, ID, "2.0.0", " changed"));
    upload(&acme, &changed).await.expect(409);
    upload(&acme, &packed(&versioned(&made, "hay-plugin-shared", "9.0.0", ""))).await.expect(409);

    server.restart().await;
    assert_eq!(said(&acme).await, "1.0.0", "it is there after a restart");

    acme.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    acme.get(&format!("plugins/{ID}")).await.expect(404);
    acme.call_tool("mine__act", json!({})).await.expect(404);
    acme.route(&Method::GET, ID, "/", &[], "").await.expect(404);
    acme.put(&format!("plugins/{ID}"), &json!({ "enabled": true })).await.expect(404);
    acme.delete(&format!("plugins/{ID}/installation")).await.expect(404);
    let workers = server.admin().get("/v1/workers").await.expect(200).json();
    let left: Vec<&Value> = workers["workers"].as_array().unwrap().iter().collect();
    assert!(left.iter().all(|worker| worker["org"] != json!(acme.id)), "{left:#?}");
    assert_eq!(said(&other).await, "1.0.0 of others", "what others have of that name stays");
    acme.delete("plugins/hay-plugin-shared/installation").await.expect(409);

    // What was saved is there when it comes back, and its versions are what they were.
    upload(&acme, &theirs).await.expect(409);
    upload(&acme, &first).await.expect(201);
    let back = acme.enable(ID, json!({})).await;
    assert_eq!(back["config"]["key"], "kept", "{back:#}");
    acme.delete(&format!("plugins/{ID}/installation?purge=true")).await.expect(204);
    upload(&acme, &first).await.expect(201);
    assert_eq!(acme.enable(ID, json!({})).await["config"]["key"], json!(null));

    let audit = acme.get("audit").await.expect(200).text();
    for action in ["plugin.uploaded", "plugin.uninstalled", r#""downgrade":true"#] {
        assert!(audit.contains(action), "{action} in {audit}");
    }
}

#[tokio::test]
async fn only_administrators_upload_and_only_what_can_be_used_is_taken() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::builder()
        .plugins(folder.path())
        .environment("HAYLOFT_LIMITS_UPLOAD", "20KiB")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let good = packed(&versioned(&made, ID, "1.0.0", ""));
    for role in ["member", "agent"] {
        let api = server.api(Some(&acme.create_token(role).await));
        form(&api, "", "file", &good, &[]).await.expect(403);
        api.delete(&format!("/v1/orgs/{}/plugins/{ID}/installation", acme.id)).await.expect(403);
    }
    form(&server.api(None), "", "file", &good, &[]).await.expect(401);
    form(&server.admin(), "", "file", &good, &[]).await.expect(400);
    form(&acme.api, "", "archive", &good, &[]).await.expect(400);
    acme.api.post("/v1/plugins/upload", &json!({})).await.expect(415);
    upload(&acme, &vec![0; 30 << 10]).await.expect(413);
    upload(&acme, b"neither").await.expect(422);

    // Everything that is wrong is said at once.
    let bad = versioned(&made, "hay-plugin-bad", "one", "").manifest(&json!({
        "name": "Hay Plugin Bad", "version": "one", "type": "module",
        "hay-plugin": { "entry": "./index.js", "displayName": "", "category": "tool", "capabilities": ["flying"] },
    }));
    let refused = upload(&acme, &zipped(&bad)).await.expect(422).json();
    let at: Vec<&str> =
        refused["problems"].as_array().unwrap().iter().filter_map(|problem| problem["at"].as_str()).collect();
    assert!(at.len() >= 3, "{refused:#}");
    assert_eq!(acme.get("plugins").await.expect(200).json()["plugins"], json!([]), "nothing was kept");
    let uploads = server.data_folder().join("uploads");
    assert_eq!(fs::read_dir(uploads).unwrap().count(), 0, "nothing is left lying");

    // The administrator names the organization.
    form(&server.admin(), "", "file", &good, &[("x-organization-id", &acme.id)]).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_installs_a_folder_and_removes_it() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let files = versioned(&made, ID, "1.0.0", "");
    let url = server.url();
    let run = |arguments: &[&str]| {
        let all: Vec<&str> =
            arguments.iter().copied().chain(["--url", &url, "--token", &acme.token]).collect();
        hayloft(&all)
    };
    let output = run(&["plugin", "install", path(files.root()), "--enable", "--json"]);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["plugin"]["state"], "ready", "{answer:#}");
    assert!(stderr.contains("hay-plugin-mine 1.0.0 was uploaded"), "{stderr}");
    assert_eq!(text_of(acme.call_tool("mine__act", json!({})).await), "1.0.0");

    let output = run(&["plugin", "install", path(versioned(&made, ID, "0.9.0", "").root())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is older than 1.0.0"), "{output:?}");
    let output = run(&["plugin", "install", path(versioned(&made, ID, "2.0.0", "").root())]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text_of(acme.call_tool("mine__act", json!({})).await), "2.0.0", "it waited for the upgrade");

    let output = run(&["plugin", "uninstall", ID, "--purge"]);
    assert!(output.status.success(), "{output:?}");
    acme.get(&format!("plugins/{ID}")).await.expect(404);
    assert_eq!(run(&["plugin", "uninstall", ID]).status.code(), Some(1));
}

#[tokio::test]
async fn an_installation_is_followed_and_taken_up_again() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let files = versioned(&made, ID, "1.0.0", "");
    fs::rename(files.root().join("index.js"), files.root().join("source.js")).unwrap();
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(files.root().join("package.json")).unwrap()).unwrap();
    manifest["scripts"] = json!({ "build": "echo built by hand && cp source.js index.js" });
    upload(&acme, &packed(&files.manifest(&manifest))).await.expect(201);
    let events = async |last: Option<&str>| {
        let headers: Vec<(&str, &str)> = last.map(|last| ("last-event-id", last)).into_iter().collect();
        let path = acme.path(&format!("plugins/{ID}/installation/events"));
        let opened = acme.api.http().open(acme.api.request(&Method::GET, &path, &headers, "")).await.unwrap();
        assert_eq!(opened.status(), 200);
        hayloft_testkit::sse::Events::new(opened.into_body())
    };
    let all = async |mut events: hayloft_testkit::sse::Events| {
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        all
    };
    // Who listens before anything happens hears all of it.
    let waiting = events(None).await;
    let (path, enable) = (format!("plugins/{ID}"), json!({ "enabled": true }));
    let (heard, enabled) = tokio::join!(all(waiting), acme.put(&path, &enable));
    assert!(enabled.status.is_success(), "{}", enabled.text());
    let names: Vec<&str> = heard.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"step"), Some(&"done")), "{heard:#?}");
    assert_eq!(heard[0].json()["steps"], 1);
    assert!(heard.iter().any(|event| event.data.contains("built by hand")), "{heard:#?}");

    let after = all(events(heard[0].id.as_deref()).await).await;
    assert_eq!(after, heard[1..], "from the one after the last on");
    let late = all(events(None).await).await;
    assert_eq!(late.len(), 1, "{late:#?}");
    assert_eq!(late[0].name, "done");
    let stranger = all(events(Some("1-2-3")).await).await;
    assert_eq!(stranger.len(), 1);
}

#[tokio::test]
async fn a_plugin_that_comes_back_begins_anew() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    let packed = |version: &str| {
        let entry = format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
             export default defineHayPlugin(() => ({{ name: 'mine', onEnable() {{ console.log('enabled {version}'); }} }}));"
        );
        let manifest = json!({
            "name": ID, "version": version, "type": "module",
            "hay-plugin": { "entry": "./index.js", "displayName": "Mine", "category": "tool", "capabilities": [] },
        });
        packed(&made.plugin(version).file("index.js", entry).manifest(&manifest))
    };
    for version in ["1.0.0", "2.0.0"] {
        upload(&acme, &packed(version)).await.expect(201);
        acme.enable(ID, json!({})).await;
        let logs = async || acme.get(&format!("plugins/{ID}/logs")).await.expect(200).text();
        until("`onEnable`", async || logs().await.contains(&format!("enabled {version}"))).await;
        assert_eq!(logs().await.matches("enabled ").count(), 1, "nothing is left of an earlier life");
        acme.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    }
}
