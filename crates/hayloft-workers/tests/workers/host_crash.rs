//! A host that is killed leaves nothing, and the next one on the same data can work.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;

use crate::processes::{beside, is_running, parent, tree, until_gone};
use crate::support::{House, SOON};

/// How long the last process of a killed host may live.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What the other test starts again and kills: a host with a worker whose child has left its session.
#[tokio::test]
async fn host_that_is_killed() {
    let role = std::env::args().find_map(|argument| argument.strip_prefix("role=").map(str::to_owned));
    let Some(owner) = role else { return };
    let house = House::of(owner, |_| {});
    let instance = house.plugin(
        "const { spawn } = require('node:child_process');
         exports.start = (w) => new Promise((resolve) => {
           const child = spawn('env', ['-i', '/bin/sh', '-c', 'echo $$; exec /bin/sleep 1000'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
           child.stdout.once('data', (pid) => { console.log(String(pid).trim()); resolve(w.openMcp({ id: 'child', kind: 'stdio', command: 'cat' })); });
         });",
    );
    house.workers.ensure(&instance).await.unwrap();
    let worker = house.workers.statuses().await[0].pid.unwrap();
    let child = beside(worker, house.workers.logs(&instance, 1)[0].message.parse().unwrap());
    println!("\npids {worker} {child}");
    futures::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_host_leaves_nothing() {
    let owner = format!("killed-{}", std::process::id());
    #[expect(clippy::disallowed_methods, reason = "the host is what is tested")]
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host_crash::host_that_is_killed", &format!("role={owner}"), "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = pipe::Receiver::from_owned_fd(host.stdout.take().unwrap().into()).unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let pids = loop {
        let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some(pids) = line.strip_prefix("pids ") {
            break pids.split(' ').map(|pid| pid.trim().parse().unwrap()).collect::<Vec<u32>>();
        }
    };
    let [worker, child] = pids[..] else { panic!("{pids:?}") };
    let first = parent(worker).unwrap();
    let mut all = tree(first);
    all.push(child);
    assert!([first, worker, child].iter().all(|pid| all.contains(pid) && is_running(*pid)), "{all:?}");
    assert!(all.len() >= 4, "the first process, the worker, its child and its server: {all:?}");
    host.kill().unwrap();
    until_gone(&all, AT_ONCE).await;
    host.wait().unwrap();

    // The next host on the same data is not in the way of what the first one made.
    let house = House::of(owner, |_| {});
    let instance = house.plugin("");
    house.workers.ensure(&instance).await.unwrap();
    house.close().await;
}
