//! The kernel's interface is as small as the reviewed list says, and no new world can be made inside the jail.

use serde_json::json;

use crate::harness::{Setup, Verdicts, World, words};

in_every_setup!(no_new_worlds, only_the_reviewed_calls, no_terminal_to_type_into);

async fn no_new_worlds(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let home = world.home(&world.attacker).await;
    let host = world.server.pid();
    let acts: Vec<_> = [
        "unshare-user",
        "unshare-mount",
        "unshare-net",
        "mount-tmpfs HOME",
        "mount-tmpfs /tmp",
        "remount /",
        "remount /usr",
        "unmount /proc",
        "unmount /tmp",
        "pivot",
        "chroot HOME",
        "setns 1",
        "setns HOST",
    ]
    .map(|act| words(&act.replace("HOME", &home).replace("HOST", &host.to_string())))
    .into();
    for outcome in world.attacks(&acts).await {
        verdicts.refused_with(&outcome, &["EPERM", "ENOSPC", "ENOSYS", "ESRCH", "EACCES"]);
    }
    verdicts.done();
    world.end().await;
}

async fn only_the_reviewed_calls(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let acts: Vec<_> = [
        "io-uring",
        "bpf",
        "userfaultfd",
        "perf",
        "keyctl",
        "kcmp",
        "modify-ldt",
        "open-by-handle",
        "personality",
        "ambient",
        "int80",
    ]
    .map(words)
    .into();
    for outcome in world.attacks(&acts).await {
        verdicts.refused_with(&outcome, &["EPERM", "ENOSYS", "EACCES", "KILLED"]);
    }
    let list = world
        .run(
            &world.attacker,
            "return require('path').dirname(native) + '/reviewed-syscalls.txt'",
            json!(null),
        )
        .await;
    let scanned = world.attack(&["syscall-scan", list.as_str().unwrap()]).await;
    verdicts.refused(&scanned);
    verdicts.done();
    world.end().await;
}

async fn no_terminal_to_type_into(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    verdicts.refused(&world.attack(&["tiocsti"]).await);
    let acts = [
        ("open the terminal", "fs.openSync('/dev/tty', 'r+')"),
        ("open the console", "fs.openSync('/dev/console', 'r+')"),
        ("open a new terminal", "fs.openSync('/dev/ptmx', 'r+')"),
        (
            "be a terminal",
            "if (![0, 1, 2].some((fd) => require('tty').isatty(fd))) throw new Error('no terminal')",
        ),
    ];
    for outcome in world.attempts(&world.attacker, &acts, json!(null)).await {
        verdicts.refused(&outcome);
    }
    verdicts.done();
    world.end().await;
}
