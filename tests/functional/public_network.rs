//! An operator may let plugins without a list reach every public host, and no other address. The public internet is one
//! of the test's own, so that it is there on every machine.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use hayloft_testkit::http_client::request;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{HttpClient, Organization, PluginFolder, TestServer};
use http::Method;
use serde_json::{Value, json};

use crate::support::{text_of, workspace_file};

const PLUGIN: &str = "hay-plugin-network";

/// An address of the public internet. It is the machine's own in the network of this test.
const SERVICE: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);

/// Gives this test a network of its own, with that address and a name server in it.
const OWN_NETWORK: &str = "
    set -eu
    ip link set lo up
    ip address add \"$1/32\" dev lo
    mount --bind \"$2\" /etc/resolv.conf
    exec \"$3\" --exact \"$4\" --nocapture";

/// Runs a test again, in a network of its own.
fn in_own_network(test: &str) {
    let names = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(names.path(), "nameserver 127.0.0.1\n").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a network can only be left by a process")]
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--net", "--mount", "--propagation", "private"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["/bin/sh", "-c", OWN_NETWORK, "sh", &SERVICE.to_string()]);
    command.arg(names.path()).arg(std::env::current_exe().unwrap()).arg(test);
    let output = command.output().expect("`unshare` of util-linux");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

struct World {
    acme: Organization,
    server: TestServer,
    _plugins: PluginFolder,
}

impl World {
    async fn start(default: &str) -> Self {
        let fixture = |name: &str| {
            std::fs::read_to_string(workspace_file(&format!("tests/functional/fixtures/{name}"))).unwrap()
        };
        let plugins = PluginFolder::new();
        plugins
            .hay_package(PLUGIN, &["mcp"], &fixture("network-plugin.mjs"))
            .file("outside-cert.pem", fixture("outside-cert.pem"));
        let server = TestServer::builder()
            .plugins(plugins.path())
            .environment("HAYLOFT_NETWORK_DEFAULT", default)
            .start()
            .await;
        let acme = server.organization("Acme").await;
        let detail = acme.enable(PLUGIN, json!({})).await;
        assert_eq!(detail["state"], "ready", "{detail:#}");
        Self { acme, server, _plugins: plugins }
    }

    /// What a piece of the plugin's code gives, or the code of its error.
    async fn run(&self, code: &str) -> Value {
        let said = text_of(self.acme.call_tool("network__run", json!({ "code": code })).await);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("it said: {said}"))
    }
}

/// Where a name leads.
fn lookup(name: &str) -> String {
    format!("return (await require('node:dns').promises.lookup('{name}')).address")
}

/// What a host says over TLS.
fn secure(name: &str) -> String {
    format!(
        "return await new Promise((done, fail) => require('node:https').get('https://{name}/', {{ rejectUnauthorized: false }}, (response) => {{
           let text = ''; response.on('data', (data) => text += data).on('end', () => done(JSON.parse(text).host));
         }}).on('error', fail))"
    )
}

#[test]
fn public_hosts_are_reached_by_default_where_the_operator_says_so() {
    if TcpListener::bind((SERVICE, 0)).is_err() {
        return in_own_network(
            "public_network::public_hosts_are_reached_by_default_where_the_operator_says_so",
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(public_hosts_alone());
}

async fn public_hosts_alone() {
    let script = workspace_file("tests/functional/fixtures/internet.cjs");
    let internet = NodeService::start(&script, &[SERVICE.to_string()], &[]);
    let told = async || {
        let url = format!("http://127.0.0.1:{}/told", internet.announcement()["told"]);
        HttpClient::new().send(request(&Method::GET, &url, &[], String::new())).await.expect(200).json()
    };
    let mut world = World::start("public").await;
    let address = world.run(&lookup("shop.example.com")).await;
    assert!(address["value"].as_str().is_some_and(|address| address.starts_with("198.18.")), "{address}");
    let plain = "return (await (await fetch('http://shop.example.com/')).json()).host";
    assert_eq!(world.run(plain).await, json!({ "value": "shop.example.com" }));
    assert_eq!(world.run(&secure("shop.example.com")).await, json!({ "value": "shop.example.com" }));
    let service = [format!("{SERVICE}:80"), format!("{SERVICE}:443")];
    assert_eq!(told().await["connections"], json!(service));

    // Names that are nobody's there do not exist; public ones that lead elsewhere lead nowhere, as do bare addresses.
    for name in ["metadata.google.internal", "localhost.localdomain", "printer.lan"] {
        assert_eq!(world.run(&lookup(name)).await, json!({ "error": "ENOTFOUND" }), "{name}");
    }
    for name in ["inside.example.com", "loopback.example.com", "metadata.example.com"] {
        let outcome = world.run(&secure(name)).await;
        let error = outcome["error"].as_str().unwrap_or_else(|| panic!("{name}: {outcome}"));
        assert_eq!(error, "ECONNRESET", "{name}");
    }
    for address in ["127.0.0.1", "10.0.0.5", "169.254.169.254", "93.184.216.34"] {
        let outcome = world.run(&secure(address)).await;
        let error = outcome["error"].as_str().unwrap_or_else(|| panic!("{address}: {outcome}"));
        // The jail's own way out listens at every address of the jail, and knows no host by that name.
        assert!(["ECONNRESET", "ECONNREFUSED", "ENETUNREACH"].contains(&error), "{address}: {error}");
    }
    let other_port = world.run("await fetch('http://shop.example.com:8053/')").await;
    assert!(other_port["error"].is_string(), "{other_port}");
    let outcome = told().await;
    assert_eq!(outcome["connections"], json!(service));
    // They were looked up, and it is where they lead that was refused.
    for name in ["inside.example.com", "loopback.example.com", "metadata.example.com"] {
        assert!(outcome["questions"].as_array().unwrap().contains(&json!(name)), "{outcome:#}");
    }
    world.server.terminate().await;

    // The same plugin under the other default.
    let mut world = World::start("deny").await;
    for name in ["shop.example.com", "metadata.google.internal"] {
        assert_eq!(world.run(&lookup(name)).await, json!({ "error": "ENOTFOUND" }), "{name}");
    }
    let refused = world.run(&secure("shop.example.com")).await;
    assert_eq!(refused, json!({ "error": "ENOTFOUND" }));
    assert_eq!(told().await["connections"], json!(service));
    world.server.terminate().await;
}
