//! Packages made ready in real jails, by the real npm, from a registry that the test plays.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod bundles;
mod components;
mod registry;
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use hayloft_packages::{InstallError, InstallLimits, InstallState, Phase, Room};
use registry::TestRegistry;
use support::{Fixture, Plugin, refusal};

/// A plugin that needs `dep` and is built from a source by a script.
fn built_plugin(script: &str) -> Plugin {
    Plugin::new("orders")
        .package(&format!(
            r#""dependencies": {{ "dep": "^1.0.0", "@hay/plugin-sdk": "workspace:*" }}, "scripts": {{ "build": "{script}" }}"#
        ))
        .file("src/index.js", "module.exports = require('dep');\n")
}

const COPY: &str = "mkdir -p dist && cp src/index.js dist/index.js";

#[tokio::test]
async fn a_package_is_installed_built_sealed_and_kept() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = built_plugin(COPY);
    let package = plugin.read();
    assert_eq!(fixture.packages.state(&package), InstallState::Waiting);
    let needs = fixture.packages.needs(&package);
    assert!(needs.installation && needs.building);
    assert_eq!(fixture.packages.ready(&package).await, Ok(None));

    let installed = fixture.packages.install(&package).await.unwrap();
    assert_eq!(fixture.packages.state(&package), InstallState::Installed);
    assert_eq!(fixture.packages.ready(&package).await, Ok(Some(installed.clone())));
    let read = |name: &str| fs::read_to_string(installed.root.join(name)).unwrap();
    assert_eq!(read("dist/index.js"), read("src/index.js"));
    assert_eq!(read("node_modules/dep/index.js"), "module.exports = 'dep 1.0.0';\n");
    assert_eq!(read("package.json"), fs::read_to_string(plugin.root().join("package.json")).unwrap());
    assert!(!plugin.root().join("node_modules").exists(), "the author's folder is as it was");
    assert!(!plugin.root().join("dist").exists());
    let log = fixture.packages.log(&package).unwrap();
    assert!(log.contains("$ npm install\n") && log.contains("$ npm run build\n"), "{log}");
    assert_eq!(fixture.left_in_staging(), 0);

    // Who touches it is found out.
    let touched = installed.root.join("dist/index.js");
    fs::set_permissions(&touched, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&touched, "stolen").unwrap();
    let tampered = fixture.packages.ready(&package).await.unwrap_err();
    assert_eq!(tampered.at, Path::new("dist/index.js"));
}

#[tokio::test]
async fn a_package_that_is_whole_is_only_copied() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = Plugin::new("whole").package(r#""dependencies": {}"#).file("dist/index.js", "");
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert!(installed.root.starts_with(fixture.shelf()));
    assert_eq!(fixture.registry.requests(), 0);
    assert_eq!(fixture.packages.log(&plugin.read()), None, "nothing ran");
}

#[tokio::test]
async fn whoever_asks_at_the_same_time_it_is_done_once() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let package = built_plugin(COPY);
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let (packages, package) = (fixture.packages.clone(), package.read());
            tokio::spawn(async move { packages.install(&package).await })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(fixture.registry.archives(), 1, "one of them fetched it");
}

#[tokio::test]
async fn a_lockfile_is_kept_to_and_one_that_lies_is_found_out() {
    let registry = TestRegistry::start().await;
    let fixture = Fixture::new(registry).await;
    let lockfile = |integrity: &str| {
        format!(
            r#"{{ "name": "locked", "version": "1.0.0", "lockfileVersion": 3, "packages": {{
            "": {{ "name": "locked", "version": "1.0.0", "dependencies": {{ "dep": "^1.0.0" }} }},
            "node_modules/dep": {{ "version": "1.0.0", "resolved": "https://registry.npmjs.org/dep/-/dep-1.0.0.tgz", "integrity": "{integrity}" }} }} }}"#
        )
    };
    let plugin = |integrity: &str| {
        Plugin::new("locked")
            .package(r#""dependencies": { "dep": "^1.0.0" }"#)
            .file("dist/index.js", "")
            .file("package-lock.json", &lockfile(integrity))
    };
    let lie = plugin(
        "sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
    );
    let (phase, problem) = refusal(fixture.packages.install(&lie.read()).await);
    assert_eq!((phase, &*problem.at), (Phase::Install, "package-lock.json"));
    assert!(problem.message.contains("something else than the lockfile says"), "{problem}");
    let InstallState::InstallError { problems } = fixture.packages.state(&lie.read()) else { panic!() };
    assert_eq!(problems.iter().next(), Some(&problem));

    let truth = plugin(&fixture.registry.integrity());
    let installed = fixture.packages.install(&truth.read()).await.unwrap();
    assert!(installed.root.join("node_modules/dep/index.js").is_file());
}

