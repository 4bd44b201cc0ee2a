//! What the jail promises, tried with real processes in every tier that the machine offers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod connect;
mod faults;
mod network;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use hayloft_sandbox::{Exit, JailSpec, Limits, Sandbox, Signal, Stdio, Step, Temporary, Tier};
use support::{
    Fixture, SOON, enter, groups_of, none_left, options, owner, ready, run, running, shell, status, tiers,
    until_asleep,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_process_inherits_only_what_is_named() {
    // Descriptors that a careless library left open without the close-on-exec flag.
    let _leaked: Vec<OwnedFd> =
        (0..3).map(|_| rustix::io::dup(File::open("/proc/version").unwrap()).unwrap()).collect();
    for tier in tiers() {
        let fixture = Fixture::new("inherits", tier);
        let jail = fixture.jail("inherits").await;
        let command = hayloft_sandbox::Command {
            stdin: Stdio::Piped,
            stderr: Stdio::Null,
            descriptors: vec![
                (File::open("/etc/hostname").unwrap().into(), 4),
                (File::open("/etc/passwd").unwrap().into(), 3),
            ],
            environment: vec![("A".into(), "1".into()), ("B".into(), "x=y".into())],
            ..shell("echo ready; read forever")
        };
        let mut process = jail.spawn(command).await.unwrap();
        let pid = process.pid().unwrap();
        let _lines = ready(&mut process).await;

        let numbers: BTreeSet<i32> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers, BTreeSet::from([0, 1, 2, 3, 4]), "{tier}");
        let target = |number: i32| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        assert_eq!(target(2), Path::new("/dev/null"));
        assert_eq!(target(3), Path::new("/etc/passwd"));
        assert_eq!(target(4), Path::new("/etc/hostname"));

        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let mut expected = vec!["A=1".to_owned(), "B=x=y".to_owned()];
        if tier >= Tier::C {
            expected.push(format!("HAYLOFT_WORKER={}/inherits", owner(&format!("inherits-{tier}"))));
        }
        let mut found: Vec<_> = environment.split_terminator('\0').map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, expected, "{tier}");

        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "SigBlk"), "0000000000000000", "{tier}");
        // The C library keeps signals 32 and 33 for itself, and sets them as it likes in what it starts.
        assert!(["0000000000000000", "0000000180000000"].contains(&&*status(pid, "SigIgn")), "{tier}");
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(limit("Max core file size"), "1 1");
        assert_eq!(limit("Max open files"), "1024 1024");
        assert_eq!(limit("Max data size"), "8589934592 8589934592");
        assert_eq!(limit("Max file size"), "268435456 268435456");
        if tier.as_str() != "off" {
            assert_eq!(status(pid, "Seccomp"), "2", "{tier}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                let empty = status(pid, set) == "0000000000000000";
                assert!(empty || set == "CapBnd" && !rustix::process::geteuid().is_root(), "{set} in {tier}");
            }
        }
        drop(process.take_stdin());
        assert_eq!(process.wait().await, Exit::Code(1), "{tier}");
        jail.end().await.unwrap();
    }
}

#[tokio::test]
async fn all_that_a_process_started_ends_with_its_jail() {
    for tier in tiers() {
        let fixture = Fixture::new("ends", tier);
        let jail = fixture.jail("ends").await;
        // A child, an orphan, and an orphan in a session of its own that forgot its environment.
        let marker = format!("86{}", 400 + tier as u32);
        let script = format!(
            "sleep {marker}1 & (sleep {marker}2 &) ; (setsid /usr/bin/env -i /bin/sleep {marker}3 &) ; echo ready; read forever"
        );
        let mut process =
            jail.spawn(hayloft_sandbox::Command { stdin: Stdio::Piped, ..shell(&script) }).await.unwrap();
        let _lines = ready(&mut process).await;
        until_asleep(&marker, 3).await;
        jail.end().await.unwrap();
        assert_eq!(running(&format!("sleep {marker}")), [] as [u32; 0], "{tier}");
        assert_eq!(process.wait().await, Exit::Signal(9));
        // Once more, and with nothing left.
        jail.end().await.unwrap();
        let refused = jail.spawn(shell("echo")).await.unwrap_err();
        assert_eq!(refused.to_string(), "run the stage for a test", "{tier}");
    }
}

