//! What a worker says cannot forge, flood or break what the host says.

use futures::future::join_all;
use hayloft_testkit::Organization;
use serde_json::{Value, json};

use crate::harness::{HOSTILE, PATIENCE, Setup, Verdicts, World, canary, until};

in_setups!(strongest Strongest, landlock Landlock:
    log_lines_cannot_be_forged, broken_frames_end_their_worker, deep_lines_end_their_server);

async fn log_lines_cannot_be_forged(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let mark = canary("forged");
    let emit = "
        const lines = [
          JSON.stringify({ level: 'error', message: input, timestamp: '1999-01-01T00:00:00Z', target: 'hayloft::lifecycle', organization: 'org_forged', worker: 'wrk_forged', plugin: 'forged', time: '1999-01-01T00:00:00Z' }),
          `{\"timestamp\":\"1999-01-01T00:00:00Z\",\"level\":\"ERROR\",\"message\":\"${input}\",\"target\":\"hayloft\"}`,
          `${input}\\r{\"level\":\"error\"}`,
          `${input}\\u2028{\"level\":\"error\"}\\u2029`,
          `${input}\\u001b[2J\\u001b]0;owned\\u0007\\u001b]8;;http://evil.test\\u0007`,
          `${input}\\u0000\\u0008\\u007f\\u009b31m`,
          '{\"level\":\"' + input + '\"}',
          '{\"level\":{\"toString\":1},\"message\":[1,2,3]}',
          '{\"message\":' + '['.repeat(5000) + ']'.repeat(5000) + '}',
          input + 'x'.repeat(100_000),
        ];
        for (const line of lines) fs.writeSync(1, line + '\\n');
        fs.writeSync(2, Buffer.from([0xff, 0xfe, 0xc0, 0xaf, 0xed, 0xa0, 0x80, 0x0a]));
        fs.writeSync(2, 'last ' + input + '\\n');
        return 1";
    world.run(&world.attacker, emit, json!(mark)).await;
    let last = format!("last {mark}");
    let logs = async || world.attacker.get(&format!("plugins/{HOSTILE}/logs")).await.expect(200);
    until("the last line", PATIENCE, async || logs().await.text().contains(&last)).await;
    let answer = logs().await;
    verdicts.check(!answer.body.iter().any(|byte| *byte < 0x20 && *byte != b'\n' || *byte == 0x7f), || {
        "raw control characters are in the answer".into()
    });
    let lines = answer.json()["lines"].as_array().unwrap().clone();
    let worker = world.worker(&world.attacker).await["workerId"].clone();
    for line in &lines {
        let text = line.to_string();
        let fields = line.as_object().unwrap();
        verdicts.check(
            !fields.values().any(|value| {
                ["org_forged", "wrk_forged", "forged", "1999-01-01T00:00:00Z"]
                    .iter()
                    .any(|forged| value == *forged)
            }),
            || format!("a field was forged: {line}"),
        );
        verdicts.check(text.len() < 40 << 10, || format!("a line has {} bytes", text.len()));
        for (name, value) in fields {
            if name.to_lowercase().contains("worker") {
                verdicts.check(*value == worker, || format!("a line is another worker's: {line}"));
            }
            if name == "level" {
                verdicts.check(
                    ["trace", "debug", "info", "warn", "error"].iter().any(|level| value == *level),
                    || format!("a level was made up: {line}"),
                );
            }
        }
    }
    verdicts
        .check(lines.iter().any(|line| line.to_string().contains(&mark)), || "nothing of it was kept".into());
    // The host's own log stays one JSON object per line, and none of them is a plugin's.
    for line in world.server.stderr().lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(fields)) => {
                let own = fields
                    .get("timestamp")
                    .and_then(Value::as_str)
                    .is_some_and(|time| !time.starts_with("1999"));
                verdicts.check(own && fields.contains_key("target"), || {
                    format!("a line of the host's log was forged: {line}")
                });
            }
            Ok(_) | Err(_) => verdicts.check(false, || format!("a line of the host's log is broken: {line}")),
        }
        verdicts.check(!line.contains('\u{1b}'), || format!("an escape is in the host's log: {line:?}"));
    }
    verdicts.done();
    world.end().await;
}

