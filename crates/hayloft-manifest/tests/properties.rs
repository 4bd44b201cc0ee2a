//! Whatever bytes a folder or a worker holds, the readers answer with problems and never panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its own files must fail at once")]

use std::fs;

use hayloft_manifest::{content_hash, probe, read_plugin, registration};
use hayloft_model::PluginDescriptor;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

fn descriptor() -> PluginDescriptor {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.js"), "").unwrap();
    let manifest =
        r#"{ "name": "p", "version": "1.0.0", "main": "index.js", "hay-plugin": { "env": ["A"] } }"#;
    fs::write(folder.path().join("package.json"), manifest).unwrap();
    read_plugin(folder.path()).0.unwrap()
}

/// Any JSON, with keys that the readers look for more often than chance would.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "apiKey",
            "oauth2",
            "jwt",
            "string",
            "A",
            "mcp-connector",
            "stdio|http",
            "cd mcp && node index.js",
            "remote",
            "fetch",
            ">=18",
            "index.js",
            "https://x.example/mcp",
            "GET",
            "/x/:y",
            "0 * * * *",
            "https://x.example/"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "name",
        "version",
        "main",
        "hay-plugin",
        "entry",
        "env",
        "capabilities",
        "category",
        "channel",
        "config",
        "configSchema",
        "authMethods",
        "mcp",
        "local",
        "external",
        "uiExtensions",
        "pages",
        "routes",
        "crons",
        "webhookRouting",
        "hooks",
        "type",
        "id",
        "label",
        "method",
        "path",
        "schedule",
        "regex",
        "options",
        "default",
        "signature",
        "secretEnv",
        "clientId",
        "clientSecret",
        "tokenUrl",
        "authorizationUrl",
        "capabilities",
        "connection",
        "url",
        "transport",
        "startCommand",
        "installCommand",
        "serverPath",
        "tools",
        "input_schema",
        "inputSchema",
        "$ref",
        "properties",
        "auth",
        "methods",
        "oauth",
        "api",
        "ui",
        "handler",
        "middleware",
        "component",
        "components",
        "meta",
        "permissions",
        "scopes",
        "settingsExtensions",
        "slot",
        "props",
        "marketplace",
        "tags",
        "engines",
        "hatago",
        "workers",
        "procedures",
        "__proto__",
    ]);
    prop_oneof![4 => known.prop_map(String::from), 1 => any::<String>()]
}

/// Manifests of all formats.
const MANIFESTS: [&str; 3] = ["package.json", "manifest.json", "hatago.plugin.json"];

/// Reads folders of which each holds the given bytes as the manifest of another format.
fn read(bytes: &[u8]) {
    for name in MANIFESTS {
        read_as(name, bytes);
    }
}

fn read_as(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    fs::write(folder.path().join("index.js"), "").unwrap();
    let (descriptor, problems) = read_plugin(folder.path());
    assert_eq!(descriptor.is_none(), problems.has_errors(), "{problems}");
    let shown = problems.to_string();
    assert!(!shown.contains(|character: char| character.is_control() && character != '\n'), "{shown:?}");
    let (evidence, missing) = probe(folder.path());
    assert_eq!(evidence.is_none(), missing.has_errors());
    content_hash(folder.path()).unwrap();
}

/// A failing case stays beside this file, so that it is tried first from then on.
fn kept() -> ProptestConfig {
    let persistence = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(persistence)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(kept())]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read(&bytes);
    }

    #[test]
    fn any_text_around_a_manifest_is_read(before in "\\PC{0,20}", after in "\\PC{0,20}") {
        read(format!("{before}{{\"name\":\"x\",\"hay-plugin\":{{{after}}}}}").as_bytes());
    }

    #[test]
    fn any_manifest_is_read(manifest in any_json(), root in any_json()) {
        let package = json!({ "name": "x", "version": "1.0.0", "hay-plugin": manifest });
        read(package.to_string().as_bytes());
        read(root.to_string().as_bytes());
    }

    #[test]
    fn any_declaration_is_read(mcp in any_json(), api in any_json(), ui in any_json(), rest in any_json()) {
        let mut manifest = json!({
            "id": "x", "name": "X", "version": "1.0.0", "description": "x", "author": "x", "type": ["channel"],
            "entry": "index.js", "capabilities": { "mcp": mcp, "api": api, "ui": ui },
            "configSchema": rest, "permissions": rest, "settingsExtensions": rest,
        });
        read_as("manifest.json", manifest.to_string().as_bytes());
        manifest["capabilities"] = rest;
        manifest["engines"] = mcp;
        read_as("hatago.plugin.json", manifest.to_string().as_bytes());
    }

    #[test]
    fn any_class_is_read(source in "\\PC{0,60}", inside in "[a-z{}\\[\\]()'\"`:,$\\\\ /*.0-9\n]{0,60}") {
        let folder = tempfile::tempdir().unwrap();
        let package = json!({ "name": "x", "version": "1.0.0", "main": "index.js", "hay-plugin": {} });
        fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
        let source = format!("class P extends HayPlugin {{ constructor() {{ super({{{inside}{source}}}) }} }}");
        fs::write(folder.path().join("index.js"), source).unwrap();
        let (descriptor, problems) = read_plugin(folder.path());
        prop_assert_eq!(descriptor.is_none(), problems.has_errors(), "{}", problems);
    }

    #[test]
    fn any_registration_is_read(message in any_json(), routes in any_json(), schema in any_json()) {
        let whole = json!({ "name": "x", "routes": routes, "configSchema": schema, "authMethods": message });
        for message in [message, whole] {
            let raw = serde_json::value::to_raw_value(&message).unwrap();
            let (registration, problems) = registration::read(&raw, &descriptor());
            // What was accepted must itself be acceptable: reading it again finds no new error.
            let again = serde_json::value::to_raw_value(&registration).unwrap();
            let (second, more) = registration::read(&again, &descriptor());
            prop_assert!(!more.has_errors(), "{problems}\n--- again\n{more}");
            prop_assert_eq!(second, registration);
        }
    }
}