#[tokio::test]
async fn a_jail_that_nobody_owns_ends() {
    for tier in tiers() {
        let fixture = Fixture::new("dropped", tier);
        let jail = fixture.jail("dropped").await;
        let marker = format!("87{}", 400 + tier as u32);
        let mut process = jail.spawn(shell(&format!("echo ready; exec sleep {marker}"))).await.unwrap();
        let _lines = ready(&mut process).await;
        let first = jail.pid();
        drop(jail);
        // A process keeps its jail.
        until_asleep(&marker, 1).await;
        drop(process);
        assert!(none_left(&format!("sleep {marker}")), "{tier}");
        let begun = Instant::now();
        while Path::new(&format!("/proc/{first}")).exists() && begun.elapsed() < SOON {
            tokio::task::yield_now().await;
        }
        assert!(!Path::new(&format!("/proc/{first}")).exists(), "{tier}: its first process is left");
        drop(fixture);
        let mine = owner(&format!("dropped-{tier}"));
        while !groups_of(&mine).is_empty() && begun.elapsed() < SOON {
            tokio::task::yield_now().await;
        }
        assert_eq!(groups_of(&mine), [] as [&Path; 0], "{tier}");
    }
}

#[tokio::test]
async fn ends_are_told_as_they_were() {
    for tier in tiers() {
        let fixture = Fixture::new("told", tier);
        let jail = fixture.jail("told").await;
        for (script, expected) in [
            ("exit 0", Exit::Code(0)),
            ("exit 7", Exit::Code(7)),
            ("kill -TERM $$", Exit::Signal(15)),
            ("kill -KILL $$", Exit::Signal(9)),
        ] {
            assert_eq!(run(&jail, script).await.1, expected, "{script} in {tier}");
        }
        let mut process = jail
            .spawn(shell("trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done"))
            .await
            .unwrap();
        let mut lines = ready(&mut process).await;
        process.signal(Signal::Terminate).unwrap();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("asked"), "{tier}");
        assert_eq!(process.wait().await, Exit::Code(3), "{tier}");

        let marker = format!("88{}", 400 + tier as u32);
        let mut process = jail.spawn(shell(&format!("sleep {marker} & echo ready; wait"))).await.unwrap();
        let _lines = ready(&mut process).await;
        until_asleep(&marker, 1).await;
        assert_eq!(process.kill().await, Exit::Signal(9), "{tier}");
        assert!(none_left(&format!("sleep {marker}")), "{tier}: its group is left");
        assert_eq!(run(&jail, "echo on").await.0, "on\n", "the jail goes on");
    }
}

#[tokio::test]
async fn the_end_of_a_jail_is_told_to_all_who_wait_for_it() {
    for tier in tiers() {
        let fixture = Fixture::new("over", tier);
        for name in ["killed", "ended"] {
            let jail = fixture.jail(name).await;
            let mut process = jail.spawn(shell("echo ready; while :; do sleep 0.05; done")).await.unwrap();
            let _lines = ready(&mut process).await;
            let end = async {
                if name == "killed" {
                    let first = rustix::process::Pid::from_raw(jail.pid().cast_signed()).unwrap();
                    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
                } else {
                    jail.end().await.unwrap();
                }
            };
            let told = tokio::time::timeout(SOON, jail.wait());
            assert_eq!(tokio::join!(told, end).0, Ok(Exit::Signal(9)), "{name} in {tier}");
            assert!(jail.spawn(shell("echo")).await.is_err(), "{name} in {tier}");
            assert_eq!(jail.wait().await, Exit::Signal(9), "once more");
            jail.end().await.unwrap();
        }
    }
}

