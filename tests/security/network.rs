//! The network ends at the jail's own wall: no socket of the host or of another worker, no address outside.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{HOSTILE, Setup, Verdicts, World, canary, words};

in_every_setup!(
    sockets_with_abstract_names_are_out_of_reach,
    sockets_of_other_workers_are_out_of_reach,
    the_hosts_own_ports_are_out_of_reach,
    taken_ports_catch_nothing,
    nothing_outside_is_reached,
);

async fn sockets_with_abstract_names_are_out_of_reach(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let name = canary("abstract");
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    // The control: whoever is outside gets there.
    drop(UnixStream::connect_addr(&address).unwrap());
    listener.accept().unwrap();
    verdicts.refused_with(
        &world.attack(&["abstract-connect", &name]).await,
        &["ECONNREFUSED", "EPERM", "EACCES"],
    );
    verdicts.check(listener.accept().is_err(), || "a connection arrived".into());
    // Another worker's, and the own one as a control.
    let listen = "await new Promise((done, fail) => { globalThis.server = require('net').createServer((s) => s.on('error', () => {}).end('hello')).on('error', fail).listen('\\0' + input, done) }); return true";
    let theirs = canary("worker");
    world.run(&world.victim, listen, json!(theirs)).await;
    verdicts.refused_with(
        &world.attack(&["abstract-connect", &theirs]).await,
        &["ECONNREFUSED", "EPERM", "EACCES"],
    );
    verdicts.succeeded(&world.attack_as(&world.victim, &["abstract-connect", &theirs]).await);
    verdicts.done();
    world.end().await;
}

async fn sockets_of_other_workers_are_out_of_reach(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    // A socket of the host that everybody may connect to.
    let folder = tempfile::Builder::new().prefix("hayloft-socket-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    drop(UnixStream::connect(&path).unwrap());
    listener.accept().unwrap();
    let outcome = world.attack(&["unix-connect", path.to_str().unwrap()]).await;
    if setup.has_namespaces() {
        verdicts.refused_with(&outcome, &["ENOENT"]);
        verdicts.check(listener.accept().is_err(), || "a connection arrived".into());
    }
    // The socket of another worker, and the one through which it reaches the Plugin API.
    let home = world.home(&world.victim).await;
    let listen = "const path = process.env.HOME + '/own.sock'; await new Promise((done, fail) => { globalThis.server = require('net').createServer((s) => s.on('error', () => {}).end('hello')).on('error', fail).listen(path, done) }); return path";
    let socket = world.run(&world.victim, listen, json!(null)).await;
    verdicts.succeeded(&world.attack_as(&world.victim, &["unix-connect", socket.as_str().unwrap()]).await);
    let gate = format!("{home}/gate.sock");
    // Without namespaces workers of one user can spell each other's folders, and Landlock does not judge a connection to
    // a socket with a path: what counts there is that the gate takes nobody for another, which is asked below.
    let same_user = setup == Setup::OrdinaryLandlock;
    if !same_user {
        verdicts.refused_with(&world.attack(&["unix-connect", &gate]).await, &["ENOENT", "EACCES", "EPERM"]);
    }
    if !same_user && (!setup.has_namespaces() || home != "/tmp") {
        verdicts.refused_with(
            &world.attack(&["unix-connect", socket.as_str().unwrap()]).await,
            &["ENOENT", "EACCES", "EPERM"],
        );
    }
    let ask = "
        return await new Promise((done, fail) => require('http').get({ socketPath: input, path: '/v1/plugin-api/health', headers: { host: 'hayloft.internal' } }, (response) => {
          let text = ''; response.on('data', (chunk) => text += chunk); response.on('end', () => done(response.statusCode + ' ' + text));
        }).on('error', fail))";
    let asked = world.attempts(&world.attacker, &[("ask as the victim", ask)], json!(gate)).await;
    verdicts.refused(&asked[0]);
    // What the list of sockets tells.
    let listed = world
        .attempts(
            &world.attacker,
            &[
                ("list sockets", "return fs.readFileSync('/proc/net/unix', 'utf8')"),
                ("list own sockets", "return fs.readFileSync('/proc/self/net/unix', 'utf8')"),
            ],
            json!(null),
        )
        .await;
    for outcome in &listed {
        verdicts.check(
            !outcome.detail.contains(&*path.display().to_string()) && !outcome.detail.contains("scratch"),
            || format!("{} shows paths of other sockets", outcome.act),
        );
    }
    for path in [
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/var/run/postgresql/.s.PGSQL.5432",
    ] {
        verdicts.refused(&world.attack(&["unix-connect", path]).await);
    }
    its_own_gate_answers(&world, &mut verdicts).await;
    verdicts.done();
    world.end().await;
}

async fn the_hosts_own_ports_are_out_of_reach(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let four = TcpListener::bind("127.0.0.1:0").unwrap();
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let server: SocketAddr = world.server.url().trim_start_matches("http://").parse().unwrap();
    let mut ports = vec![four.local_addr().unwrap().port(), server.port()];
    ports.extend(six.iter().map(|listener| listener.local_addr().unwrap().port()));
    let addresses = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "127.1.2.3", "198.18.0.1"];
    let acts: Vec<_> = ports
        .iter()
        .flat_map(|port| addresses.map(|address| words(&format!("tcp-connect {address} {port}"))))
        .chain(["127.0.0.1", "::1"].map(|address| words(&format!("tcp-connect {address} 22"))))
        .collect();
    for outcome in world.attacks(&acts).await {
        verdicts.refused(&outcome);
    }
    for listener in std::iter::once(&four).chain(&six) {
        listener.set_nonblocking(true).unwrap();
        verdicts.check(listener.accept().is_err(), || "a connection arrived".into());
        // The control: the way there is open for others.
        #[expect(clippy::disallowed_methods, reason = "the test is who is in the host's network")]
        let connected = TcpStream::connect(listener.local_addr().unwrap());
        drop(connected.unwrap());
    }
    // The own loopback interface is the worker's own affair.
    if setup.has_namespaces() {
        let own = "const server = require('net').createServer((s) => s.end('own')); await new Promise((done) => server.listen(0, '127.0.0.1', done));
            const text = await new Promise((done, fail) => require('net').connect(server.address().port, '127.0.0.1').on('data', (d) => done(String(d))).on('error', fail)); server.close(); return text";
        verdicts.check(world.run(&world.attacker, own, json!(null)).await == "own", || {
            "its own loopback does not work".into()
        });
        let devices = world
            .run(&world.attacker, "return Object.keys(require('os').networkInterfaces())", json!(null))
            .await;
        let only_own =
            devices.as_array().unwrap().iter().all(|name| name.as_str().unwrap().starts_with("lo"));
        verdicts.check(only_own, || format!("it has {devices}"));
    }
    verdicts.done();
    world.end().await;
}

