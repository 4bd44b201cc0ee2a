//! A secret is where it is needed and nowhere else: not in an environment, a descriptor, a dump or a file.

use std::fs;

use hayloft_testkit::TestServer;
use serde_json::{Value, json};

use crate::harness::{
    HOSTILE, Outcome, PATIENCE, Setup, Verdicts, World, canary, contains, files_below, hostile_plugins, until,
};

in_every_setup!(
    only_named_descriptors_and_variables,
    a_child_gets_no_more_than_its_worker,
    a_crash_leaves_no_dump,
    the_key_is_nowhere_but_in_its_file,
);

in_setups!(once Strongest: variables_with_power_are_refused);

/// What Node itself opens, which has no name outside of the process.
fn is_anonymous(target: &str) -> bool {
    target.starts_with("anon_inode:[event") || target.starts_with("pipe:") || target == "/dev/null"
}

/// Checks the descriptors that a process found open at its first line.
fn check_descriptors(verdicts: &mut Verdicts, who: &str, found: &Value, root: &str, sockets: &[&str]) {
    for (number, target) in found.as_object().unwrap() {
        let target = target.as_str().unwrap();
        let right = match number.as_str() {
            "0" | "1" | "2" => is_anonymous(target),
            number if sockets.contains(&number) => target.starts_with("socket:"),
            _ => is_anonymous(target) || target.starts_with(root),
        };
        verdicts.check(right, || format!("{who} has descriptor {number}: {target}"));
    }
}