#[tokio::test]
async fn streams_are_pipes() {
    for tier in tiers() {
        let fixture = Fixture::new("streams", tier);
        let jail = fixture.jail("streams").await;
        let mut process = jail
            .spawn(hayloft_sandbox::Command { stdin: Stdio::Piped, ..shell("cat; echo end >&2") })
            .await
            .unwrap();
        let mut stdin = process.take_stdin().unwrap();
        assert!(process.take_stdin().is_none());
        let long = "x".repeat(300_000);
        let writing = async {
            stdin.write_all(long.as_bytes()).await.unwrap();
            drop(stdin);
        };
        let mut said = String::new();
        let mut stdout = process.take_stdout().unwrap();
        let reading = async { stdout.read_to_string(&mut said).await.unwrap() };
        tokio::join!(writing, reading);
        assert_eq!(said, long);
        let mut errors = String::new();
        process.take_stderr().unwrap().read_to_string(&mut errors).await.unwrap();
        assert_eq!(errors, "end\n");
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_said_with_its_step() {
    for tier in tiers() {
        let fixture = Fixture::new("wrong", tier);
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("text"), "no program").unwrap();
        let spec = JailSpec { paths: vec![folder.path().into()], ..fixture.spec("wrong") };
        let jail = enter(&fixture.sandbox, spec).await;
        let text = folder.path().join("text");
        let command = |change: &dyn Fn(&mut hayloft_sandbox::Command)| {
            let mut command = shell("echo");
            change(&mut command);
            command
        };
        let table: [(_, Step, &str); 9] = [
            (
                command(&|wrong| wrong.program = "/no/such/program".into()),
                Step::Execute,
                "check that the path",
            ),
            (command(&|wrong| wrong.program = text.clone()), Step::Execute, "chmod +x"),
            (command(&|wrong| wrong.working_directory = "/no/such".into()), Step::WorkingDirectory, ""),
            (command(&|wrong| wrong.working_directory = text.clone()), Step::WorkingDirectory, ""),
            (command(&|wrong| wrong.program = "sh".into()), Step::Prepare, ""),
            (command(&|wrong| wrong.arguments.push("a\0b".into())), Step::Prepare, ""),
            (command(&|wrong| wrong.arguments.push("x".repeat(200_000).into())), Step::Prepare, ""),
            (command(&|wrong| wrong.environment.push(("A=B".into(), "".into()))), Step::Prepare, ""),
            (
                command(&|wrong| wrong.descriptors.push((File::open("/").unwrap().into(), 2))),
                Step::Prepare,
                "",
            ),
        ];
        for (index, (command, step, hint)) in table.into_iter().enumerate() {
            let error = jail.spawn(command).await.unwrap_err();
            assert_eq!(error.step, step, "{tier} {index}: {error}: {}", error.source);
            assert!(
                error.hint.as_deref().unwrap_or_default().contains(hint),
                "{tier} {index}: {:?}",
                error.hint
            );
        }
        assert_eq!(run(&jail, "echo on").await.0, "on\n", "the jail goes on");

        let missing = JailSpec { paths: vec!["/no/such/path".into()], ..fixture.spec("missing") };
        let entered = fixture.sandbox.enter(missing).await;
        if tier <= Tier::B {
            let error = entered.unwrap_err();
            assert_eq!((error.step, error.path.as_deref()), (Step::Mount, Some(Path::new("/no/such/path"))));
        } else {
            // Where nothing is mounted there is nothing to allow.
            entered.unwrap().end().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_jail_has_exactly_what_was_named() {
    for tier in tiers().into_iter().filter(|tier| *tier <= Tier::B) {
        let fixture = Fixture::new("root", tier);
        let plugin = tempfile::tempdir().unwrap();
        fs::set_permissions(plugin.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(plugin.path().join("file"), "code").unwrap();
        let spec = JailSpec {
            paths: vec![plugin.path().into()],
            links: vec![("/node_modules/@hay/plugin-sdk".into(), plugin.path().into())],
            ..fixture.spec("root")
        };
        let jail = enter(&fixture.sandbox, spec).await;
        let root = plugin.path().display();
        for (script, said) in [
            ("ls /".to_owned(), "bin\ndev\netc\nlib\nlib64\nnode_modules\nproc\ntmp\nusr\n".to_owned()),
            ("ls /dev".to_owned(), "fd\nfull\nnull\nrandom\nstderr\nstdin\nstdout\nurandom\nzero\n".to_owned()),
            ("ls /etc /etc/ssl/certs".to_owned(), "/etc:\ngroup\nhostname\nhosts\nld.so.cache\nnsswitch.conf\npasswd\nresolv.conf\nssl\n\n/etc/ssl/certs:\nca-certificates.crt\n".to_owned()),
            ("cat /node_modules/@hay/plugin-sdk/file".to_owned(), "code".to_owned()),
            ("cat /proc/self/setgroups /proc/sys/user/max_user_namespaces".to_owned(), "deny\n0\n".to_owned()),
            ("cat /proc/net/dev | grep -c :".to_owned(), "1\n".to_owned()),
            ("cat /proc/sys/kernel/hostname".to_owned(), "hayloft\n".to_owned()),
            ("cat /proc/1/comm".to_owned(), "hayloft-jail\n".to_owned()),
            (format!("echo x > {root}/file || echo refused"), "refused\n".to_owned()),
            ("echo x > /x || echo refused".to_owned(), "refused\n".to_owned()),
            ("echo 'echo run' > /tmp/x; cat /tmp/x; /bin/sh /tmp/x".to_owned(), "echo run\nrun\n".to_owned()),
            ("umask".to_owned(), "0022\n".to_owned()),
        ] {
            let (all, _) = run(&jail, &format!("{script} 2>/dev/null")).await;
            let all = all.lines().filter(|line| !line.contains("Read-only")).collect::<Vec<_>>().join("\n") + "\n";
            assert_eq!(all.trim_end(), said.trim_end(), "{script} in {tier}");
        }
        let (refused, _) = run(&jail, &format!("cat {root}/../* /etc/shadow /root /home /work")).await;
        assert!(!refused.contains("Permission denied") && refused.contains("No such file"), "{refused}");
        let (executed, _) =
            run(&jail, "cat /bin/sh > /tmp/sh; chmod +x /tmp/sh; /tmp/sh -c 'echo outlived'; echo $?").await;
        assert!(!executed.contains("outlived\n"), "{executed}");
    }
}

#[tokio::test]
async fn a_jail_that_installs_programs_can_run_them_and_keeps_the_rest_of_its_walls() {
    for tier in tiers().into_iter().filter(|tier| *tier <= Tier::B) {
        let fixture = Fixture::new("programs", tier);
        let limits = Limits { temporary: 4 << 20, ..Limits::default() };
        let spec = JailSpec { temporary: Temporary::Programs, limits, ..fixture.spec("programs") };
        let jail = enter(&fixture.sandbox, spec).await;
        let (said, _) =
            run(&jail, "cat /bin/sh > /tmp/sh; chmod +x /tmp/sh; /tmp/sh -c 'echo installed'").await;
        assert_eq!(said, "installed\n", "{tier}");
        // What it brings along has no more rights than the jail, and no more room.
        let (said, _) =
            run(&jail, "chmod u+s /tmp/sh; /tmp/sh -c 'cat /proc/self/status' | grep CapEff").await;
        assert!(said.contains("0000000000000000"), "{said}");
        let (said, _) = run(&jail, "dd if=/dev/urandom of=/tmp/large bs=64k count=128").await;
        assert!(said.contains("No space left on device"), "{tier}: {said}");
        let (said, _) = run(&jail, "echo x > /bin/x || echo refused").await;
        assert!(said.contains("refused"), "{said}");
    }
}

#[tokio::test]
async fn what_a_jail_wrote_is_gone_with_it() {
    for tier in tiers() {
        let fixture = Fixture::new("home", tier);
        for name in ["one", "other"] {
            let jail = fixture.jail(name).await;
            let home = jail.home().display().to_string();
            let (said, _) =
                run(&jail, &format!("ls -A {home}; echo x > {home}/written; cat {home}/written")).await;
            assert_eq!(said, "x\n", "{tier}");
            jail.end().await.unwrap();
        }
    }
}

#[tokio::test]
async fn too_much_memory_ends_the_jail_alone_and_is_said() {
    for tier in tiers() {
        let fixture = Fixture::new("memory", tier);
        let neighbour = fixture.jail("neighbour").await;
        let limits = Limits { memory: 64 << 20, ..Limits::default() };
        let jail = enter(&fixture.sandbox, JailSpec { limits, ..fixture.spec("bomb") }).await;
        // It keeps all of a line that never ends.
        let command = hayloft_sandbox::Command {
            stdout: Stdio::Null,
            ..shell("x=0123456789; while :; do x=$x$x; done")
        };
        let bomb = jail.spawn(command).await.unwrap();
        assert_eq!(tokio::time::timeout(SOON, bomb.wait()).await.unwrap(), Exit::OutOfMemory, "{tier}");
        jail.end().await.unwrap();
        assert_eq!(run(&neighbour, "echo on").await.0, "on\n", "{tier}");
    }
}

#[tokio::test]
async fn limits_hold() {
    for tier in tiers() {
        let fixture = Fixture::new("limits", tier);
        let limits = Limits { tasks: 24, temporary: 4 << 20, file_size: 1 << 20, ..Limits::default() };
        let jail = enter(&fixture.sandbox, JailSpec { limits, ..fixture.spec("limits") }).await;
        let home = jail.home().display().to_string();
        let (said, exit) = run(&jail, &format!("dd if=/dev/urandom of={home}/large bs=64k count=32")).await;
        assert!(
            matches!(exit, Exit::Signal(25) | Exit::Code(153)) || said.contains("File too large"),
            "{tier}: {exit} {said}"
        );
        if tier <= Tier::B {
            let fill =
                format!("for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of={home}/$i bs=64k count=15; done");
            let (said, _) = run(&jail, &fill).await;
            assert!(said.contains("No space left"), "{tier}: {said}");
            let (said, _) = run(&jail, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 9876 >/dev/null 2>&1 & done; echo survived").await;
            assert!(said.contains("ork") && !said.contains("survived"), "{tier}: {said}");
        }
        jail.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_sandbox_is_no_stronger_than_it_may_be() {
    for tier in [Tier::B, Tier::C, Tier::Off] {
        let sandbox = Sandbox::start(options(&format!("weak-{tier}"), tier)).unwrap();
        assert_eq!(sandbox.isolation().tier, tier);
        for layer in sandbox.isolation().layers.iter().filter(|layer| !layer.on) {
            assert!(layer.missing.is_some() && layer.fix.is_some(), "{}", layer.name);
        }
    }
    let unnamed = Sandbox::start(hayloft_sandbox::Options { owner: "a/b".into(), ..options("x", Tier::Off) });
    assert_eq!(
        unnamed.unwrap_err().to_string(),
        "use `a/b` as the owner of processes: only letters, digits and `-` are allowed"
    );
    let nowhere =
        Sandbox::start(hayloft_sandbox::Options { stage: "/no/stage".into(), ..options("y", Tier::A) });
    let error = std::error::Error::source(&nowhere.unwrap_err()).unwrap().to_string();
    assert_eq!(error, "run the stage `/no/stage` for a trial");
    assert_eq!(groups_of(&owner("y")), [] as [&Path; 0]);
}
