//! Patterns and schemas of plugin authors are data: none of them makes the host think long or ask anybody.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use hayloft_testkit::PluginFolder;
use serde_json::json;

use crate::harness::Setup;

/// What the host may take for an answer, all of its other work included.
const BOUND: Duration = Duration::from_secs(2);

/// Patterns on which an engine that tries all ways does not come to an end.
const EVIL: [&str; 15] = [
    "^(a+)+$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "^([a-zA-Z]+)*$",
    "(.*a){25}$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(a?){40}a{40}",
    "^(.+)+\\\\d$",
    "(x+x+)+y",
    "^(a*)*b$",
    "^((ab)*)*c$",
    "([^\\\\s]+\\\\s?)*$",
    "^(\\\\w+\\\\s?)*$",
    "(.*)*(.*)*(.*)*=",
    "^(?:a|b|ab)*c$",
];

#[tokio::test]
async fn evil_patterns_cost_nothing() {
    let plugins = PluginFolder::new();
    let fields: Vec<_> = EVIL
        .iter()
        .enumerate()
        .map(|(n, pattern)| format!("f{n}: {{ type: 'string', regex: '{pattern}' }}"))
        .collect();
    let tools: Vec<_> = EVIL
        .iter()
        .enumerate()
        .map(|(n, pattern)| format!("{{ name: 't{n}', inputSchema: {{ type: 'object', properties: {{ a: {{ type: 'string', pattern: '{pattern}' }} }} }} }}"))
        .collect();
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({{ register }}) => ({{ name: 'x',\n\
           onInitialize() {{ register.config({{ {} }}); }},\n\
           onStart: ({{ mcp }}) => mcp.startLocal('main', () => ({{ listTools: () => [{}], callTool: () => 'ok' }})) }}));",
        fields.join(", "),
        tools.join(", "),
    );
    plugins.hay_package("hay-plugin-evil", &["mcp", "config"], &entry);
    let server = Setup::Strongest.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-evil", json!({})).await;
    let long = format!("{}!", "a".repeat(5_000));
    for (n, pattern) in EVIL.iter().enumerate() {
        let begun = Instant::now();
        acme.put("plugins/hay-plugin-evil", &json!({ "config": { (format!("f{n}")): long } })).await;
        assert!(begun.elapsed() < BOUND, "the field with `{}` took {:?}", pattern, begun.elapsed());
        let begun = Instant::now();
        acme.call_tool(&format!("evil__t{n}"), json!({ "a": long })).await;
        assert!(begun.elapsed() < BOUND, "the tool with `{}` took {:?}", pattern, begun.elapsed());
    }
}

#[tokio::test]
async fn schemas_ask_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let schemas = [
        json!({ "type": "object", "properties": { "a": { "$ref": format!("http://127.0.0.1:{port}/schema.json") } } }),
        json!({ "type": "object", "properties": { "a": { "$ref": "file:///etc/passwd" } } }),
        json!({ "type": "object", "$ref": "#" }),
        json!({ "type": "object", "$defs": { "x": { "$ref": "#/$defs/y" }, "y": { "$ref": "#/$defs/x" } }, "properties": { "a": { "$ref": "#/$defs/x" } } }),
        json!({ "type": "object", "$schema": format!("http://127.0.0.1:{port}/meta.json") }),
        json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/none" } } }),
        json!({ "type": "object", "allOf": [{ "$ref": "#/allOf/0" }] }),
    ];
    let plugins = PluginFolder::new();
    for (n, schema) in schemas.iter().enumerate() {
        let entry = format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
             export default defineHayPlugin(() => ({{ name: 'x',\n\
               onStart: ({{ mcp }}) => mcp.startLocal('main', () => ({{ listTools: () => [{{ name: 'act', inputSchema: {schema} }}, {{ name: 'fine', inputSchema: {{ type: 'object' }} }}], callTool: () => 'ok' }})) }}));"
        );
        plugins.hay_package(&format!("hay-plugin-schema-{n}"), &["mcp"], &entry);
    }
    plugins.hay_package("hay-plugin-neighbour", &["mcp"], "import { defineHayPlugin } from '@hay/plugin-sdk';
         export default defineHayPlugin(() => ({ name: 'x', onStart: ({ mcp }) => mcp.startLocal('main', () => ({ listTools: () => [{ name: 'act', inputSchema: { type: 'object' } }], callTool: () => 'ok' })) }));");
    let server = Setup::Strongest.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-neighbour", json!({})).await;
    for (n, schema) in schemas.iter().enumerate() {
        acme.put(&format!("plugins/hay-plugin-schema-{n}"), &json!({ "enabled": true, "config": {} })).await;
        let begun = Instant::now();
        let answer = acme.call_tool(&format!("schema_{n}__act"), json!({ "a": { "a": [1] } })).await;
        assert!(begun.elapsed() < BOUND, "the schema {} took {:?}", schema, begun.elapsed());
        assert!(!answer.text().contains("root:"), "{}", answer.text());
        acme.call_tool("neighbour__act", json!({})).await.expect(200);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the host fetched a schema");
}