#[tokio::test]
async fn what_a_lockfile_says_is_installed_although_there_is_a_newer_version() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    fixture.registry.publish();
    let open =
        Plugin::new("locked").package(r#""dependencies": { "dep": "^1.0.0" }"#).file("dist/index.js", "");
    let read = |root: &Path| fs::read_to_string(root.join("node_modules/dep/index.js")).unwrap();
    let newest = fixture.packages.install(&open.read()).await.unwrap();
    assert_eq!(read(&newest.root), "module.exports = 'dep 1.1.0';\n", "nothing says otherwise");
    let lockfile = format!(
        r#"{{ "name": "locked", "version": "1.0.0", "lockfileVersion": 3, "packages": {{
            "": {{ "name": "locked", "version": "1.0.0", "dependencies": {{ "dep": "^1.0.0" }} }},
            "node_modules/dep": {{ "version": "1.0.0", "resolved": "https://registry.npmjs.org/dep/-/dep-1.0.0.tgz", "integrity": "{}" }} }} }}"#,
        fixture.registry.integrity()
    );
    let locked = open.file("package-lock.json", &lockfile);
    let installed = fixture.packages.install(&locked.read()).await.unwrap();
    assert_eq!(read(&installed.root), "module.exports = 'dep 1.0.0';\n");
}

#[tokio::test]
async fn what_a_package_has_around_its_build_runs_in_order() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = Plugin::new("surrounded").package(
        r#""scripts": { "prebuild": "mkdir dist && echo before > dist/order", "build": "echo build >> dist/order",
        "postbuild": "echo after >> dist/order && cp dist/order dist/index.js" }"#,
    );
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert_eq!(fs::read_to_string(installed.root.join("dist/index.js")).unwrap(), "before\nbuild\nafter\n");
    let log = fixture.packages.log(&plugin.read()).unwrap();
    assert!(log.contains("$ npm run postbuild\n"), "{log}");

    // Where npm may run them itself, they run once as well.
    let granted = Fixture::with(TestRegistry::start().await, |options| {
        options.script_grants.insert("surrounded".parse().unwrap());
    })
    .await;
    let installed = granted.packages.install(&plugin.read()).await.unwrap();
    assert_eq!(fs::read_to_string(installed.root.join("dist/index.js")).unwrap(), "before\nbuild\nafter\n");

    // What fails before it is said as what it is, and nothing runs after it.
    let failing = Plugin::new("failing")
        .package(r#""scripts": { "prebuild": "exit 3", "build": "mkdir dist && touch dist/index.js" }"#);
    let (phase, problem) = refusal(fixture.packages.install(&failing.read()).await);
    assert_eq!((phase, &*problem.at), (Phase::Build, "npm run prebuild"), "{problem}");
}

#[tokio::test]
async fn a_registry_that_is_down_is_said_and_the_earlier_version_stays() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = built_plugin(COPY);
    let earlier = plugin.read();
    fixture.packages.install(&earlier).await.unwrap();

    let later = plugin.file("src/index.js", "module.exports = require('dep') + 2;\n");
    fixture.registry.go_down();
    let (phase, problem) = refusal(fixture.packages.install(&later.read()).await);
    assert_eq!((phase, &*problem.at), (Phase::Install, "registry"));
    assert!(problem.message.contains("cannot be reached"), "{problem}");
    assert!(matches!(fixture.packages.ready(&earlier).await, Ok(Some(_))));

    fixture.registry.come_back();
    fixture.packages.install(&later.read()).await.unwrap();
    assert!(matches!(fixture.packages.ready(&earlier).await, Ok(Some(_))), "versions lie beside each other");
}