async fn taken_ports_catch_nothing(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let squat = "
        const net = require('net');
        globalThis.caught = [];
        let bound = 0;
        const listen = (where) => new Promise((done) => {
          const server = net.createServer((socket) => { socket.on('data', (data) => globalThis.caught.push(String(data))); });
          server.on('error', () => done()).listen(where, () => { bound++; done(); });
        });
        for (let port = 1024; port < 1624; port++) await listen({ port, host: '127.0.0.1' });
        for (const host of ['198.18.0.1', '0.0.0.0', '::']) await listen({ port: 80, host });
        await listen({ port: Number(input.port), host: '127.0.0.1' });
        for (const path of input.paths) await listen({ path });
        return bound";
    let server = world.server.url();
    let port = server.rsplit(':').next().unwrap();
    let scratch = world.server.data_folder().join("scratch");
    let home = world.home(&world.victim).await;
    let taken = world.run(&world.attacker, squat, json!({ "port": port, "paths": [format!("{home}/gate.sock"), scratch.join("gate.sock"), scratch.join("http.sock")] })).await;
    if setup.has_namespaces() {
        verdicts.check(taken.as_u64() > Some(500), || format!("it could take only {taken}"));
    } else {
        verdicts.check(taken == 0, || format!("it could take {taken}"));
    }
    // The victim starts, crashes and starts again; all of its requests arrive at itself.
    let message = canary("request");
    for round in 0..3 {
        let answer = world
            .victim
            .route(&Method::GET, HOSTILE, "/headers", &[("x-message", &message)], "")
            .await
            .expect(200)
            .json();
        verdicts
            .check(answer["headers"]["x-message"] == *message, || format!("round {round} answered {answer}"));
        if round == 1 {
            world.try_run(&world.victim, "hostile__run", "process.exit(1)", json!(null)).await;
        }
    }
    let health = world
        .run(
            &world.victim,
            "return (await fetch('http://hayloft.internal/v1/plugin-api/health?' + input)).status",
            json!(message),
        )
        .await;
    verdicts.check(health == 200, || format!("the victim's gate answered {health}"));
    let caught = world.run(&world.attacker, "return globalThis.caught", json!(null)).await;
    verdicts.check(caught == json!([]), || format!("the attacker caught {caught}"));
    verdicts.done();
    world.end().await;
}

/// Listens at the address that this machine has on its network.
struct Beside {
    streams: TcpListener,
    datagrams: UdpSocket,
}

