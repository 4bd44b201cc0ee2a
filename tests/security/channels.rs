//! Two workers have no way to speak with each other: no shared memory, no queue, no lock.

use serde_json::json;

use crate::harness::{Setup, Verdicts, World, canary};

in_every_setup!(two_workers_share_nothing);

async fn two_workers_share_nothing(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let name = canary("channel");
    let key = format!("{}", 0x4000_0000 + std::process::id());
    for (write, read, name) in [
        ("sysv-shm-write", "sysv-shm-read", &key),
        ("mq-write", "mq-read", &name),
        ("shm-open-write", "shm-open-read", &name),
    ] {
        let written = world.attack_as(&world.victim, &[write, name]).await;
        let read = world.attack(&[read, name]).await;
        verdicts.check(!read.succeeded, || format!("{written:?}, then {read:?}"));
    }
    verdicts.refused(&world.attack(&["keyctl"]).await);
    // A lock on a file that both have.
    let hold = "
        const { spawn } = require('child_process');
        const child = spawn(native, ['flock', input, 'hold']);
        globalThis.holder = child;
        return await new Promise((done, fail) => { child.on('error', fail); child.stdout.once('data', (line) => done(JSON.parse(line))); })";
    let shared = world.run(&world.attacker, "return native", json!(null)).await;
    for file in [shared.as_str().unwrap(), "/bin/sh"] {
        let held = world.run(&world.victim, hold, json!(file)).await;
        let lock = world.attack(&["flock", file]).await;
        // Either nobody can lock what all have, or each for itself.
        verdicts.check(held["succeeded"] == false || lock.succeeded, || {
            format!("the lock on {file} tells the other worker: {held} {lock:?}")
        });
        world.run(&world.victim, "globalThis.holder.kill('SIGKILL'); return 1", json!(null)).await;
    }
    // What is its own works.
    let own = format!("{}/lock", world.home(&world.attacker).await);
    world.run(&world.attacker, "fs.writeFileSync(input, ''); return 1", json!(own)).await;
    verdicts.done();
    world.end().await;
}
