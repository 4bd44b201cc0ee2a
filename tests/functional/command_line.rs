//! The command line: a client of the running server, with exit codes that scripts can rely on.

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{examples, hayloft, mcp_plugin, one_tool, workspace_file};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_day_by_command_line() {
    let server = TestServer::start(examples()).await;
    let url = server.url();
    let run = |arguments: &[&str]| {
        let all: Vec<&str> =
            arguments.iter().copied().chain(["--url", &url, "--token", server.admin_token()]).collect();
        let output = hayloft(&all);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&run(arguments)).expect("JSON") };

    let made = json(&["org", "create", "Acme", "--json"]);
    let org = made["id"].as_str().unwrap();
    assert!(run(&["org", "list"]).contains("Acme"));
    let token = json(&["token", "create", "--org", org, "--role", "agent", "--json"]);
    assert!(token["token"].as_str().unwrap().len() > 30);
    run(&["plugin", "enable", "hay-plugin-hello-tool", "--org", org]);
    assert!(run(&["plugin", "list", "--org", org]).contains("hay-plugin-hello-tool"));
    let called = run(&["plugin", "call", "hello_tool__hello", r#"{"name":"Ada"}"#, "--org", org]);
    assert!(called.contains("Hello, Ada!"), "{called}");
    run(&["plugin", "logs", "hay-plugin-hello-tool", "--org", org]);
    run(&["plugin", "disable", "hay-plugin-hello-tool", "--org", org]);

    let doctor = hayloft(&["doctor", "--plugins-dir", examples().to_str().unwrap()]);
    assert!(doctor.status.success() && text(&doctor.stdout).contains("off"), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_stopped_and_removed_and_its_tokens_change() {
    let server = TestServer::start(examples()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let url = server.url();
    let run = |arguments: &[&str]| {
        let all: Vec<&str> =
            arguments.iter().copied().chain(["--url", &url, "--token", server.admin_token()]).collect();
        hayloft(&all)
    };
    let said = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for organization in [&acme, &other] {
        organization.enable("hay-plugin-hello-tool", json!({})).await;
        organization.call_tool("hello_tool__hello", json!({ "name": "x" })).await.expect(200);
    }

    let made = acme.post("tokens", &json!({ "role": "member" })).await.expect(201).json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let api = server.api(Some(token));
    api.get(&acme.path("plugins")).await.expect(200);
    assert!(said(&["token", "role", id, "agent", "--org", &acme.id]).contains(id));
    api.get(&acme.path("plugins")).await.expect(403);
    said(&["token", "role", id, "admin", "--org", &acme.id]);
    api.get(&acme.path("tokens")).await.expect(200);
    let foreign = run(&["token", "role", id, "agent", "--org", &other.id]);
    assert_eq!(foreign.status.code(), Some(1), "{}", text(&foreign.stdout));
    api.get(&acme.path("tokens")).await.expect(200);

    let shown = said(&["plugin", "stop", "hay-plugin-hello-tool", "--org", &acme.id, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["state"], "stopped", "{shown:#}");
    assert_eq!(said(&["org", "stop", &acme.id]), "");
    acme.call_tool("hello_tool__hello", json!({ "name": "x" })).await.expect(200);
    assert_eq!(said(&["org", "stop", &acme.id]), "stopped hay-plugin-hello-tool\n");

    assert!(said(&["org", "remove", &acme.id]).contains(&acme.id));
    for api in [&api, &acme.api] {
        api.get(&acme.path("plugins")).await.expect(401);
    }
    assert!(!said(&["org", "list"]).contains(&acme.id));
    let again = run(&["org", "remove", &acme.id]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
    other.call_tool("hello_tool__hello", json!({ "name": "x" })).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_data_dir_says_is_enough() {
    let server = TestServer::builder().plugins(examples()).generated_admin_token().start().await;
    let data = server.data_folder();
    let output = hayloft(&["org", "list", "--json", "--data-dir", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn exit_codes_tell_use_from_failure() {
    let cases: &[(&[&str], i32)] = &[
        (&["--help"], 0),
        (&["plugin", "call", "--help"], 0),
        (&["nonsense"], 2),
        (&["org", "create"], 2),
        (&["token", "create", "--org", "x", "--role", "king"], 2),
        (&["org", "list", "--url", "http://127.0.0.1:9", "--token", "x"], 1),
        (&["plugin", "check", "/nonexistent"], 1),
    ];
    for (arguments, code) in cases {
        let output = hayloft(arguments);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {}", text(&output.stderr));
        if *code != 0 {
            assert!(!text(&output.stdout).contains("Usage") && !output.stderr.is_empty(), "{arguments:?}");
        }
    }
}

#[test]
fn an_archive_is_checked_like_the_folder_that_it_was_made_of() {
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-fine", &["mcp"], "export default 1;");
    let (folder, archive) = (plugins.path().join("hay-plugin-fine"), plugins.path().join("fine.tgz"));
    let (folder, archive) = (folder.to_str().unwrap(), archive.to_str().unwrap());
    let packed = hayloft(&["plugin", "pack", folder, "--to", archive]);
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let said = |plugin| hayloft(&["plugin", "check", plugin, "--json"]);
    let (of_folder, of_archive) = (said(folder), said(archive));
    assert!(of_archive.status.success(), "{}", String::from_utf8_lossy(&of_archive.stderr));
    assert_eq!(of_archive.stdout, of_folder.stdout);

    let whole = std::fs::read(archive).unwrap();
    std::fs::write(archive, &whole[..whole.len() / 2]).unwrap();
    let broken = said(archive);
    assert_eq!(broken.status.code(), Some(1));
    let said = String::from_utf8_lossy(&broken.stderr);
    assert!(said.contains("archive") && said.contains("cannot be read"), "{said}");
}

#[test]
fn a_check_says_everything_that_is_wrong() {
    let plugins = PluginFolder::new();
    mcp_plugin(&plugins, "hay-plugin-fine", &one_tool("return 1"));
    let broken = plugins.plugin("broken").manifest(&json!({
        "name": "Not A Name", "version": "one", "hay-plugin": { "entry": "../outside.js", "capabilities": ["fly"], "env": ["a b"] },
    }));
    let fine = hayloft(&["plugin", "check", plugins.path().join("hay-plugin-fine").to_str().unwrap()]);
    assert!(fine.status.success(), "{}{}", text(&fine.stdout), text(&fine.stderr));
    let output = hayloft(&["plugin", "check", broken.root().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout) + &text(&output.stderr);
    for words in ["name", "version", "entry", "fly", "a b"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_folder_without_a_manifest_is_told_what_it_lacks() {
    let plugins = PluginFolder::new();
    let empty = plugins.plugin("empty");
    let output = hayloft(&["plugin", "check", empty.root().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("package.json"), "{said}");
}

#[test]
fn every_setting_is_in_the_reference() {
    let output = hayloft(&["config", "show", "--json"]);
    let settings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let reference = std::fs::read_to_string(workspace_file("docs/operate/configuration.md")).unwrap();
    let keys: Vec<&str> =
        settings.as_array().unwrap().iter().map(|setting| setting["key"].as_str().unwrap()).collect();
    for line in reference.lines() {
        let named = line.strip_prefix("| `").and_then(|line| line.split_once('`')).map(|(key, _)| key);
        assert!(named.is_none_or(|key| keys.contains(&key)), "there is no setting for {line}");
    }
    for setting in settings.as_array().unwrap() {
        let key = setting["key"].as_str().unwrap();
        let line = reference.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let line = line.unwrap_or_else(|| panic!("`{key}` is not in the reference"));
        // One default depends on the machine.
        if key.starts_with("limits.") && key != "limits.starts_at_once" {
            let default = match &setting["value"] {
                Value::Null => String::from("| none |"),
                value => format!("`{}`", value.to_string().trim_matches('"')),
            };
            assert!(line.contains(&default), "{line}: {default}");
        }
    }
}