impl Beside {
    fn listen() -> Self {
        // Nothing is sent: the address is the one from which it would be.
        let unsent = UdpSocket::bind("0.0.0.0:0").unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test asks for the machine's own address")]
        unsent.connect("198.51.100.1:9").unwrap();
        let address = unsent.local_addr().unwrap().ip();
        assert!(!address.is_loopback() && !address.is_unspecified(), "{address}");
        let streams = TcpListener::bind((address, 0)).unwrap();
        let datagrams = UdpSocket::bind((address, 0)).unwrap();
        streams.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        Self { streams, datagrams }
    }

    /// What a worker does to get here.
    fn acts(&self) -> Vec<Vec<String>> {
        let act =
            |act: &str, address: SocketAddr| words(&format!("{act} {} {}", address.ip(), address.port()));
        vec![
            act("tcp-connect", self.streams.local_addr().unwrap()),
            act("udp-send", self.datagrams.local_addr().unwrap()),
        ]
    }

    /// Nothing arrived, and what is sent by others does.
    fn saw_nothing(self, verdicts: &mut Verdicts) {
        verdicts.check(self.streams.accept().is_err(), || "a connection arrived".into());
        verdicts.check(self.datagrams.recv(&mut [0]).is_err(), || "a datagram arrived".into());
        #[expect(clippy::disallowed_methods, reason = "the test is who is in the host's network")]
        let connected = TcpStream::connect(self.streams.local_addr().unwrap());
        drop(connected.unwrap());
        self.streams.set_nonblocking(false).unwrap();
        self.streams.accept().unwrap();
        self.datagrams.send_to(b"x", self.datagrams.local_addr().unwrap()).unwrap();
        self.datagrams.set_nonblocking(false).unwrap();
        self.datagrams.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.datagrams.recv(&mut [0]).unwrap();
    }
}

async fn nothing_outside_is_reached(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let beside = Beside::listen();
    let outside = [
        "169.254.169.254 80",
        "100.100.100.200 80",
        "10.0.0.1 80",
        "192.168.0.1 443",
        "172.16.0.1 22",
        "8.8.8.8 53",
        "1.1.1.1 443",
        "fd00:ec2::254 80",
        "2606:4700:4700::1111 443",
        "224.0.0.1 80",
    ];
    let unreachable = ["ENETUNREACH", "EPERM", "EACCES", "EAFNOSUPPORT", "EADDRNOTAVAIL"];
    let acts: Vec<_> = outside
        .iter()
        .flat_map(|place| ["tcp-connect", "udp-send"].map(|act| words(&format!("{act} {place}"))))
        .chain(beside.acts())
        .collect();
    for outcome in world.attacks(&acts).await {
        verdicts.refused_with(&outcome, &unreachable);
    }
    beside.saw_nothing(&mut verdicts);
    let kinds: Vec<_> = [
        "raw-icmp",
        "ping-socket",
        "sctp",
        "mptcp",
        "packet",
        "old-packet",
        "vsock",
        "netfilter",
        "audit",
        "alg",
        "bluetooth",
        "socket 4 2 0",
        "socket 38 5 0",
        "socket 44 2 0",
        "socket 21 5 0",
        "socket 30 1 0",
        "socket 29 3 1",
    ]
    .map(words)
    .into();
    for outcome in world.attacks(&kinds).await {
        verdicts.refused_with(
            &outcome,
            &["EPERM", "EAFNOSUPPORT", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"],
        );
    }
    // A name with a secret in it reaches no resolver: nothing listens where the jail's own one would be, and the
    // host's is elsewhere.
    let name = format!("{}.attacker.test", canary("dns"));
    let resolve = [
        ("look up", "return await require('dns').promises.lookup(input)"),
        ("resolve", "return await require('dns').promises.resolve4(input)"),
        (
            "resolve elsewhere",
            "const r = new (require('dns').promises.Resolver)({ timeout: 500, tries: 1 }); r.setServers(['8.8.8.8']); return await r.resolve4(input)",
        ),
        ("fetch", "return (await fetch('http://' + input + '/')).status"),
        ("fetch by address", "return (await fetch('http://1.1.1.1/')).status"),
    ];
    for outcome in world.attempts(&world.attacker, &resolve, json!(name)).await {
        verdicts.refused(&outcome);
    }
    its_own_gate_answers(&world, &mut verdicts).await;
    verdicts.done();
    world.end().await;
}

/// The one way that is open leads to the host.
async fn its_own_gate_answers(world: &World, verdicts: &mut Verdicts) {
    let code = "return (await fetch('http://hayloft.internal/v1/plugin-api/health')).status";
    let health = world.run(&world.attacker, code, json!(null)).await;
    verdicts.check(health == 200, || format!("its own gate answered {health}"));
}
