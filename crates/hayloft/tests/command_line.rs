//! The command line as people use it wrongly, and what it says then.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in an empty folder with no environment of ours.
#[expect(clippy::disallowed_methods, reason = "the test is the person at the shell, not a plugin host")]
fn hayloft(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hayloft"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/nonexistent")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn wrong_use_is_2_and_failure_is_1_with_one_clear_line() {
    // Each case: the arguments, the exit code, and what stands on standard error.
    let cases: &[(&[&str], i32, &str)] = &[
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["serve", "--listen", "nowhere"], 2, "must be an address with a port, such as `127.0.0.1:3001`"),
        (&["plugin", "install", "nowhere"], 1, "error: failed to read `nowhere`: No such file or directory"),
        (&["serve", "--isolation", "Z"], 2, "is not a tier of isolation"),
        (&["serve", "--public-url", "ftp://x"], 2, "--public-url"),
        (&["serve", "--lisen", "x"], 2, "--listen"),
        (&["serve", "--log", "a=b=c"], 2, "telemetry.log"),
        (&["serve", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (&["serve", "--runtime-dir", "nowhere"], 1, "error: failed to find the worker's runner"),
        (&["token", "create", "--role", "root"], 2, "--role"),
        (&["token", "revoke", "nonsense"], 2, "is not a token id"),
        (&["plugin", "get", "UPPER"], 2, "is not a plugin id"),
        (&["plugin", "logs", "x", "--tail", "0"], 2, "--tail"),
        (&["plugin", "enable", "x", "--credential", "a=b"], 2, "--auth"),
        (&["plugin", "enable", "x", "--set", "a"], 2, "`--set` takes `NAME=VALUE`"),
        (&["plugin", "call", "x__y", "[1]"], 2, "`JSON` takes a JSON object"),
        (&["org", "list"], 1, "error: no server is running for the data folder `./data`"),
        (&["plugin", "list"], 1, "hint: start one with `hayloft serve`, or name one with `--url`"),
        (&["org", "create", "Acme"], 1, "there is no data folder `./data`"),
        (&["org", "list", "--url", "https://x"], 2, "this client speaks `http://` only"),
        (
            &["org", "list", "--url", "http://127.0.0.1:1"],
            1,
            "error: failed to reach the server at `http://127.0.0.1:1`",
        ),
        (&["plugin", "check", "nowhere"], 1, ""),
        (&["migrate-plugin", "nowhere"], 1, "error: the plugin in `nowhere` cannot be migrated"),
        (&["migrate-plugin"], 2, "<FOLDER>"),
    ];
    for (arguments, code, said) in cases {
        let folder = tempfile::tempdir().unwrap();
        let output = hayloft(folder.path(), arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert!(!folder.path().join("data").exists(), "{arguments:?} made a data folder");
    }
}

#[test]
fn a_broken_configuration_is_told_in_full() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hayloft.toml"), "[server]\nlisen = 1\n[limits]\nidle = \"soon\"\n")
        .unwrap();
    let output = hayloft(folder.path(), &["config", "show"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(text(&output.stderr), @r"
    error: the configuration is not valid
      error: hayloft.toml: server.lisen: is not a setting
        hint: did you mean `server.listen`?
      error: hayloft.toml: limits.idle: must be a duration such as `30s`, `250ms` or `5m`
    ");
}

#[test]
fn every_command_has_help() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = vec![Vec::<String>::new()];
    let mut helped = 0;
    while let Some(command) = waiting.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = hayloft(folder.path(), &arguments);
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("Usage: hayloft"), "{arguments:?}: {help}");
        // What the server answers is for programs too.
        assert_eq!(help.contains(" --url <URL>"), help.contains(" --token <TOKEN>"), "{arguments:?}");
        assert!(!help.contains(" --url <URL>") || help.contains(" --json"), "{arguments:?}");
        helped += 1;
        // The commands of a command stand under "Commands:", one per line.
        for line in
            help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty())
        {
            if let Some(name) = line.strip_prefix("  ").and_then(|line| line.split(' ').next())
                && !name.is_empty()
                && name != "help"
            {
                waiting.push(command.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(helped >= 22, "only {helped} commands were found");
}

#[test]
fn the_flags_of_a_command_stand_before_those_that_all_have() {
    let folder = tempfile::tempdir().unwrap();
    for (command, own) in [
        (["plugin", "disable"], "--purge"),
        (["plugin", "enable"], "--credential <NAME=VALUE>"),
        (["plugin", "install"], "--enable"),
        (["plugin", "logs"], "--tail <LINES>"),
        (["token", "create"], "--role <ROLE>"),
    ] {
        let help = text(&hayloft(folder.path(), &[command[0], command[1], "--help"]).stdout);
        let places = [own, "--org <ORG>", "--url <URL>", "--json"].map(|flag| help.find(flag));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{command:?}: {help}");
    }
}

#[test]
fn the_document_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let output = hayloft(folder.path(), &["openapi"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["info"]["title"], "Hayloft");
}

#[test]
fn the_configuration_is_shown_with_its_sources() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hayloft.toml"), "[storage]\nadmin_token = \"canary-canary-canary\"\n")
        .unwrap();
    let output = hayloft(folder.path(), &["config", "show", "--json", "--listen", "127.0.0.1:9"]);
    assert!(!text(&output.stdout).contains("canary"));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of =
        |key: &str| shown.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone();
    assert_eq!(of("server.listen")["origin"], "flag: --listen");
    assert_eq!(of("storage.admin_token")["origin"], "hayloft.toml");
    assert_eq!(of("limits.idle")["origin"], "default");
}

#[test]
fn doctor_tells_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let output = hayloft(folder.path(), &["doctor", "--json", "--runtime-dir", "nowhere"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["tier"].is_string() && report.get("attack").is_none(), "{report}");
    let check =
        |name: &str| report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("runner")["ok"], false);
    assert_eq!(check("node")["ok"], false);
    assert_eq!(check("data folder")["ok"], true);
    assert_eq!(check("plugins")["ok"], true);
}