async fn broken_frames_end_their_worker(setup: Setup) {
    let world =
        World::start_with(setup, |builder| builder.environment("HAYLOFT_LIMITS_TOOL_CALL", "5s")).await;
    let mut verdicts = Verdicts::new(setup);
    let prelude = "
        const write = async (buffer) => { for (let at = 0; at < buffer.length;) { try { at += fs.writeSync(3, buffer, at); } catch (error) { if (error.code !== 'EAGAIN') throw error; await new Promise(setImmediate); } } };
        const head = (length, kind) => { const bytes = Buffer.alloc(5); bytes.writeUInt32BE(length >>> 0); bytes[4] = kind; return bytes; };
        const frame = (text, kind = 1) => { const body = Buffer.from(text); return Buffer.concat([head(body.length, kind), body]); };";
    let attacks = [
        ("a length of 4 GiB", "await write(head(0xffffffff, 1))", true),
        (
            "a message of 100 MB",
            "await write(head(100 << 20, 1)); const block = Buffer.alloc(1 << 20, 0x20); for (let i = 0; i < 100; i++) await write(block)",
            true,
        ),
        (
            "a message that never ends",
            "await write(head(4 << 20, 1)); for (let i = 0; i < 1000; i++) await write(Buffer.from('x'))",
            false,
        ),
        ("deep JSON", "await write(frame('['.repeat(100_000)))", true),
        (
            "deep JSON that closes",
            "await write(frame('{\"type\":\"pong\",\"nonce\":' + '['.repeat(100_000) + ']'.repeat(100_000) + '}'))",
            true,
        ),
        (
            "deep MCP",
            "await write(frame('{\"server\":\"main\",\"message\":' + '['.repeat(100_000) + ']'.repeat(100_000) + '}', 2))",
            true,
        ),
        ("unknown kind", "await write(frame('{}', 9))", true),
        ("unknown type", "await write(frame('{\"type\":\"become-host\"}'))", true),
        ("no UTF-8", "await write(Buffer.concat([head(4, 1), Buffer.from([0xff, 0xfe, 0xff, 0xfe])]))", true),
        (
            "answers to nothing",
            "for (let id = 0; id < 2000; id++) await write(frame(JSON.stringify({ type: 'result', id, value: {} })))",
            false,
        ),
        (
            "the same answer twice",
            "for (let i = 0; i < 200; i++) await write(frame(JSON.stringify({ server: 'main', message: { jsonrpc: '2.0', id: i % 3, result: {} } }), 2))",
            false,
        ),
        (
            "ready again",
            "await write(frame('{\"type\":\"ready\"}')); await write(frame('{\"type\":\"hello\",\"protocol\":1,\"node\":\"x\",\"runner\":\"x\",\"sdk\":\"x\"}'))",
            false,
        ),
        (
            "a foreign server",
            "await write(frame(JSON.stringify({ server: 'other', message: { jsonrpc: '2.0', method: 'notifications/tools/list_changed' } }), 2))",
            false,
        ),
        (
            "many servers",
            "for (let id = 0; id < 500; id++) await write(frame(JSON.stringify({ type: 'openMcp', id: 10_000 + id, server: { id: 's' + id, kind: 'inProcess' } })))",
            false,
        ),
        (
            "a million messages",
            "const one = frame('{\"type\":\"pong\",\"nonce\":1}'); const block = Buffer.concat(Array(1000).fill(one)); for (let i = 0; i < 200; i++) await write(block)",
            false,
        ),
    ];
    let before = resident(&world);
    let victim = world.pids(&world.victim).await.runner;
    // What nests just not too deep is no attack.
    let first = world.pids(&world.attacker).await.runner;
    let nested = "await write(frame('{\"server\":\"main\",\"message\":' + '['.repeat(1000) + ']'.repeat(1000) + '}', 2)); return 1";
    assert_eq!(world.run(&world.attacker, &format!("{prelude} {nested}"), json!(null)).await, 1);
    assert_eq!(world.pids(&world.attacker).await.runner, first);
    // One after the other those that end their worker. The others wait for the deadline of their call, each in an
    // organization of its own.
    for (name, code, _) in attacks.iter().filter(|(.., ends)| *ends) {
        let first = world.pids(&world.attacker).await.runner;
        let code = format!("{prelude} {code}");
        verdicts.append(broken_frames(&world, &world.attacker, name, &code, before, Some(first)).await);
    }
    let lasting = attacks.iter().filter(|(.., ends)| !ends).map(async |(name, code, _)| {
        let organization = world.server.organization(name).await;
        organization.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
        let code = format!("{prelude} {code}");
        broken_frames(&world, &organization, name, &code, before, None).await
    });
    for found in join_all(lasting).await {
        verdicts.append(found);
    }
    verdicts.check(world.pids(&world.victim).await.runner == victim, || {
        "the victim's worker was replaced".into()
    });
    verdicts.done();
    world.end().await;
}

/// Sends frames from an organization's worker while the victim works. A worker that they end is named by its process.
async fn broken_frames(
    world: &World,
    who: &Organization,
    name: &str,
    code: &str,
    before: u64,
    ends: Option<u32>,
) -> Verdicts {
    let mut verdicts = Verdicts::new(world.setup);
    let code = format!("{code}; return new Promise(() => {{}})");
    let attack = world.try_run(who, "hostile__run", &code, json!(null));
    let meanwhile = async {
        for _ in 0..5 {
            world.victim_works().await;
        }
    };
    let (answer, ()) = futures::join!(attack, meanwhile);
    verdicts.check(answer.status != 200, || format!("{name}: {}", answer.text()));
    if let Some(process) = ends {
        let gone = async || hayloft_testkit::process::Process::find(process).is_none();
        until("the worker to end", PATIENCE, gone).await;
    }
    let now = resident(world);
    verdicts.check(now < before + (96 << 20), || format!("{name}: the host grew from {before} to {now}"));
    who.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    who.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
    verdicts
}

async fn deep_lines_end_their_server(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    world.enable_parent().await;
    let nested =
        "process.stdout.write('['.repeat(input) + ']'.repeat(input) + '\\n'); return performance.timeOrigin";
    let says = async |depth: u32| world.try_run(&world.attacker, "parent__run", nested, json!(depth)).await;
    let before = resident(&world);
    // What nests just not too deep is no attack, and the server stays.
    let origin = world.run_tool(&world.attacker, "parent__run", nested, json!(1000)).await;
    assert_eq!(world.run_tool(&world.attacker, "parent__run", nested, json!(1000)).await, origin);
    let broken = says(100_000).await;
    verdicts.check(broken.status == 502 && broken.text().contains("nests deeper than 1024 levels"), || {
        format!("a deep line: {} {}", broken.status, broken.text())
    });
    verdicts.check(resident(&world) < before + (16 << 20), || {
        format!("the host grew from {before} to {}", resident(&world))
    });
    world.victim_works().await;
    // It is back with a next call, and it is another one.
    let back = async || {
        let answer = says(1).await;
        answer.status == 200 && !answer.text().contains(&origin.to_string())
    };
    until("the server to be back", PATIENCE, back).await;
    verdicts.done();
    world.end().await;
}

fn resident(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
