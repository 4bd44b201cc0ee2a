//! The outside by name: unmodified programs reach what their plugin was granted, and see an ordinary failure elsewhere.

use std::process::Command;

use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{Organization, PluginFolder, TestServer, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres::Postgres;
use crate::support::{text_of, until, workspace_file};

const PLUGIN: &str = "hay-plugin-network";

/// The outside, a server whose one plugin may reach it, and an organization that uses it.
struct World {
    acme: Organization,
    server: TestServer,
    outside: NodeService,
    _plugins: PluginFolder,
    _folder: TempDir,
}

fn fixture(name: &str) -> String {
    let path = workspace_file(&format!("tests/functional/fixtures/{name}"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The drivers with all that they need, in one file.
#[expect(clippy::disallowed_methods, reason = "the test builds what it tests with")]
fn drivers() -> String {
    let script = "
        const options = { bundle: true, platform: 'node', format: 'cjs', external: ['pg-native'], write: false };
        const { outputFiles } = require('esbuild').buildSync({ ...options, entryPoints: [process.argv[1]] });
        process.stdout.write(outputFiles[0].text);";
    let bundled = Command::new(workspace::node())
        .args(["-e", script])
        .arg(workspace_file("tests/functional/fixtures/drivers.cjs"))
        .current_dir(workspace_file(""))
        .output()
        .expect("Node runs");
    assert!(bundled.status.success(), "{}", String::from_utf8_lossy(&bundled.stderr));
    String::from_utf8(bundled.stdout).expect("a text")
}

impl World {
    /// With further grants, each `HOST:PORT=ADDRESS`.
    async fn start(isolation: &str, grants: &[String]) -> Self {
        let outside =
            NodeService::start::<&str>(&workspace_file("tests/functional/fixtures/outside.cjs"), &[], &[]);
        let port = |name: &str| outside.announcement()[name].as_u64().expect("a port");
        let mut private = vec![
            format!("api.outside.test:443=127.0.0.1:{}", port("secure")),
            format!("api.outside.test:80=127.0.0.1:{}", port("web")),
            format!("raw.outside.test:7000=127.0.0.1:{}", port("raw")),
            format!("mail.outside.test:587=127.0.0.1:{}", port("mail")),
            String::from("nobody.outside.test:80=127.0.0.1:1"),
        ];
        private.extend(grants.iter().cloned());
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("hayloft.toml");
        let text = format!("[network.private]\n{PLUGIN} = {}\n", json!(private));
        std::fs::write(&config, text).expect("a configuration");
        let plugins = PluginFolder::new();
        plugins
            .hay_package(PLUGIN, &["mcp"], &fixture("network-plugin.mjs"))
            .file("drivers.cjs", drivers())
            .file("outside-cert.pem", fixture("outside-cert.pem"));
        let server = TestServer::builder()
            .plugins(plugins.path())
            .isolation(isolation)
            .environment("HAYLOFT_STRONGEST_ISOLATION", if isolation == "B" { "A" } else { isolation })
            .environment("HAYLOFT_CONFIG", config.to_str().expect("a path in UTF-8"))
            .start()
            .await;
        let acme = server.organization("Acme").await;
        acme.enable(PLUGIN, json!({})).await;
        let path = format!("plugins/{PLUGIN}");
        until("the plugin", async || acme.get(&path).await.expect(200).json()["state"] == "ready").await;
        Self { acme, server, outside, _plugins: plugins, _folder: folder }
    }

    /// What a piece of the plugin's code gives, or the code of its error.
    async fn run(&self, code: &str) -> Value {
        let said = text_of(self.acme.call_tool("network__run", json!({ "code": code })).await);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("it said: {said}"))
    }

    #[track_caller]
    fn gives<'a>(&'a self, code: &'a str, expected: Value) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move { assert_eq!(self.run(code).await, json!({ "value": expected }), "{place}") }
    }
}

/// Asks the web service in three ways.
const FETCH: &str = "return await (await fetch('http://api.outside.test/a?b=c')).json()";
const FETCH_TLS: &str = "
    const tls = require('node:tls');
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), ca]);
    return await (await fetch('https://api.outside.test/a', { method: 'POST', body: 'x'.repeat(1e6) })).json()";
const REQUEST_TLS: &str = "
    return await new Promise((done, fail) => require('node:https').get('https://api.outside.test/b', { ca }, (response) => {
      let text = ''; response.on('data', (data) => text += data).on('end', () => done(JSON.parse(text).url));
    }).on('error', fail))";
const RAW: &str = "
    return await new Promise((done, fail) => {
      let text = '';
      const socket = require('node:net').connect(7000, 'raw.outside.test');
      socket.on('data', (data) => { text += data; if (text === 'welcome\\n') socket.end('hello'); });
      socket.on('end', () => done(text)).on('error', fail);
    })";
const MAIL: &str = "
    const transport = drivers().nodemailer.createTransport({ host: 'mail.outside.test', port: 587, requireTLS: true, tls: { ca, servername: 'api.outside.test' } });
    await transport.sendMail({ from: 'a@acme.test', to: 'b@acme.test', subject: 'It works', text: 'canary in a mail' });
    return 'sent'";

