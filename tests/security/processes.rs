//! Other processes are out of reach: the host, its other workers, and the first process of the own jail.

use hayloft_testkit::process::Process;
use serde_json::json;

use crate::harness::{HOSTILE, Outcome, Setup, Verdicts, World, words};

in_every_setup!(
    processes_cannot_be_looked_into,
    processes_cannot_be_signalled,
    the_first_process_reaps_whatever_comes,
    programs_from_elsewhere_are_no_way_out,
);

async fn processes_cannot_be_looked_into(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let (own, victim) = (world.pids(&world.attacker).await, world.pids(&world.victim).await);
    let mut targets = vec![world.server.pid(), victim.runner, victim.init, own.init];
    if setup.has_namespaces() {
        targets.push(1);
    }
    let acts: Vec<_> = targets
        .iter()
        .flat_map(|pid| {
            [
                "ptrace-attach PID",
                "vm-read PID",
                "vm-write PID",
                "pidfd-getfd PID 0",
                "pidfd-getfd PID 3",
                "read-mem PID",
                "read-proc PID environ",
                "read-proc PID root",
                "read-proc PID cwd",
                "read-proc PID exe",
                "read-proc PID maps",
                "read-proc PID fd/3",
                "read-proc PID auxv",
                "prlimit PID",
                "kcmp PID",
                "setns PID",
            ]
            .map(|act| words(&act.replace("PID", &pid.to_string())))
        })
        .collect();
    for outcome in world.attacks(&acts).await {
        verdicts.refused(&outcome);
    }
    // Priority and processors of others; its own first process has its own priority, and it may lower that.
    for pid in &targets[..3] {
        for act in ["renice", "pin"] {
            verdicts.refused(&world.attack(&[act, &pid.to_string()]).await);
        }
    }
    // The same on itself works, as far as the call exists at all in a jail.
    let code = "return [attack('read-proc', process.pid, 'cmdline'), attack('renice', 0)]";
    for value in world.run(&world.attacker, code, json!(null)).await.as_array().unwrap() {
        verdicts.succeeded(&Outcome::read(value, ""));
    }
    // No number is left out: whatever is seen in `/proc` is the attacker's own.
    let seen = "return fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).map((pid) => {
        try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8'); } catch (error) { return error.code; } })";
    let seen = world.attempts(&world.attacker, &[("see processes", seen)], json!(null)).await;
    if setup.has_namespaces() {
        let own: Vec<String> = serde_json::from_str(&seen[0].detail).unwrap();
        verdicts.check(own.len() <= 4, || format!("it sees {own:?}"));
    } else {
        verdicts.refused(&seen[0]);
    }
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}

async fn processes_cannot_be_signalled(setup: Setup) {
    // One that stands still answers nothing: neither a call nor, in the end, the hook of being switched off.
    let world = World::start_with(setup, |builder| {
        builder
            .environment("HAYLOFT_LIMITS_TOOL_CALL", "4s")
            .environment("HAYLOFT_LIMITS_ON_DISABLE", "500ms")
            .environment("HAYLOFT_LIMITS_DRAIN", "500ms")
    })
    .await;
    let mut verdicts = Verdicts::new(setup);
    let (own, victim) = (world.pids(&world.attacker).await, world.pids(&world.victim).await);
    let bystander = crate::harness::command("cat").stdin(std::process::Stdio::piped()).spawn();
    let mut bystander = bystander.expect("a process of the host");
    for pid in [world.server.pid(), victim.runner, victim.init, own.init, bystander.id(), 1] {
        for signal in ["0", "19", "15", "9"] {
            // A jail's own first process is 1 in its own numbers: it may be asked for and feels nothing.
            let harmless = setup.has_namespaces() && pid == 1;
            let outcome = world.attack(&["kill", &pid.to_string(), signal]).await;
            if !harmless {
                verdicts.refused(&outcome);
            }
        }
    }
    // Groups and everybody.
    let wide = [
        ("group of the host", "process.kill(-input.host, 0)"),
        ("group of the victim", "process.kill(-input.victim, 0)"),
    ];
    for outcome in world
        .attempts(&world.attacker, &wide, json!({ "host": world.server.pid(), "victim": victim.runner }))
        .await
    {
        verdicts.refused(&outcome);
    }
    // Its own child it can end.
    let own_child = "const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
        await new Promise((done) => child.on('spawn', done)); const ended = new Promise((done) => child.on('exit', (_, signal) => done(signal)));
        process.kill(child.pid, 'SIGKILL'); return await ended";
    verdicts.check(world.run(&world.attacker, own_child, json!(null)).await == "SIGKILL", || {
        "its own child did not end".into()
    });
    let before = world.server.processes();
    let outcome = world.attack(&["kill-all", "0"]).await;
    let hit: Vec<u32> = outcome
        .detail
        .split_once(':')
        .map_or("", |(_, list)| list)
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    // Inside, numbers are small; a worker's threads have some, too.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", own.runner)).unwrap();
    let tasks: Vec<u32> =
        tasks.flatten().map(|task| task.file_name().to_str().unwrap().parse().unwrap()).collect();
    let is_own = |pid: &u32| if setup.has_namespaces() { *pid < 500 } else { tasks.contains(pid) };
    let theirs = hit.iter().all(is_own);
    verdicts.check(theirs, || format!("a signal to all reached {hit:?}"));
    for signal in ["9", "19"] {
        // Its own worker goes with them, or stands still until the host ends it.
        world
            .try_run(
                &world.attacker,
                "hostile__run",
                &format!("return attack('kill-all', {signal})"),
                json!(null),
            )
            .await;
        world.victim_works().await;
    }
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    for process in before.iter().filter(|process| process.parent != own.init && process.pid != own.init) {
        verdicts.check(process.is_alive(), || format!("`{}` is gone", process.command));
    }
    for pid in [world.server.pid(), victim.runner, victim.init] {
        verdicts.check(Process::find(pid).is_some(), || format!("process {pid} is gone"));
    }
    verdicts.check(bystander.try_wait().unwrap().is_none(), || "a process of the host was killed".into());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}