#[tokio::test]
async fn a_registry_in_trouble_is_nothing_that_an_author_could_mend() {
    let limits = InstallLimits { install: Duration::from_secs(8), ..InstallLimits::default() };
    let fixture = Fixture::with(TestRegistry::start().await, |options| options.limits = limits).await;
    let plugin = built_plugin(COPY);
    let refused_for = |outcome| match outcome {
        Err(InstallError::Unavailable { phase: Phase::Install, problems }) => {
            let problem = problems.into_iter().next().unwrap();
            assert_eq!(problem.at, "registry", "{problem}");
            problem.message
        }
        other => panic!("{other:?}"),
    };
    fixture.registry.be_busy();
    let message = refused_for(fixture.packages.install(&plugin.read()).await);
    assert!(message.contains("does not answer as it should: E503: 503 Service Unavailable"), "{message}");

    fixture.registry.come_back();
    fixture.registry.be_silent();
    let began = std::time::Instant::now();
    let message = refused_for(fixture.packages.install(&plugin.read()).await);
    assert!(message.contains("`npm install` did not end within the 8 seconds that there are"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(60), "npm alone waits for a minute, three times");
    assert_eq!(fixture.left_in_staging(), 0);

    fixture.registry.come_back();
    fixture.packages.install(&plugin.read()).await.unwrap();

    // A line of the author's own that takes too long is the author's.
    let idle = r#"{ "id": "idle", "name": "X", "version": "1.0.0", "description": "X", "author": "X", "type": ["mcp-connector"],
        "entry": "./index.js", "capabilities": { "mcp": { "connection": { "type": "local" }, "transport": "stdio",
        "startCommand": "node index.js", "tools": [], "installCommand": "sleep 1000" } } }"#;
    let idle = Plugin::new("idle").file("manifest.json", idle).file("index.js", "");
    let outcome = fixture.packages.install(&idle.read()).await;
    assert!(matches!(outcome, Err(InstallError::Refused { phase: Phase::Install, .. })), "{outcome:?}");
    let (_, problem) = refusal(outcome);
    assert_eq!(problem.at, "sleep 1000", "{problem}");
}

