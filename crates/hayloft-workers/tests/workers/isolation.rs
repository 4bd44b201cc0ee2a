//! What a worker sees of its host: nothing that was not named.

use std::collections::BTreeSet;
use std::fs;

use hayloft_model::Secret;
use hayloft_model::plugin::Runtime;
use hayloft_sandbox::Tier;
use hayloft_workers::{HookCall, LogLimits};
use serde_json::{Value, json};

use crate::support::{House, values};

#[tokio::test]
async fn a_worker_has_five_descriptors_and_a_fixed_environment() {
    let house = House::new();
    let instance = house.plugin(
        "const fs = require('node:fs');
         const early = { env: fs.readFileSync('/proc/self/environ', 'utf8').split('\\0').filter(Boolean), argv: process.execArgv, cwd: process.cwd() };
         exports.initialize = () => fs.writeFileSync(require('node:os').homedir() + '/note', 'mine');
         exports.connected = () => ({ ...early, note: fs.readFileSync(require('node:os').homedir() + '/note', 'utf8') });",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let seen = worker.call_hook(HookCall::Connected).await.unwrap();
    let status = house.workers.statuses().await.remove(0);
    let home = house.home_inside(status.worker_id);
    let node = crate::support::node();
    let mut expected: BTreeSet<String> = [
        format!("PATH={}:/usr/local/bin:/usr/bin:/bin", node.parent().unwrap().display()),
        "TZ=UTC".into(),
        format!("HOME={}", home.display()),
        format!("TMPDIR={}", home.display()),
        "LANG=C.UTF-8".into(),
        "OPENSSL_CONF=/dev/null".into(),
        "NODE_ENV=production".into(),
        "HAY_PLUGIN_ID=hay-plugin-test".into(),
    ]
    .into();
    expected.extend(house.marker(status.worker_id).map(|(name, marker)| format!("{name}={marker}")));
    let environment: BTreeSet<String> = serde_json::from_value(seen["env"].clone()).unwrap();
    assert_eq!(environment, expected);
    assert_eq!(seen["argv"], json!(["--max-old-space-size=512"]));
    assert_eq!(seen["cwd"], json!(house.source.launch_of(&instance).package.root.canonicalize().unwrap()));
    // What it writes is its own; on the host nobody else can enter the folder.
    assert_eq!(seen["note"], "mine");
    use std::os::unix::fs::PermissionsExt;
    let home = house.home_on_host(status.worker_id);
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(home.join("note").exists(), !house.has_namespaces());

    // What Node opens for itself comes after; the host passed 0 to 4.
    let inherited: Vec<String> = (0..5)
        .map(|number| {
            let target = fs::read_link(format!("/proc/{}/fd/{number}", status.pid.unwrap())).unwrap();
            target.display().to_string().split(':').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(inherited, ["/dev/null", "pipe", "pipe", "socket", "socket"]);
    house.close().await;
    assert!(!home.exists());
}

#[tokio::test]
async fn what_is_installed_beside_the_runner_is_for_isolates() {
    let house = House::with(|settings| {
        let runtime = settings.scratch.with_file_name("runtime");
        fs::create_dir_all(runtime.join("node_modules")).unwrap();
        fs::write(runtime.join("node_modules/isolates.cjs"), "module.exports = 'installed';").unwrap();
        let runner = runtime.join("runner.cjs");
        fs::copy(&settings.runtime.runner, &runner).unwrap();
        settings.runtime.runner = runner;
    });
    let installed = house.folder.path().join("runtime/node_modules/isolates.cjs");
    let script = format!(
        "exports.connected = () => {{ try {{ return require({:?}); }} catch {{ return 'nothing'; }} }};",
        installed.display().to_string()
    );
    let entry = || "entry.cjs".into();
    for (id, runtime, expected) in [
        ("hay-plugin-isolate", Runtime::Isolate { entry: entry(), compatibility_date: None }, "installed"),
        ("hay-plugin-node", Runtime::Node { entry: entry() }, "nothing"),
    ] {
        let instance = house.plugin_named(id, &script);
        let mut launch = house.source.launch_of(&instance);
        launch.package.descriptor.runtime = runtime;
        house.source.set(&instance, Ok(launch));
        let worker = house.workers.ensure(&instance).await.unwrap();
        let seen = worker.call_hook(HookCall::Connected).await.unwrap();
        // Without a jail everything can be read.
        let expected = if house.tier == Tier::Off { "installed" } else { expected };
        assert_eq!(seen, expected, "{id}");
    }
    house.close().await;
}

#[tokio::test]
async fn logs_are_bounded_masked_and_kept_across_restarts() {
    let limits = LogLimits { line: 1000, buffer: 500_000, rate: 20_000 };
    let house = House::with(|settings| settings.logs = limits);
    let instance = house.plugin(
        "exports.start = (w) => {
           console.log('first ' + w.load.workerId);
           console.log(JSON.stringify({ level: 'error', message: 'key ' + w.bound.config.key, meta: { at: 'x' } }));
           console.error('\\u001b[31mred');
           process.stdout.write('y'.repeat(5000) + '\\n');
         };
         exports.enable = () => { for (let i = 0; i < 10000; i++) console.log('flood ' + i); console.log('end'); };",
    );
    let mut launch = house.source.launch_of(&instance);
    launch.binding.config = values(json!({ "key": "sk_live_canary" }));
    launch.binding.secrets = vec![Secret::new("sk_live_canary".into())];
    house.source.set(&instance, Ok(launch));
    let worker = house.workers.ensure(&instance).await.unwrap();
    house.workers.stop(&instance, "for the log").await;
    let lines: Value = serde_json::to_value(house.workers.logs(&instance, 100)).unwrap();
    let lines: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["stream"].as_str().unwrap(),
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let has = |stream: &str, level: &str, start: &str| {
        assert!(
            lines.iter().any(|line| (line.0, line.1) == (stream, level) && line.2.starts_with(start)),
            "{start}: {lines:?}"
        );
    };
    has("stdout", "info", &format!("first {}", worker.id()));
    has("stdout", "error", "key ••••••••");
    has("stderr", "warn", "\\u{1b}[31mred");
    has("stdout", "info", &"y".repeat(1000));
    has("host", "info", "the worker is gone: for the log");
    assert!(!format!("{lines:?}").contains("canary"));

    let again = house.workers.ensure(&instance).await.unwrap();
    let firsts = house
        .workers
        .logs(&instance, 100)
        .into_iter()
        .filter(|line| line.message.starts_with("first"))
        .count();
    assert_eq!(firsts, 2);
    again.call_hook(HookCall::Enable).await.unwrap();
    house.workers.stop(&instance, "after the flood").await;
    let lines = house.workers.logs(&instance, usize::MAX);
    assert!(lines.len() < 3000, "{}", lines.len());
    assert!(lines.iter().any(|line| line.message.contains("were dropped")), "{:?}", lines.last());
    assert_eq!(house.workers.logs(&instance, 2).len(), 2);
    house.close().await;
}
