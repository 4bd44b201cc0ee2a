//! MCP servers that listen inside a jail: whatever they say or leave undone, the host speaks with them and nobody else.

use std::net::{TcpListener, TcpStream};

use hayloft_testkit::{Organization, PluginFolder};
use serde_json::json;

use crate::harness::{PATIENCE, Setup, Verdicts};

in_setups!(strongest Strongest, ordinary Ordinary: the_host_connects_to_nobody_else);

/// A server that is what it says.
const GOOD: &str = "
    const answers = {
      initialize: (params) => ({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } }),
      'tools/list': () => ({ tools: [{ name: 'act', inputSchema: { type: 'object' } }] }),
      'tools/call': () => ({ content: [{ type: 'text', text: 'from inside' }] }),
    };
    require('node:http').createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      if (request.method !== 'POST') return response.writeHead(405).end();
      const { id, method, params } = JSON.parse(text);
      if (id === undefined) return response.writeHead(202).end();
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result: answers[method]?.(params) ?? {} }));
    }).listen(process.env.PORT);";

/// A server that sends whoever asks it to the port that its second word names.
const REDIRECTING: &str = "
    let turn = 0;
    const to = ['127.0.0.1', 'localhost', '[::1]', 'hayloft.internal'];
    require('node:http').createServer((request, response) => {
      response.writeHead([307, 308, 301, 302][turn % 4], { location: `http://${to[turn++ % 4]}:${process.argv[2]}/mcp` }).end();
    }).listen(process.env.PORT);";

/// A server that names that port as the place to post to.
const POINTING: &str = "
    require('node:http').createServer((request, response) => {
      if (request.method !== 'GET') return response.writeHead(202).end();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`event: endpoint\\ndata: http://127.0.0.1:${process.argv[2]}/message\\n\\n`);
    }).listen(process.env.PORT);";

async fn the_host_connects_to_nobody_else(setup: Setup) {
    let mut verdicts = Verdicts::new(setup);
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let port = host.local_addr().unwrap().port();
    let plugins = PluginFolder::new();
    let add = |id: &str, start: &str, transport: &str, script: &str| {
        let manifest = json!({
            "id": format!("hay-plugin-{id}"), "name": id, "version": "1.0.0", "description": "x", "author": "x",
            "type": ["mcp-connector"], "entry": "./dist/index.js",
            "capabilities": { "mcp": { "connection": { "type": "local" }, "transport": transport, "startCommand": start, "tools": [] } },
        });
        let files = plugins.plugin(&format!("hay-plugin-{id}"));
        files.file("manifest.json", manifest.to_string()).file("server.cjs", script);
    };
    // The same port as the host's own.
    add("good", &format!("PORT={port} node server.cjs"), "http", GOOD);
    add(
        "absent",
        &format!("PORT={port} node server.cjs"),
        "http|websocket|sse",
        "setInterval(() => {}, 1000)",
    );
    add("redirecting", &format!("node server.cjs {port}"), "http|websocket|sse", REDIRECTING);
    add("pointing", &format!("node server.cjs {port}"), "sse", POINTING);
    let server = setup.server(&plugins).environment("HAYLOFT_LIMITS_OPEN_MCP", "3s").start().await;
    let acme = server.organization("Acme").await;

    acme.enable("hay-plugin-good", json!({})).await;
    let said = acme.call_tool("good__act", json!({})).await;
    verdicts.check(said.status == 200 && said.text().contains("from inside"), || {
        format!("a server on a port of its jail does not answer: {}", said.text())
    });
    for id in ["absent", "redirecting", "pointing"] {
        acme.enable(&format!("hay-plugin-{id}"), json!({})).await;
        let error = down(&acme, &format!("hay-plugin-{id}")).await;
        verdicts.check(!error.is_empty(), || format!("`{id}` is taken for a server"));
    }
    verdicts.check(host.accept().is_err(), || "the host was led to its own port".into());
    // The control: the port is open to whoever is in the host's network.
    #[expect(clippy::disallowed_methods, reason = "the test is who is in the host's network")]
    let _connected = TcpStream::connect(("127.0.0.1", port)).unwrap();
    host.set_nonblocking(false).unwrap();
    host.accept().unwrap();
    verdicts.done();
}

/// Waits until the host gave a server up; gives why.
async fn down(acme: &Organization, plugin: &str) -> String {
    let wait = async {
        loop {
            let detail = acme.get(&format!("plugins/{plugin}")).await.expect(200).json();
            if let Some(error) = detail["mcpServers"][0]["lastError"].as_str() {
                return error.to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_default()
}
