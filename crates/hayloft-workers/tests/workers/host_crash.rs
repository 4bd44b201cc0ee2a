//! A host that is killed leaves no worker, and the next one sweeps what got away.

use std::path::PathBuf;
use std::time::Duration;

use hayloft_sandbox::{Limits, Signal, Spawner, Spec, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{House, SOON};

/// What the other test starts again and kills: a host with a worker whose child has left its session.
#[tokio::test]
async fn host_that_is_killed() {
    let role = std::env::args().find_map(|argument| argument.strip_prefix("role=").map(PathBuf::from));
    let Some(marker) = role else { return };
    let house = House::with(|settings| settings.instance_marker = marker.display().to_string());
    let instance = house.plugin(
        "const { spawn } = require('node:child_process');
         exports.start = (w) => new Promise((resolve) => {
           const child = spawn('sh', ['-c', 'echo $$; exec sleep 1000'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
           child.stdout.once('data', (pid) => { console.log(process.pid + ' ' + String(pid).trim()); resolve(w.openMcp({ id: 'child', kind: 'stdio', command: 'cat' })); });
         });",
    );
    house.workers.ensure(&instance).await.unwrap();
    println!("\npids {}", house.workers.logs(&instance, 1)[0].message);
    futures::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_host_leaves_no_worker() {
    let marker = format!("killed-{}", std::process::id());
    let arguments = ["--exact", "host_crash::host_that_is_killed", &format!("role={marker}"), "--nocapture"];
    let host = Spec {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.map(Into::into).into(),
        working_directory: "/".into(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        marker: format!("killer-{}/host", std::process::id()),
        descriptors: Vec::new(),
        stdin: Stdio::Null,
        stdout: Stdio::Piped,
        stderr: Stdio::Null,
        limits: Limits::default(),
        label: "a host".into(),
    };
    let mut host = Spawner::start().unwrap().spawn(host).await.unwrap();
    let mut lines = BufReader::new(host.take_stdout().unwrap()).lines();
    let pids = loop {
        let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some(pids) = line.strip_prefix("pids ") {
            break pids.split(' ').map(|pid| pid.trim().parse().unwrap()).collect::<Vec<u32>>();
        }
    };
    let [worker, child] = pids[..] else { panic!("{pids:?}") };
    host.signal(Signal::Kill).unwrap();
    host.wait().await.unwrap();
    until_gone(worker).await;

    // Its child had left the session and lost its parent; the next host on the same data finds it, before it has any
    // worker of its own. The workers leave that to it: what bears their marker later is theirs.
    let house = House::with(|settings| settings.instance_marker.clone_from(&marker));
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    assert!(is_running(child));
    house.workers.shutdown(Duration::ZERO).await;
    let swept: Vec<_> = hayloft_sandbox::sweep(&marker).unwrap().iter().map(|process| process.pid).collect();
    assert!(swept.contains(&child), "{swept:?}");
    until_gone(child).await;
    house.close().await;
    assert_eq!(hayloft_sandbox::sweep(&marker).unwrap(), []);
    host.kill_tree().await.unwrap();
}

fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until_gone(pid: u32) {
    let gone = async {
        while is_running(pid) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
}