#[tokio::test]
async fn a_registry_that_answered_after_all_is_not_why_a_build_fails() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    fixture.registry.miss_one();
    let outcome = fixture.packages.install(&built_plugin("exit 3").read()).await;
    assert_eq!((fixture.registry.missing(), fixture.registry.archives()), (0, 1), "npm tried it again");
    assert!(matches!(outcome, Err(InstallError::Refused { phase: Phase::Build, .. })), "{outcome:?}");
    let (_, problem) = refusal(outcome);
    assert_eq!(problem.at, "npm run build", "{problem}");

    // A build that fetches something itself is as much in the registry's hands, and no other host is the registry.
    fixture.registry.be_busy();
    let fetching =
        |line: &str| Plugin::new("fetching").package(&format!(r#""scripts": {{ "build": "{line}" }}"#));
    let outcome = fixture.packages.install(&fetching("npm install dep").read()).await;
    assert!(matches!(outcome, Err(InstallError::Unavailable { phase: Phase::Build, .. })), "{outcome:?}");
    let line = "npm install dep --registry=http://npm.example --fetch-retries=0";
    let outcome = fixture.packages.install(&fetching(line).read()).await;
    assert!(matches!(outcome, Err(InstallError::Refused { phase: Phase::Build, .. })), "{outcome:?}");
    let (_, problem) = refusal(outcome);
    assert!(problem.message.contains("asked for `http://npm.example`"), "{problem}");
}

#[tokio::test]
async fn scripts_of_dependencies_run_only_where_the_operator_says_so() {
    let plugin = || {
        Plugin::new("scripted")
            .package(r#""dependencies": { "scripted-dep": "^1.0.0" }"#)
            .file("dist/index.js", "")
            .file(".npmrc", "ignore-scripts=false\nscript-shell=/bin/sh\ngit=/bin/sh\n")
    };
    let ran = "node_modules/scripted-dep/ran";
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let installed = fixture.packages.install(&plugin().read()).await.unwrap();
    assert!(!installed.root.join(ran).exists());

    let granted = Fixture::with(TestRegistry::start().await, |options| {
        options.script_grants.insert("scripted".parse().unwrap());
    })
    .await;
    let installed = granted.packages.install(&plugin().read()).await.unwrap();
    assert!(installed.root.join(ran).exists(), "the same scripts can run");
}

#[tokio::test]
async fn a_build_that_hangs_or_fills_the_disk_ends_with_a_problem() {
    let limits = InstallLimits {
        build: Duration::from_secs(4),
        room: Room { bytes: 24 << 20, entries: 10_000 },
        ..InstallLimits::default()
    };
    let fixture = Fixture::with(TestRegistry::start().await, |options| options.limits = limits).await;
    let build =
        |script: &str| Plugin::new("hostile").package(&format!(r#""scripts": {{ "build": "{script}" }}"#));

    let (phase, problem) = refusal(fixture.packages.install(&build("sleep 1000").read()).await);
    assert_eq!((phase, &*problem.at), (Phase::Build, "npm run build"));
    assert!(problem.message.contains("did not end within the 4 seconds"), "{problem}");

    for script in ["head -c 100000000 /dev/zero > large", "cat /dev/zero > /tmp/large"] {
        let (phase, problem) = refusal(fixture.packages.install(&build(script).read()).await);
        assert_eq!(phase, Phase::Build);
        assert!(problem.message.contains("needs more room than the 24 MiB"), "{script}: {problem}");
    }
    let (_, problem) = refusal(fixture.packages.install(&build("no-such-program").read()).await);
    assert!(problem.message.contains("not found"), "{problem}");
    assert_eq!(fixture.left_in_staging(), 0);

    let good = "mkdir -p dist && head -c 1000000 /dev/zero > dist/index.js";
    fixture.packages.install(&build(good).read()).await.unwrap();
}

#[tokio::test]
async fn dependencies_that_fill_the_disk_end_with_a_problem() {
    let fixture = Fixture::with(TestRegistry::start().await, |options| {
        options.limits.room = Room { bytes: 24 << 20, entries: 10_000 };
    })
    .await;
    let plugin = |dependency: &str| {
        Plugin::new("filling")
            .package(&format!(r#""dependencies": {{ "{dependency}": "^1.0.0" }}"#))
            .file("dist/index.js", "")
    };
    let (phase, problem) = refusal(fixture.packages.install(&plugin("large-dep").read()).await);
    let log = fixture.packages.log(&plugin("large-dep").read()).unwrap_or_default();
    assert_eq!((phase, &*problem.at), (Phase::Install, "package"), "{problem}\n{log}");
    assert!(problem.message.contains("needs more room than the 24 MiB"), "{problem}");
    assert_eq!(fixture.left_in_staging(), 0);
    fixture.packages.install(&plugin("dep").read()).await.unwrap();
}

#[tokio::test]
async fn what_a_build_leaves_running_holds_nobody_up() {
    let build = |name: &'static str, script: &str| {
        Plugin::new(name).package(&format!(
            r#""scripts": {{ "build": "mkdir -p dist && touch dist/index.js && {script} && head -c 100000000 /dev/zero > dist/much" }}"#
        ))
    };
    // It looks for the program that packs, to hold open what that writes to, and notes what it was told.
    let lurker = "const fs = require('fs'); const sleep = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e9);
        for (;;) for (const id of fs.readdirSync('/proc').filter(Number)) {
          let name; try { name = fs.readFileSync(`/proc/${id}/comm`, 'utf8').trim(); } catch { continue; }
          if (name !== 'tar') continue;
          try { fs.openSync(`/proc/${id}/fd/1`, 'w'); } catch (error) { fs.writeFileSync('dist/told', error.code); }
          sleep();
        }";
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let leave =
        "touch dist/told && (setsid node lurker.cjs > /dev/null 2> /dev/null < /dev/null &) && sleep 1";
    let plugin = build("lurker", leave).file("lurker.cjs", lurker);
    let began = std::time::Instant::now();
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert!(began.elapsed() < InstallLimits::default().fetch);
    // What it was told is packed behind what it wrote last, if it was quick enough.
    let told = fs::read_to_string(installed.root.join("dist/told")).unwrap();
    assert!(["", "EACCES"].contains(&&*told), "{told}");

    // However it would be done: when the time to read is over, everything that could write has ended.
    let limits = InstallLimits { fetch: Duration::from_millis(1), ..InstallLimits::default() };
    let hurried = Fixture::with(TestRegistry::start().await, |options| options.limits = limits).await;
    for _ in 0..3 {
        let plugin = build("hurried", "true");
        let (phase, problem) = refusal(hurried.packages.install(&plugin.read()).await);
        assert_eq!(phase, Phase::Build, "{problem}");
        let log = hurried.packages.log(&plugin.read()).unwrap();
        assert!(log.contains("could not be read in time"), "{log}");
        assert_eq!(hurried.left_in_staging(), 0);
    }
}

#[tokio::test]
async fn what_a_build_plants_does_not_come_out() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let canary = fixture.canary();
    let build = |script: &str| {
        Plugin::new("planter").package(&format!(
            r#""scripts": {{ "build": "mkdir -p dist && touch dist/index.js && {script}" }}"#
        ))
    };
    let outside = canary.display();
    for (script, at, message) in [
        (format!("ln -s {outside} dist/link"), "dist/link", "outside of the package"),
        (String::from("ln -s ../../../../etc/passwd dist/link"), "dist/link", "outside of the package"),
        (String::from("ln -s / dist/root"), "dist/root", "outside of the package"),
        (String::from("mkfifo dist/pipe"), "dist/pipe", "neither a file nor a folder"),
        (String::from("ln -s c/../../../x a && mkdir d && ln -s d c"), "a", "outside of the package"),
        (
            String::from("rm dist/index.js && ln -s /etc/passwd dist/index.js"),
            "dist/index.js",
            "outside of the package",
        ),
    ] {
        let (phase, problem) = refusal(fixture.packages.install(&build(&script).read()).await);
        assert_eq!((phase, &*problem.at), (Phase::Build, at), "{script}: {problem}");
        assert!(problem.message.contains(message), "{script}: {problem}");
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "precious");
    let good = build("ln -s index.js dist/link && ln dist/index.js dist/hard");
    let installed = fixture.packages.install(&good.read()).await.unwrap();
    assert!(installed.root.join("dist/link").is_file() && installed.root.join("dist/hard").is_file());
}

#[tokio::test]
async fn a_build_sees_nothing_of_the_host_and_reaches_nothing() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let canary = fixture.canary();
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let spy = format!(
        "const fs = require('fs'), net = require('net'); const out = {{ env: process.env, uid: process.getuid(), pids: fs.readdirSync('/proc').filter(Number).length }};
        for (const path of ['{}', '/etc/shadow', '/root', '/home']) {{ try {{ fs.statSync(path); out[path] = true; }} catch (error) {{ out[path] = error.code; }} }}
        net.connect({port}, '127.0.0.1').on('error', (error) => {{ out.connect = error.code; done(); }}).on('connect', () => {{ out.connect = true; done(); }});
        function done() {{ fs.mkdirSync('dist'); fs.writeFileSync('dist/index.js', ''); fs.writeFileSync('dist/seen.json', JSON.stringify(out)); process.exit(0); }}",
        canary.display()
    );
    let plugin = Plugin::new("spy").package(r#""scripts": { "build": "node spy.js" }"#).file("spy.js", &spy);
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    let seen: serde_json::Value =
        serde_json::from_slice(&fs::read(installed.root.join("dist/seen.json")).unwrap()).unwrap();
    assert_eq!(seen["uid"], 1000);
    assert_eq!(seen["connect"], "ECONNREFUSED", "{seen}");
    for path in [&*canary.display().to_string(), "/etc/shadow", "/root", "/home"] {
        assert_eq!(seen[path], "ENOENT", "{path}: {seen}");
    }
    let names: Vec<&str> = seen["env"].as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["CARGO", "RUST_BACKTRACE", "USER", "SHELL", "LD_PRELOAD"] {
        assert!(!names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn only_what_the_manifest_named_runs_and_it_is_read_again() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let renamed = Plugin::new("renamed").package(
        r#""scripts": { "build": "mkdir dist && touch dist/index.js && sed -i s/renamed/other/ package.json" }"#,
    );
    let (_, problem) = refusal(fixture.packages.install(&renamed.read()).await);
    assert!(problem.message.contains("became `other`"), "{problem}");
    let nothing = Plugin::new("nothing").package(r#""scripts": { "build": "true" }"#);
    let (phase, problem) = refusal(fixture.packages.install(&nothing.read()).await);
    assert_eq!(phase, Phase::Build);
    assert!(problem.at.starts_with("package.json#hay-plugin.entry"), "{problem}");
    // A folder that changes between reading and installing is not the one that was read.
    let moving = Plugin::new("moving").package(r#""dependencies": {}"#).file("dist/index.js", "1");
    let package = moving.read();
    let moved = moving.file("dist/index.js", "2");
    let (_, problem) = refusal(fixture.packages.install(&package).await);
    assert!(problem.message.contains("changed while it was read"), "{problem}");
    fixture.packages.install(&moved.read()).await.unwrap();
}

#[tokio::test]
async fn packages_come_from_the_registry_and_from_nowhere_else() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    for (name, reference) in [
        ("git", "git+https://github.com/x/y.git"),
        ("git", "github:x/y"),
        ("folder", "file:/etc"),
        ("absent", "^1.0.0"),
    ] {
        let plugin = Plugin::new("strays")
            .package(&format!(r#""dependencies": {{ "{name}": "{reference}" }}"#))
            .file("dist/index.js", "");
        let outcome = fixture.packages.install(&plugin.read()).await;
        assert!(matches!(outcome, Err(InstallError::Refused { .. })), "{reference}: {outcome:?}");
    }
}
