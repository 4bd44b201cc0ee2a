//! The acts themselves are real: where nothing holds them they work. Only acts that harm nobody are done here.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::harness::{Setup, Verdicts, World, canary, words};

in_setups!(unjailed Unjailed: harmless_acts_work_without_a_jail);

async fn harmless_acts_work_without_a_jail(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let victim = world.pids(&world.victim).await.runner;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _pathname = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let name = canary("abstract");
    let abstracted =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)
            .unwrap();
    let _abstract = UnixListener::bind_addr(&abstracted).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let mut acts: Vec<_> = [
        format!("read-proc {victim} environ"),
        format!("read-proc {victim} root"),
        format!("kill {victim} 0"),
        format!("prlimit {victim}"),
        format!("abstract-connect {name}"),
        format!("unix-connect {}", path.display()),
        format!("tcp-connect 127.0.0.1 {port}"),
        String::from("memfd-exec"),
        String::from("tmp-exec"),
        format!("read-proc {} cmdline", world.server.pid()),
    ]
    .iter()
    .map(|act| words(act))
    .collect();
    // With less than root's rights some of these are refused by other walls than the jail's.
    if setup.server_is_root() {
        acts.extend(
            [
                format!("vm-read {victim}"),
                format!("pidfd-getfd {victim} 0"),
                format!("ptrace-attach {victim}"),
                String::from("capabilities"),
                String::from("unshare-mount"),
            ]
            .iter()
            .map(|act| words(act)),
        );
    }
    // Queues are off everywhere, by a limit that holds without a jail, too.
    let name = canary("m");
    acts.extend(
        [
            format!("shm-open-write {name}"),
            format!("shm-open-read {name}"),
            String::from("sysv-shm-write 1234567"),
            String::from("sysv-shm-read 1234567"),
        ]
        .iter()
        .map(|act| words(act)),
    );
    for outcome in world.attacks(&acts).await {
        verdicts.succeeded(&outcome);
    }
    let file = world
        .attempts(
            &world.attacker,
            &[("read a file of the host", "return fs.readFileSync(input, 'utf8').length")],
            json!(world.host_file),
        )
        .await;
    verdicts.succeeded(&file[0]);
    verdicts.done();
}
