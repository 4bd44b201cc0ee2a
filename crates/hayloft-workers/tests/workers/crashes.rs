//! What a worker may do wrong, and what follows: it alone ends, everybody who waits learns why.

use std::time::Duration;

use hayloft_workers::{Deadlines, HookCall, HookError, ProbeError, StartStage, Unavailable};
use serde_json::json;

use crate::support::{House, SOON, quick};

#[tokio::test]
async fn a_worker_that_does_not_become_ready_is_ended_with_the_reason() {
    let house = House::with(|settings| {
        settings.deadlines = Deadlines { spawn: Duration::from_secs(2), ..quick() };
    });
    let cases = [
        (
            "exports.initialize = () => process.exit(3);",
            StartStage::LoadOrInitialize,
            "it ended with exit code 3",
        ),
        (
            "exports.initialize = () => { process.kill(process.pid, 'SIGKILL'); };",
            StartStage::LoadOrInitialize,
            "signal 9",
        ),
        ("throw new Error('syntax');", StartStage::Load, "it ended with exit code 1"),
        ("exports.initialize = (w) => w.block();", StartStage::LoadOrInitialize, "the event loop is blocked"),
        ("exports.initialize = (w) => w.hang();", StartStage::LoadOrInitialize, "did not end within 0.4 s"),
        (
            "exports.initialize = () => { throw new Error('no database'); };",
            StartStage::Initialize,
            "no database",
        ),
        ("exports.hello = { protocol: 2 };", StartStage::Protocol, "version 2"),
        ("exports.hello = null;", StartStage::Protocol, "`metadata` out of turn"),
        (
            "exports.initialize = (w) => w.send({ type: 'ready' });",
            StartStage::Protocol,
            "`ready` out of turn",
        ),
        (
            "exports.initialize = (w) => w.send({ type: 'hello', protocol: 1, node: '', runner: '', sdk: '' });",
            StartStage::Protocol,
            "`hello` out of turn",
        ),
        (
            "exports.initialize = (w) => w.send({ type: 'takeover' });",
            StartStage::Protocol,
            "unknown type `takeover`",
        ),
        (
            "exports.initialize = (w) => w.raw('HTTP/1.1 200 OK\\r\\n\\r\\n');",
            StartStage::Protocol,
            "1213486160 bytes",
        ),
        (
            "exports.initialize = (w) => w.frame(1, '['.repeat(200000));",
            StartStage::Protocol,
            "nests deeper than 1024 levels",
        ),
        ("exports.initialize = (w) => w.frame(1, '['.repeat(1000));", StartStage::Protocol, "cannot be read"),
        ("exports.initialize = (w) => w.frame(1, 'not json');", StartStage::Protocol, "cannot be read"),
        ("exports.initialize = (w) => w.frame(9, '{}');", StartStage::Protocol, "unknown kind 9"),
        (
            "exports.initialize = (w) => w.frame(2, '{}');",
            StartStage::Protocol,
            "an MCP frame cannot be read",
        ),
        (
            "exports.initialize = (w) => { w.socket.destroy(); return w.hang(); };",
            StartStage::LoadOrInitialize,
            "closed its channel",
        ),
        ("exports.bind = () => { throw new Error('second'); };", StartStage::Bind, "second"),
        ("exports.bind = (w) => w.block();", StartStage::Bind, "`bind` did not end"),
    ];
    for (index, (script, stage, message)) in cases.into_iter().enumerate() {
        let instance = house.plugin_named(&format!("hay-plugin-{index}"), script);
        let answer = tokio::time::timeout(SOON, house.workers.ensure(&instance)).await.unwrap();
        let Err(Unavailable::StartFailed(failure)) = answer else { panic!("{script}: {answer:?}") };
        assert_eq!(failure.stage, stage, "{script}: {failure}");
        assert!(failure.message.contains(message), "{script}: {failure}");
    }
    assert_eq!(house.workers.statuses().await, []);
    house.close().await;
}

#[tokio::test]
async fn last_words_are_heard_however_fast_the_end_comes() {
    let house = House::new();
    for index in 0..10 {
        let script = "exports.initialize = (w) => {
            w.sync({ type: 'fatal', stage: 'register', error: { name: 'E', message: 'last words', reason: 'configuration',
                problems: [{ at: 'config.a', message: 'is wrong' }] } });
            process.reallyExit(70);
        };";
        let instance = house.plugin_named(&format!("hay-plugin-{index}"), script);
        let Err(Unavailable::StartFailed(failure)) = house.workers.ensure(&instance).await else {
            panic!("it runs")
        };
        assert_eq!((failure.stage, failure.message.as_str()), (StartStage::Register, "last words"));
        assert_eq!(failure.problems[0].at, "config.a");
    }
    house.close().await;
}

