//! What the tests of jails share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hayloft_sandbox::{Command, Exit, Jail, JailSpec, Options, Sandbox, Stdio, Tier};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::unix::pipe;

/// Long enough for a slow machine, short enough to fail.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Programs of the system that the scripts here use.
const PROGRAMS: [&str; 11] = [
    "/bin/bash",
    "/bin/chmod",
    "/bin/cat",
    "/bin/ls",
    "/bin/sleep",
    "/bin/grep",
    "/usr/bin/getent",
    "/usr/bin/tail",
    "/bin/mkdir",
    "/bin/dd",
    "/usr/bin/setsid",
];

/// The stage that was built with the same profile as this test.
pub(crate) fn stage() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let stage = test.parent().unwrap().with_file_name("hayloft-stage");
    assert!(stage.exists(), "there is no `{}`: run `cargo build -p hayloft-stage`", stage.display());
    stage
}

/// A name that no other test of this run has.
pub(crate) fn owner(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

pub(crate) fn options(test: &str, strongest: Tier) -> Options {
    Options {
        stage: stage(),
        programs: PROGRAMS.map(PathBuf::from).to_vec(),
        paths: Vec::new(),
        owner: owner(test),
        strongest,
    }
}

/// A sandbox of a tier, and a home for its jails.
pub(crate) struct Fixture {
    pub(crate) sandbox: Sandbox,
    pub(crate) home: TempDir,
}

impl Fixture {
    pub(crate) fn new(test: &str, tier: Tier) -> Self {
        Self::of(options(&format!("{test}-{tier}"), tier))
    }

    pub(crate) fn of(options: Options) -> Self {
        let sandbox = Sandbox::start(options).unwrap();
        let home = tempfile::tempdir().unwrap();
        // Each jail's user must find the way.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { sandbox, home }
    }

    /// What the tests ask for, unless they ask for more.
    pub(crate) fn spec(&self, name: &str) -> JailSpec {
        let home = self.home.path().join(name);
        fs::create_dir(&home).unwrap();
        JailSpec { label: "a test".into(), name: name.into(), home, ..JailSpec::default() }
    }

    pub(crate) async fn jail(&self, name: &str) -> Jail {
        enter(&self.sandbox, self.spec(name)).await
    }
}

/// The tiers that this machine offers to this user, from the strongest on.
pub(crate) fn tiers() -> Vec<Tier> {
    let strongest = Sandbox::start(options("tiers", Tier::A)).unwrap().isolation().tier;
    [Tier::A, Tier::B, Tier::C, Tier::Off].into_iter().filter(|tier| *tier >= strongest).collect()
}

pub(crate) async fn enter(sandbox: &Sandbox, spec: JailSpec) -> Jail {
    match sandbox.enter(spec).await {
        Ok(jail) => jail,
        Err(error) => panic!("{error}: {} {:?}", error.source, error.hint),
    }
}

pub(crate) fn shell(script: &str) -> Command {
    Command {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        working_directory: "/".into(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        descriptors: Vec::new(),
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Piped,
        label: "a test".into(),
    }
}

/// Runs a script to its end; gives all that it said and how it ended.
pub(crate) async fn run(jail: &Jail, script: &str) -> (String, Exit) {
    let mut process = jail.spawn(shell(script)).await.unwrap();
    let mut said = String::new();
    process.take_stdout().unwrap().read_to_string(&mut said).await.unwrap();
    process.take_stderr().unwrap().read_to_string(&mut said).await.unwrap();
    (said, process.wait().await)
}

/// A process that is told to end by nobody, once it has said `ready`.
pub(crate) async fn ready(process: &mut hayloft_sandbox::Process) -> Lines<BufReader<pipe::Receiver>> {
    let mut lines = BufReader::new(process.take_stdout().unwrap()).lines();
    let first = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(first.as_deref(), Some("ready"));
    lines
}

/// Ids of processes whose command line has this text.
pub(crate) fn running(text: &str) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&command).replace('\0', " ").contains(text)
    })
    .collect()
}

/// Waits until so many processes sleep for a time that begins so. A process that is about to sleep is another program,
/// or none at all for a moment.
pub(crate) async fn until_asleep(time: &str, count: usize) {
    let asleep = || {
        let asleep = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            matches!(&*words, [program, slept, ..] if program.ends_with("sleep") && slept.starts_with(time))
        };
        running(&format!("sleep {time}")).iter().filter(|pid| asleep(pid)).count()
    };
    let begun = Instant::now();
    while asleep() != count && begun.elapsed() < SOON {
        tokio::task::yield_now().await;
    }
    assert_eq!(asleep(), count);
}

/// Whether all processes with this text are gone soon.
pub(crate) fn none_left(text: &str) -> bool {
    let deadline = Instant::now() + SOON;
    while !running(text).is_empty() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// A field of a process's status.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// Control groups of this owner that are still there.
pub(crate) fn groups_of(owner: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                found.extend(Some(entry.path()).filter(|path| in_group_of(path, owner)));
            }
        }
    }
    found
}

fn in_group_of(path: &Path, owner: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(&format!("hayloft-{owner}"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