async fn the_first_process_reaps_whatever_comes(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let own = world.pids(&world.attacker).await;
    // The limit of tasks may refuse some while the first process catches up.
    let made = world.attack(&["zombies", "10000"]).await;
    let count = made.detail.split(' ').next().and_then(|count| count.parse::<u32>().ok());
    verdicts.check(count > Some(5000), || format!("{made:?}"));
    let init = if setup.has_namespaces() { 1 } else { own.init };
    for act in ["ptrace-attach", "vm-write", "prlimit"] {
        verdicts.refused(&world.attack(&[act, &init.to_string()]).await);
    }
    let children = || Process::descendants(own.init).len();
    crate::harness::until("all orphans to be reaped", crate::harness::PATIENCE, async || children() <= 1)
        .await;
    let zombies = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of_init = format!(" Z {} ", own.init);
    verdicts.check(zombies.filter(|stat| stat.contains(&of_init)).count() == 0, || "zombies are left".into());
    verdicts
        .check(world.pids(&world.attacker).await.runner == own.runner, || "the worker was replaced".into());
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}

async fn programs_from_elsewhere_are_no_way_out(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let home = world.home(&world.attacker).await;
    let host = world.server.pid().to_string();
    // A jail with a root of its own has no file system on which that bit means anything.
    if !setup.has_namespaces() {
        verdicts.refused(&world.attack(&["plant-setuid", &home]).await);
    }
    for act in [
        &["memfd-exec"][..],
        &["tmp-exec", &home],
        &["su"],
        &["setuid"],
        &["setgroups"],
        &["capabilities"],
        &["raise-limit"],
        &["ambient"],
    ] {
        verdicts.refused(&world.attack(act).await);
    }
    let own = world.run(&world.attacker, "return native", json!(null)).await;
    verdicts.succeeded(&world.attack(&["ld-so-exec", own.as_str().unwrap()]).await);
    // Whatever way a program was started, it is in the same jail.
    let again = "
        const { spawnSync } = require('child_process');
        const copy = process.env.HOME + '/copy';
        fs.copyFileSync(native, copy);
        const out = [];
        for (const command of [['/lib64/ld-linux-x86-64.so.2', native], ['/lib64/ld-linux-x86-64.so.2', copy], ['/bin/sh', '-c', `exec ${native} \"$@\"`, 'sh']]) {
          for (const words of input) {
            const ended = spawnSync(command[0], [...command.slice(1), ...words], { encoding: 'utf8' });
            out.push(ended.stdout ? JSON.parse(ended.stdout) : { act: words.join(' '), succeeded: false, errno: 'EACCES', detail: ended.stderr });
          }
        }
        return out";
    let acts = json!([
        ["ptrace-attach", host],
        ["read-proc", host, "environ"],
        ["capabilities"],
        ["unshare-user"],
        ["bpf"],
        ["kill", host, "0"]
    ]);
    for value in world.run(&world.attacker, again, acts).await.as_array().unwrap() {
        verdicts.refused(&Outcome::read(value, ""));
    }
    verdicts.done();
    world.end().await;
}