#[test]
fn a_plugin_is_migrated_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("orders");
    std::fs::create_dir(&plugin).unwrap();
    let manifest = r#"{ "id": "orders", "name": "Orders", "version": "1.0.0", "description": "Orders", "author": "A",
        "type": ["mcp-connector"], "entry": "dist/index.js", "icon": "box",
        "capabilities": { "mcp": { "startCommand": "node mcp/index.js" } } }"#;
    std::fs::write(plugin.join("manifest.json"), manifest).unwrap();
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&plugin).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };

    let dry = hayloft(folder.path(), &["migrate-plugin", "orders", "--dry-run"]);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert!(text(&dry.stdout).contains("would write `src/index.ts`:\nimport { defineHayPlugin }"));
    assert_eq!(names(), ["manifest.json"]);

    let done = hayloft(folder.path(), &["migrate-plugin", "orders"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    for said in
        ["wrote `package.json`", "moved `manifest.json`", "manifest.json#icon: the icon is not carried over"]
    {
        assert!(text(&done.stdout).contains(said), "{}", text(&done.stdout));
    }
    assert_eq!(names(), ["manifest.json.migrated", "package.json", "src", "tsconfig.json"]);

    // Stands for the build.
    std::fs::create_dir(plugin.join("dist")).unwrap();
    std::fs::write(plugin.join("dist/index.js"), "").unwrap();
    let checked = hayloft(folder.path(), &["plugin", "check", "orders"]);
    assert!(checked.status.success(), "{}", text(&checked.stdout));
    let again = hayloft(folder.path(), &["migrate-plugin", "orders"]);
    assert!(text(&again.stderr).contains("there is nothing to migrate"), "{}", text(&again.stderr));
}

#[test]
fn a_migration_writes_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (plugin, elsewhere) = (folder.path().join("orders"), folder.path().join("elsewhere"));
    std::fs::create_dir(&plugin).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, plugin.join("src")).unwrap();
    let manifest = r#"{ "id": "orders", "name": "Orders", "version": "1.0.0", "description": "Orders", "author": "A",
        "type": ["mcp-connector"], "entry": "x.js", "capabilities": { "mcp": { "startCommand": "node x.js" } } }"#;
    std::fs::write(plugin.join("manifest.json"), manifest).unwrap();
    let output = hayloft(folder.path(), &["migrate-plugin", "orders"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("outside the plugin's"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    let left: Vec<_> = std::fs::read_dir(&plugin).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