async fn only_named_descriptors_and_variables(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let found = world.run(&world.attacker, "return { descriptors, environment, root: require('path').dirname(native), home: process.env.HOME, now: process.env }", json!(null)).await;
    check_descriptors(
        &mut verdicts,
        "a worker",
        &found["descriptors"],
        found["root"].as_str().unwrap(),
        &["3", "4"],
    );
    let mut names: Vec<_> = found["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "HAYLOFT_WORKER");
    names.sort_unstable();
    verdicts.check(
        names == ["HAY_PLUGIN_ID", "HOME", "LANG", "NODE_ENV", "OPENSSL_CONF", "PATH", "TMPDIR", "TZ"],
        || format!("a worker's environment has {names:?}"),
    );
    // What stands in the environment of a process stays readable for its whole life, so no setting is ever there.
    verdicts.check(!found["now"].to_string().contains(&world.secrets[0]), || {
        "a setting is in the environment".into()
    });
    // The control: inside, the setting is known.
    let known = world.run(&world.attacker, "return globalThis.secret", json!(null)).await;
    verdicts
        .check(known == *world.secrets[0], || format!("the worker does not know its own setting: {known}"));
    verdicts.done();
    world.end().await;
}

async fn a_child_gets_no_more_than_its_worker(setup: Setup) {
    let world = World::start(setup).await;
    world.enable_parent().await;
    let mut verdicts = Verdicts::new(setup);
    let run =
        async |code: &str, input: Value| world.run_tool(&world.attacker, "parent__run", code, input).await;
    let found =
        run("return { descriptors, environment, pid: process.pid, root: process.cwd() }", json!(null)).await;
    check_descriptors(&mut verdicts, "a child", &found["descriptors"], found["root"].as_str().unwrap(), &[]);
    let mut names: Vec<_> = found["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "HAYLOFT_WORKER");
    if !setup.has_namespaces() {
        // Without a network of its own a child is led to the gate by a file that its Node loads.
        names.retain(|name| !["HAYLOFT_GATE", "NODE_OPTIONS"].contains(name));
    }
    names.sort_unstable();
    verdicts.check(names == ["GIVEN", "HOME", "LANG", "OPENSSL_CONF", "PATH", "TMPDIR", "TZ"], || {
        format!("a child's environment has {names:?}")
    });
    verdicts.check(
        found["environment"]["HOME"] != "/root"
            && !found["environment"]["PATH"].as_str().unwrap().contains("evil"),
        || format!("a child has {found}"),
    );
    let victim = world.pids(&world.victim).await;
    let server: std::net::SocketAddr = world.server.url().trim_start_matches("http://").parse().unwrap();
    let (host, victim, port) =
        (world.server.pid().to_string(), victim.runner.to_string(), server.port().to_string());
    let acts = json!([
        ["ptrace-attach", victim],
        ["ptrace-attach", host],
        ["read-proc", host, "environ"],
        ["vm-read", victim],
        ["kill", victim, "0"],
        ["kill", host, "0"],
        ["unshare-user"],
        ["mount-tmpfs", "/tmp"],
        ["bpf"],
        ["io-uring"],
        ["memfd-exec"],
        ["capabilities"],
        ["setuid"],
        ["vsock"],
        ["packet"],
        ["tcp-connect", "127.0.0.1", port],
        ["tcp-connect", "169.254.169.254", "80"],
        ["udp-send", "8.8.8.8", "53"],
        ["personality"],
        ["tiocsti"],
    ]);
    let values = run("return input.map((words) => attack(...words))", acts).await;
    for value in values.as_array().unwrap() {
        verdicts.refused(&Outcome::read(value, ""));
    }
    for path in [
        world.host_file.display().to_string(),
        "/etc/shadow".into(),
        world.server.data_folder().join("master-key").display().to_string(),
    ] {
        let read = run(
            "try { return fs.readFileSync(input, 'utf8') } catch (error) { return error.code }",
            json!(path),
        )
        .await;
        verdicts.check(["ENOENT", "EACCES"].contains(&read.as_str().unwrap()), || {
            format!("a child reads {path}: {read}")
        });
    }
    // Its parent it may not look into more than that into it: both are the same plugin, but the parent's memory holds
    // what the host entrusted to it alone.
    let scan = run("return [...Array(40).keys()].filter((pid) => pid > 0 && pid !== process.pid && attack('read-proc', pid, 'environ').succeeded)", json!(null)).await;
    if setup.has_namespaces() {
        verdicts.check(!scan.as_array().unwrap().contains(&json!(1)), || {
            format!("a child reads the environment of {scan}")
        });
    }
    verdicts.done();
    world.end().await;
}

async fn a_crash_leaves_no_dump(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    verdicts.refused(&world.attack(&["core-dump"]).await);
    let first = world.pids(&world.attacker).await.runner;
    let back = async || {
        let works = async || {
            world.try_run(&world.attacker, "hostile__run", "return 1", json!(null)).await.status == 200
        };
        until("the worker to be back", PATIENCE, works).await;
    };
    let crash = "
        process.env.CANARY = globalThis.secret;
        try { process.report?.writeReport(); } catch {}
        try { require('v8').writeHeapSnapshot(); } catch {}
        try { require('v8').setFlagsFromString('--abort-on-uncaught-exception'); } catch {}
        process.abort()";
    let answer = world.try_run(&world.attacker, "hostile__run", crash, json!(null)).await;
    verdicts.check(answer.status != 200, || "the worker did not crash".into());
    back().await;
    // The message of an exception with a secret in it reaches the log without it.
    let thrown = "setTimeout(() => { throw new Error('it was ' + globalThis.secret) }, 0); console.log('logged ' + globalThis.secret); process.stderr.write('written ' + globalThis.secret + '\\n'); return new Promise(() => {})";
    world.try_run(&world.attacker, "hostile__run", thrown, json!(null)).await;
    back().await;
    verdicts.check(world.pids(&world.attacker).await.runner != first, || "the worker lives".into());
    let logs = world.attacker.get(&format!("plugins/{HOSTILE}/logs")).await.text();
    verdicts.check(logs.contains("written "), || format!("the log lacks what was written: {logs}"));
    verdicts.check(!logs.contains(&world.secrets[0]), || "the log has the setting".into());
    for folder in [
        world.plugins.path().to_owned(),
        world.server.folder(),
        std::env::current_dir().unwrap(),
        "/var/lib/systemd/coredump".into(),
        "/var/crash".into(),
    ] {
        let here = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in here {
            let name = entry.file_name().to_string_lossy().into_owned();
            verdicts.check(
                !(name == "core"
                    || name.starts_with("core.")
                    || name.ends_with(".heapsnapshot")
                    || name.starts_with("report.")),
                || format!("`{}` was left", entry.path().display()),
            );
        }
    }
    verdicts.done();
    world.end().await;
}

async fn the_key_is_nowhere_but_in_its_file(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let key_file = world.server.data_folder().join("master-key");
    let key = fs::read(&key_file).unwrap().trim_ascii().to_owned();
    let secret = world.secrets[0].clone();
    let pid = world.server.pid();
    for file in ["environ", "cmdline"] {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        verdicts.check(!contains(&text, &key) && !contains(&text, secret.as_bytes()), || {
            format!("the key is in the host's {file}")
        });
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    verdicts.check(mode(&key_file) == 0 && mode(&world.server.data_folder()) == 0, || {
        "others may read the key or its folder".into()
    });
    for path in ["/health", "/metrics", "/v1/orgs", "/v1/workers", "/openapi.json", "/v1/openapi.json"] {
        let text = world.server.admin().get(path).await.body;
        verdicts.check(!contains(&text, &key) && !contains(&text, secret.as_bytes()), || {
            format!("the key is in {path}")
        });
    }
    // The answer that shows an instance has its settings masked.
    let shown = world.attacker.get(&format!("plugins/{HOSTILE}")).await.text();
    verdicts.check(!shown.contains(&secret), || "the setting can be read back".into());
    // `end` looks into the database, the logs and the workers.
    files_below(&world.server.data_folder(), &mut |file| {
        if file != key_file {
            verdicts.check(!contains(&fs::read(file).unwrap(), &key), || {
                format!("the key is in {}", file.display())
            });
        }
    });
    verdicts.done();
    world.end().await;
}

/// Names that change what a process loads, from the host's own environment, a manifest and an operator's grant.
async fn variables_with_power_are_refused(setup: Setup) {
    let plugins = hostile_plugins();
    let evil = canary("smuggled");
    // What the host gives each process itself is not refused, but its own value counts: `OPENSSL_CONF` is one of these.
    let names = [
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_EXTRA_CA_CERTS",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "OPENSSL_MODULES",
        "SSL_CERT_FILE",
        "BASH_ENV",
        "npm_config_prefix",
        "HAY_ORG_ID",
        "SECRET_OF_THE_HOST",
    ];
    let mut builder = setup.server(&plugins);
    for name in names.iter().filter(|name| !name.starts_with("LD_") && !name.starts_with("OPENSSL")) {
        builder = builder.environment(name, &evil);
    }
    let server: TestServer = builder.start().await;
    let attacker = server.organization("Attacker").await;
    attacker.enable(HOSTILE, json!({})).await;
    let answer = attacker
        .call_tool("hostile__run", json!({ "code": "return [environment, process.env]" }))
        .await
        .expect(200)
        .text();
    assert!(!answer.contains(&evil), "{answer}");
    // A child that is given them does not come to life, and the plugin is told why.
    for name in &names[..9] {
        let id = format!("hay-plugin-smuggler-{}", name.to_lowercase().replace('_', "-"));
        let entry = format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
             export default defineHayPlugin(() => ({{ name: 'x', onStart: (ctx) =>\n\
               ctx.mcp.startLocalStdio({{ id: 'child', command: 'node', args: ['child.cjs'], cwd: '.', env: {{ '{name}': '{evil}' }} }}) }}));"
        );
        plugins.hay_package(&id, &["mcp"], &entry).file("child.cjs", "process.stdin.resume()");
    }
    let mut server = server;
    server.restart().await;
    for name in &names[..9] {
        let id = format!("hay-plugin-smuggler-{}", name.to_lowercase().replace('_', "-"));
        let detail = attacker.enable(&id, json!({})).await;
        let error = detail["lastError"].as_str().unwrap_or_default();
        assert!(error.contains(name), "{name}: {detail:#}");
    }
    // A setting may not name them either.
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(({ register }) => ({ name: 'x', onInitialize() {\n\
           register.config({ key: { type: 'string', env: 'NODE_OPTIONS' } }); } }));";
    plugins.hay_package("hay-plugin-naming", &["config"], entry);
    server.restart().await;
    let refused = attacker
        .put("plugins/hay-plugin-naming", &json!({ "enabled": true, "config": { "key": evil } }))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text());
}
