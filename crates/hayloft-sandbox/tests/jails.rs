//! What the jail promises, tried with real processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hayloft_sandbox::{Exit, Jailed, Limits, Signal, Spawner, Spec, Stdio, Step, resident_bytes, sweep};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;

/// Long enough for a slow machine, short enough to fail.
const SOON: Duration = Duration::from_secs(20);

/// A marker of this test alone.
fn owner(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn shell(owner: &str, script: &str) -> Spec {
    Spec {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        working_directory: "/".into(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        marker: format!("{owner}/process"),
        descriptors: Vec::new(),
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Null,
        limits: Limits::default(),
        label: "a test".into(),
    }
}

async fn spawn(spec: Spec) -> Jailed {
    Spawner::start().unwrap().spawn(spec).await.unwrap()
}

/// The process's lines, after the first, which it writes when it has come far enough.
async fn ready(process: &mut Jailed) -> Lines<BufReader<pipe::Receiver>> {
    let mut lines = BufReader::new(process.take_stdout().unwrap()).lines();
    let first = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(first.as_deref(), Some("ready"));
    lines
}

/// Ids of processes whose command line has this text and that are no zombies.
fn running(text: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != own && String::from_utf8_lossy(&command).contains(text)
    })
    .collect()
}

fn none_left(text: &str) -> bool {
    let deadline = Instant::now() + SOON;
    while !running(text).is_empty() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[tokio::test]
async fn a_process_inherits_only_what_is_named() {
    // Descriptors that a careless library left open without the close-on-exec flag.
    let leaked: Vec<OwnedFd> =
        (0..3).map(|_| rustix::io::dup(File::open("/proc/version").unwrap()).unwrap()).collect();
    let spec = Spec {
        stdin: Stdio::Piped,
        descriptors: vec![
            (File::open("/etc/hostname").unwrap().into(), 4),
            (File::open("/etc/passwd").unwrap().into(), 3),
        ],
        environment: vec![("A".into(), "1".into()), ("B".into(), "x=y".into())],
        limits: Limits {
            open_files: Some(64),
            file_size: Some(4096),
            data_segment: Some(1 << 30),
            tasks: None,
        },
        ..shell(&owner("inherits"), "echo ready; read forever")
    };
    let mut process = spawn(spec).await;
    let pid = process.pid();
    let _lines = ready(&mut process).await;

    let numbers: BTreeSet<i32> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, BTreeSet::from([0, 1, 2, 3, 4]));
    let target = |number: i32| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    assert_eq!(target(2), Path::new("/dev/null"));
    assert_eq!(target(3), Path::new("/etc/passwd"));
    assert_eq!(target(4), Path::new("/etc/hostname"));

    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let marker = format!("HAYLOFT_WORKER={}/process", owner("inherits"));
    assert_eq!(environment.split_terminator('\0').collect::<Vec<_>>(), ["A=1", "B=x=y", &marker]);

    assert_eq!(status(pid, "NoNewPrivs"), "1");
    for set in ["SigBlk", "SigIgn"] {
        // The C library keeps signals 32 and 33 for itself, and sets them as it likes in what it starts.
        let own = u64::from_str_radix(&status(pid, set), 16).unwrap() & !(0b11 << 31);
        assert_eq!(own, 0, "{set}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, value) in [
        ("Max core file size", "0"),
        ("Max open files", "64"),
        ("Max file size", "4096"),
        ("Max data size", "1073741824"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[26..].split_whitespace().take(2).collect::<Vec<_>>(), [value, value], "{name}");
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let (group, session, terminal) = (fields[2], fields[3], fields[4]);
    assert_eq!((group, session, terminal), (&*pid.to_string(), &*pid.to_string(), "0"));
    assert!(resident_bytes(pid).unwrap() > 100_000);
    process.kill_tree().await.unwrap();
    assert_eq!(resident_bytes(pid), None);
    drop(leaked);
}

#[tokio::test]
async fn streams_and_ends_come_back() {
    let mut echo = spawn(Spec { stdin: Stdio::Piped, ..shell("echo/1", "cat; pwd; exit 7") }).await;
    let mut input = echo.take_stdin().unwrap();
    input.write_all(b"hello\n").await.unwrap();
    drop(input);
    let mut output = String::new();
    echo.take_stdout().unwrap().read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "hello\n/\n");
    assert_eq!(echo.wait().await.unwrap(), Exit::Code(7));
    assert_eq!(echo.wait().await.unwrap(), Exit::Code(7));
    assert_eq!(echo.kill_tree().await.unwrap(), Exit::Code(7));
    assert_eq!(echo.kill_tree().await.unwrap(), Exit::Code(7));

    let mut killed = spawn(shell("killed/1", "echo ready; exec sleep 1000")).await;
    let _lines = ready(&mut killed).await;
    killed.signal(Signal::Terminate).unwrap();
    assert_eq!(killed.wait().await.unwrap().to_string(), "signal 15 (SIGTERM)");
}

#[tokio::test]
async fn a_failed_start_names_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let missing = folder.path().join("missing");
    let cases: [(PathBuf, PathBuf, Step, &str); 6] = [
        (missing.clone(), "/".into(), Step::Execute, "check that the path is right"),
        (file("plain", "#!/bin/sh\n", 0o644), "/".into(), Step::Execute, "make it executable"),
        (
            file("script", "#!/no/such\n", 0o755),
            "/".into(),
            Step::Execute,
            "its interpreter or loader is missing",
        ),
        (file("text", "just text\n", 0o755), "/".into(), Step::Execute, "not a program of this machine"),
        ("/bin/true".into(), missing.clone(), Step::WorkingDirectory, ""),
        ("bin/true".into(), "/".into(), Step::Prepare, ""),
    ];
    let spawner = Spawner::start().unwrap();
    for (program, working_directory, step, hint) in cases {
        let spec = Spec { program: program.clone(), working_directory, ..shell("fails/1", "") };
        let error = spawner.spawn(spec).await.unwrap_err();
        assert_eq!(error.step, step, "{error}");
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{error}: {:?}", error.hint);
        let path = if step == Step::WorkingDirectory { &missing } else { &program };
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    for (name, value) in [("A=B", "x"), ("", "x"), ("HAYLOFT_WORKER", "x"), ("A", "nul\0")] {
        let environment = vec![(OsString::from(name), OsString::from(value))];
        let error = spawner.spawn(Spec { environment, ..shell("fails/1", "") }).await.unwrap_err();
        assert_eq!(error.step, Step::Prepare, "{name}");
    }
    for number in [0, 2, 16, -1] {
        let descriptors = vec![(File::open("/dev/null").unwrap().into(), number)];
        let error = spawner.spawn(Spec { descriptors, ..shell("fails/1", "") }).await.unwrap_err();
        assert_eq!(error.step, Step::Prepare, "{number}");
    }
}

/// Scripts whose child tries to escape, with `TAG` in its command line, and says `ready` once it runs.
const ESCAPES: [(&str, &str); 5] = [
    ("a plain child", "sleep TAG & echo ready; wait"),
    ("a session of its own", "setsid sleep TAG & echo ready; wait"),
    ("a session of its own without an environment", "setsid env -i /bin/sleep TAG & echo ready; wait"),
    (
        "an orphan with a session and no environment",
        "(setsid env -i /bin/sh -c 'echo ready; sleep TAG; :' &) ; sleep 1000",
    ),
    (
        "one that ignores what can be ignored",
        "trap '' TERM INT HUP; setsid sh -c \"trap '' TERM INT HUP; echo ready; sleep TAG; :\"",
    ),
];

#[tokio::test]
async fn a_tree_ends_as_a_whole() {
    for (index, (name, script)) in ESCAPES.into_iter().enumerate() {
        let tag = format!("5{index}{}", std::process::id());
        let owner = owner("tree");
        let mut process = spawn(shell(&owner, &script.replace("TAG", &tag))).await;
        let _lines = ready(&mut process).await;
        let deadline = Instant::now() + SOON;
        while running(&tag).is_empty() {
            assert!(Instant::now() < deadline, "{name} never ran");
            tokio::task::yield_now().await;
        }
        process.kill_tree().await.unwrap();
        assert_eq!(running(&tag), Vec::<i32>::new(), "{name}");
    }
}

#[tokio::test]
async fn what_a_dead_process_left_ends_with_it() {
    let scripts = [
        "setsid sh -c 'echo ready; exec sleep TAG' & wait",
        "(setsid sh -c 'echo ready; exec sleep TAG' &) ; sleep 1000",
    ];
    for (index, script) in scripts.into_iter().enumerate() {
        let tag = format!("6{index}{}", std::process::id());
        let mut process = spawn(shell(&owner("dead"), &script.replace("TAG", &tag))).await;
        let _lines = ready(&mut process).await;
        process.signal(Signal::Kill).unwrap();
        assert_eq!(process.wait().await.unwrap(), Exit::Signal(9));
        assert!(!running(&tag).is_empty());
        process.kill_tree().await.unwrap();
        assert_eq!(running(&tag), Vec::<i32>::new(), "{script}");
    }
}

#[tokio::test]
async fn a_fork_bomb_ends() {
    let tag = format!("70{}", std::process::id());
    let script = format!(
        "echo ready; bomb() {{ sh -c ': {tag}; read x < /dev/zero' & i=$((i+1)); [ $i -lt 60 ] && bomb; wait; }}; bomb"
    );
    let mut process = spawn(shell(&owner("bomb"), &script)).await;
    let _lines = ready(&mut process).await;
    process.kill_tree().await.unwrap();
    assert!(none_left(&tag));
}

#[tokio::test]
async fn a_dropped_process_is_killed_with_its_tree() {
    let tag = format!("71{}", std::process::id());
    let mut process =
        spawn(shell(&owner("dropped"), &format!("setsid sleep {tag} & echo ready; wait"))).await;
    let _lines = ready(&mut process).await;
    drop(process);
    assert!(none_left(&tag));
}

#[tokio::test]
async fn a_sweep_ends_what_its_owner_left() {
    let tag = format!("72{}", std::process::id());
    let mut left =
        spawn(shell(&owner("sweep"), &format!("setsid env -i /bin/sleep {tag} & echo ready; wait"))).await;
    let mut foreign = spawn(shell(&owner("sweeper"), "echo ready; read forever; :")).await;
    let mut foreign_input =
        Spec { stdin: Stdio::Piped, ..shell(&owner("sweeps"), "echo ready; read go; exit 5") };
    foreign_input.marker = owner("sweep") + "s/process";
    let mut neighbour = spawn(foreign_input).await;
    let (_a, _b, _c) = (ready(&mut left).await, ready(&mut foreign).await, ready(&mut neighbour).await);
    let name = owner("sweep");
    let swept = tokio::task::spawn_blocking(move || sweep(&name)).await.unwrap().unwrap();
    assert!(swept.iter().any(|swept| swept.pid == left.pid()));
    assert_eq!(left.wait().await.unwrap(), Exit::Signal(9));
    assert!(none_left(&tag));
    neighbour.take_stdin().unwrap().write_all(b"\n").await.unwrap();
    assert_eq!(neighbour.wait().await.unwrap(), Exit::Code(5));
}

/// What [`a_process_ends_with_its_host`] starts again and kills: a host with a process.
#[tokio::test]
async fn host_that_is_killed() {
    let Some(tag) = std::env::args().find_map(|argument| argument.strip_prefix("role=").map(str::to_owned))
    else {
        return;
    };
    let mut process = spawn(shell(&owner("host"), &format!("echo ready; exec sleep {tag}"))).await;
    let _lines = ready(&mut process).await;
    println!("\nready");
    let _ = process.wait().await;
}

#[tokio::test]
async fn a_process_ends_with_its_host() {
    let tag = format!("73{}", std::process::id());
    let mut spec = shell(&owner("killer"), "");
    spec.program = std::env::current_exe().unwrap();
    spec.arguments =
        ["--exact", "host_that_is_killed", &format!("role={tag}"), "--nocapture"].map(Into::into).into();
    let mut host = spawn(spec).await;
    let mut lines = BufReader::new(host.take_stdout().unwrap()).lines();
    while tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().as_deref() != Some("ready") {}
    // Both command lines have it: the host's argument and the process.
    assert_eq!(running(&tag).len(), 2);
    host.signal(Signal::Kill).unwrap();
    assert!(none_left(&tag));
    assert_eq!(host.wait().await.unwrap(), Exit::Signal(9));
}