#[tokio::test]
async fn unmodified_programs_reach_what_was_granted() {
    let mut world = World::start("B", &[]).await;
    let answer = json!({ "host": "api.outside.test", "url": "/a?b=c", "received": 0 });
    world.gives(FETCH, answer.clone()).await;
    world.gives(FETCH_TLS, json!({ "host": "api.outside.test", "url": "/a", "received": 1_000_000 })).await;
    world.gives(REQUEST_TLS, json!("/b")).await;
    world.gives(RAW, json!("welcome\nHELLO")).await;

    // Names are looked up as everywhere, and have one address each.
    let names = "const dns = require('node:dns').promises;
        const { address, family } = await dns.lookup('api.outside.test');
        const again = await dns.resolve4('api.outside.test');
        return [address.startsWith('198.18.'), family, again[0] === address, again.length]";
    world.gives(names, json!([true, 4, true, 1])).await;
    let six = "return await require('node:dns').promises.resolve6('api.outside.test')";
    assert_eq!(world.run(six).await, json!({ "error": "ENODATA" }));

    // A child process has the same network.
    let child = "return JSON.parse(await child(`fetch('http://api.outside.test/a?b=c').then(async (r) => console.log(await r.text()))`))";
    world.gives(child, answer).await;
    world.server.terminate().await;
}

#[tokio::test]
async fn what_was_not_granted_fails_as_a_network_does_and_is_taken_down() {
    let mut world = World::start("B", &[]).await;
    for (code, errors) in [
        ("await fetch('http://evil.outside.test/')", &["ENOTFOUND"][..]),
        ("await require('node:dns').promises.lookup('evil.outside.test')", &["ENOTFOUND"]),
        ("await require('node:dns').promises.resolve4('canary.evil.test')", &["ENOTFOUND"]),
        ("await fetch('http://api.outside.test:7000/')", &["ECONNRESET", "UND_ERR_SOCKET"]),
        ("await fetch('http://api.outside.test:81/')", &["ECONNREFUSED"]),
        ("await fetch('http://nobody.outside.test/')", &["ECONNRESET", "UND_ERR_SOCKET"]),
        ("await fetch('http://127.0.0.1:8099/')", &["ECONNREFUSED"]),
    ] {
        let outcome = world.run(code).await;
        let error = outcome["error"].as_str().unwrap_or_else(|| panic!("{code}: {outcome}"));
        assert!(errors.contains(&error), "{code}: {error}");
    }
    let mut told = Value::Null;
    until("the audit trail", async || {
        told = world.acme.get("audit").await.expect(200).json();
        let told = told.to_string();
        ["evil.outside.test", "canary.evil.test", "api.outside.test"].iter().all(|host| told.contains(*host))
    })
    .await;
    let entries = told["entries"].as_array().expect("entries");
    let refusals: Vec<_> = entries.iter().filter(|entry| entry["action"] == "network.refused").collect();
    let named = |host: &str| refusals.iter().find(|entry| entry["detail"]["host"] == host);
    let denied = named("api.outside.test").expect("the wrong port is taken down");
    assert_eq!((&denied["detail"]["port"], &denied["detail"]["reason"]), (&json!(7000), &json!("port")));
    assert_eq!(denied["subject"], PLUGIN);
    let denied = named("evil.outside.test").expect("the wrong name is taken down");
    assert_eq!(denied["detail"]["reason"], "host");
    // Its people read it in the plugin's own log.
    let logs = world.acme.get(&format!("plugins/{PLUGIN}/logs")).await.expect(200).text();
    assert!(logs.contains("`evil.outside.test` was not looked up"), "{logs}");
    let metrics = world.server.admin().get("/metrics").await.expect(200).text();
    assert!(metrics.contains("hayloft_egress_refusals_total{reason=\"host\"}"), "{metrics}");
    world.server.terminate().await;
}

#[tokio::test]
async fn mail_is_sent_to_a_real_server() {
    let mut world = World::start("B", &[]).await;
    world.gives(MAIL, json!("sent")).await;
    let mails = "return (await (await fetch('http://api.outside.test/mails')).json()).map(({ text, ...mail }) => [mail, text.includes('canary in a mail')])";
    let mail = json!({ "from": "a@acme.test", "to": ["b@acme.test"], "secure": true });
    world.gives(mails, json!([[mail, true]])).await;
    world.server.terminate().await;
}

#[tokio::test]
async fn a_database_is_used_by_its_driver() {
    let postgres = Postgres::start().await;
    let mut world = World::start("B", &[format!("db.outside.test:5432={}", postgres.address())]).await;
    let code = "
        const { Pool } = drivers().pg;
        const pool = new Pool({ host: 'db.outside.test', port: 5432, user: 'hayloft', database: 'postgres', max: 4 });
        await pool.query('create table notes (id serial primary key, text text)');
        await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query('insert into notes (text) values ($1)', ['note ' + n])));
        const { rows } = await pool.query('select count(*)::int as n, max(length(text)) as longest from notes');
        const large = await pool.query(`select repeat('x', 3000000) as text`);
        await pool.end();
        return [rows[0].n, rows[0].longest, large.rows[0].text.length]";
    world.gives(code, json!([20, 7, 3_000_000])).await;
    world.server.terminate().await;
}

#[tokio::test]
async fn without_namespaces_programs_of_node_reach_the_same() {
    let mut world = World::start("C", &[]).await;
    world.gives(FETCH, json!({ "host": "api.outside.test", "url": "/a?b=c", "received": 0 })).await;
    world.gives(FETCH_TLS, json!({ "host": "api.outside.test", "url": "/a", "received": 1_000_000 })).await;
    world.gives(REQUEST_TLS, json!("/b")).await;
    world.gives(RAW, json!("welcome\nHELLO")).await;
    world.gives(MAIL, json!("sent")).await;
    let refused = world.run("await fetch('http://evil.outside.test/')").await;
    assert!(refused["error"].is_string(), "{refused}");
    let refused = world.run("await fetch('http://127.0.0.1:8099/')").await;
    assert_eq!(refused["error"], "EACCES");
    assert!(world.outside.pid() > 0);
    world.server.terminate().await;
}