#[tokio::test]
async fn last_words_are_heard_behind_a_flood_that_nobody_reads() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });
         exports.enable = async (w) => {
           // All in one write, so that the socket takes it whole.
           const note = Buffer.from('....\\x02{\"server\":\"tools\",\"message\":{}}');
           note.writeUInt32BE(note.length - 5, 0);
           w.raw(Buffer.concat(Array(300).fill(note)));
           await new Promise(setImmediate);
           w.sync({ type: 'fatal', stage: 'protocol', error: { name: 'E', message: 'last words', reason: 'thrown' } });
           process.reallyExit(70);
         };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let gone = HookError::WorkerGone { reason: "last words".into() };
    assert_eq!(worker.call_hook(HookCall::Enable).await, Err(gone));
    house.close().await;
}

#[tokio::test]
async fn what_a_worker_left_on_its_channel_does_not_outlive_it() {
    let house = House::new();
    let heir = format!("exports.enable = (w) => new Promise(() => {{ {} }});", crate::support::HEIR);
    let instance = house.plugin(&heir);
    let worker = house.workers.ensure(&instance).await.unwrap();
    let answer = tokio::time::timeout(SOON, worker.call_hook(HookCall::Enable)).await.expect("an answer");
    let gone = HookError::WorkerGone { reason: "the worker failed: it ended with exit code 3".into() };
    assert_eq!(answer, Err(gone));
    assert!(house.workers.ensure(&instance).await.is_ok());
    tokio::time::timeout(SOON, house.workers.stop(&instance, "a test says so")).await.expect("a stop");

    // Nor does one that is only asked what it registers.
    let script = format!("exports.initialize = (w) => {{ {} return w.hang(); }};", crate::support::HEIR);
    let package = house.package("hay-plugin-probed", &script);
    let probed = tokio::time::timeout(SOON, house.workers.probe(&package)).await.expect("an answer");
    let Err(ProbeError::StartFailed(failure)) = probed else { panic!("{probed:?}") };
    assert_eq!(failure.message, "it ended with exit code 3");
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_ended() {
    let house = House::with(|settings| settings.deadlines.spawn = Duration::from_millis(500));
    let instance = house.plugin("for (;;);");
    let Err(Unavailable::StartFailed(failure)) = house.workers.ensure(&instance).await else {
        panic!("it runs")
    };
    assert_eq!((failure.stage, failure.message.as_str()), (StartStage::Load, "it said nothing within 0.5 s"));
    house.close().await;
}

#[tokio::test]
async fn a_crash_in_the_middle_fails_what_waits_at_once() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => w.openMcp({ id: 'tools', kind: 'inProcess' });
         exports.enable = (w) => w.hang();
         exports.disable = () => process.exit(9);
         exports.mcp = (w, server, message) => { if (message.id === 0) w.mcp(server, { id: 0, result: {} }); };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let (hung, call, crash) = tokio::join!(
        worker.call_hook(HookCall::Enable),
        house.observer.call("tools", json!({ "id": 1, "method": "tools/call" })),
        worker.call_hook(HookCall::Disable),
    );
    let gone = HookError::WorkerGone { reason: "the worker failed: it ended with exit code 9".into() };
    assert_eq!((hung, crash, call), (Err(gone.clone()), Err(gone), None));
    assert!(!worker.is_alive());
    assert_eq!(
        house.observer.event("crashed").await,
        "crashed (at once): the worker failed: it ended with exit code 9"
    );
    let events = house.observer.events();
    assert_eq!(&events[..4], ["starting", "opened tools", "ready", "closed tools"]);

    // The next call starts another one at once; the second crash makes calls wait.
    let second = house.workers.ensure(&instance).await.unwrap();
    assert_ne!(second.id(), worker.id());
    assert_eq!(house.workers.statuses().await[0].restarts, 1);
    let _ = second.call_hook(HookCall::Disable).await;
    house.observer.event("crashed (later)").await;
    let Err(Unavailable::Backoff { retry_after, last_error }) = house.workers.ensure(&instance).await else {
        panic!("it started")
    };
    assert!(retry_after <= Duration::from_millis(625));
    assert_eq!(last_error, "the worker failed: it ended with exit code 9");
    // A person who stops it takes the pause away.
    house.workers.stop(&instance, "a person restarts it").await;
    assert!(house.workers.ensure(&instance).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn a_killed_worker_is_noticed_without_being_asked() {
    let house = House::new();
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    let pid = house.workers.statuses().await[0].pid.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let crashed = house.observer.event("crashed").await;
    assert_eq!(crashed, "crashed (at once): the worker failed: it ended with signal 9 (SIGKILL)");
    assert!(house.workers.ensure(&instance).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn a_blocked_event_loop_ends_in_any_hook() {
    for (hook, call) in [
        ("enable", HookCall::Enable),
        ("configUpdate", HookCall::ConfigUpdate),
        ("validateAuth", HookCall::ValidateAuth { config: None, credentials: None }),
        ("disable", HookCall::Disable),
    ] {
        let house = House::quick();
        let instance = house.plugin(&format!("exports.{hook} = (w) => w.block();"));
        let neighbour = house.plugin_named("hay-plugin-neighbour", "");
        let worker = house.workers.ensure(&instance).await.unwrap();
        let other = house.workers.ensure(&neighbour).await.unwrap();
        let name = call.name().to_owned();
        let (answer, others) = tokio::join!(worker.call_hook(call), other.call_hook(HookCall::Enable));
        assert!(matches!(answer, Err(HookError::Timeout { .. })), "{answer:?}");
        assert!(others.is_ok());
        let crashed = house.observer.event("crashed").await;
        assert!(
            crashed.contains(&format!("`{name}`")) && crashed.contains("event loop is blocked"),
            "{crashed}"
        );
        assert!(other.is_alive());
        house.close().await;
    }
}

/// The runner keeps deadlines too, so the host has to mean the same ones.
#[tokio::test]
async fn hooks_without_a_deadline_of_their_own_have_that_of_new_settings() {
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
    for (settings_hook, others) in [(long, short), (short, long)] {
        let house = House::with(|settings| {
            settings.deadlines = Deadlines {
                on_config_update: settings_hook,
                on_validate_auth: others,
                on_disable: others,
                ..quick()
            };
        });
        let slow = "() => new Promise((done) => setTimeout(done, 1500))";
        let instance = house.plugin(&format!("exports.enable = exports.connected = {slow};"));
        for call in [HookCall::Enable, HookCall::Connected] {
            let hook = call.name().to_owned();
            let worker = house.workers.ensure(&instance).await.unwrap();
            let answer = worker.call_hook(call).await;
            if settings_hook == long {
                assert!(answer.is_ok(), "{hook}: {answer:?}");
            } else {
                assert_eq!(answer, Err(HookError::Timeout { hook, after: short }));
                house.workers.stop(&instance, "for the next one").await;
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_blocked_start_hook_is_a_crash() {
    let house = House::quick();
    let instance = house.plugin("exports.start = (w) => w.block();");
    let answer = tokio::time::timeout(SOON, house.workers.ensure(&instance)).await.unwrap();
    let Err(Unavailable::StartFailed(failure)) = answer else { panic!("{answer:?}") };
    assert_eq!(failure.stage, StartStage::Start);
    assert!(failure.message.contains("event loop is blocked"), "{failure}");
    assert_eq!(house.workers.statuses().await, []);
    house.close().await;
}

#[tokio::test]
async fn garbage_from_a_serving_worker_ends_it_alone() {
    for script in [
        "w.raw(Buffer.alloc(64, 255))",
        "w.frame(1, Buffer.alloc(100))",
        "w.frame(2, '{\"server\":1}')",
        "w.send({ type: 'ready' })",
        "w.send({ type: 'fatal', stage: 'protocol', error: { name: 'E', message: 'm', reason: 'thrown' } })",
        "for (let i = 0; i < 5000; i++) w.send({ type: 'updateAuth', id: i, methodId: 'm' })",
    ] {
        let house = House::new();
        let neighbour = house.plugin_named("hay-plugin-neighbour", "");
        let other = house.workers.ensure(&neighbour).await.unwrap();
        let instance = house.plugin(&format!("exports.enable = (w) => {{ {script}; return w.hang(); }};"));
        let worker = house.workers.ensure(&instance).await.unwrap();
        let answer = tokio::time::timeout(SOON, worker.call_hook(HookCall::Enable)).await.unwrap();
        assert!(matches!(answer, Err(HookError::WorkerGone { .. })), "{script}: {answer:?}");
        assert!(other.call_hook(HookCall::Enable).await.is_ok());
        house.close().await;
    }
}

#[tokio::test]
async fn lies_that_harm_nobody_are_ignored() {
    let house = House::new();
    let instance = house.plugin(
        "exports.enable = (w) => {
           for (let id = 0; id < 100; id++) w.send({ type: 'result', id: 1000 + id, value: { forged: true } });
           w.send({ type: 'pong', nonce: 77 });
           w.mcp('nobody', { id: 1 });
           w.mcp('not a server id', { id: 1 });
           return { fine: true };
         };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(worker.call_hook(HookCall::Enable).await, Ok(json!({ "fine": true })));
    house.close().await;
}

#[tokio::test]
async fn a_stalled_event_loop_is_shown() {
    let house = House::with(|settings| {
        settings.deadlines.ping = Duration::from_millis(50);
        settings.deadlines.pong = Duration::from_millis(100);
    });
    let instance = house.plugin(
        "const t = Date.now(); let pings = 0;
         exports.ping = (w, nonce) => { if (pings++ > 0) w.send({ type: 'pong', nonce }); else setTimeout(() => w.send({ type: 'pong', nonce }), 400); };",
    );
    house.workers.ensure(&instance).await.unwrap();
    let stalled = |expected: bool| {
        let workers = house.workers.clone();
        async move {
            while workers.statuses().await[0].stalled_since.is_some() != expected {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(SOON, stalled(true)).await.unwrap();
    tokio::time::timeout(SOON, stalled(false)).await.unwrap();
    assert!(house.workers.logs(&instance, 10).iter().any(|line| line.message.contains("does not answer")));
    house.close().await;
}
