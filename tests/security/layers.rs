//! Nothing that this machine offers is silently off, and nothing that is off is said to be on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use hayloft_testkit::server::as_user;
use hayloft_testkit::{PluginFolder, workspace};
use serde_json::{Value, json};

use crate::harness::{Outcome, Setup, Verdicts, World, command, is_root, native, refuse_to_run_unprotected};

in_setups!(at_most Strongest, at_most_as_ordinary_user Ordinary: what_the_machine_offers_is_on);
in_every_setup!(what_is_said_is_so);

/// Runs a program as the server's user would, with nothing but a path in its environment.
fn run_as(setup: Setup, program: &Path, arguments: &[&str]) -> Output {
    let mut command = as_user(setup.user(), program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("failed to run {}: {error}", program.display()))
}

fn doctor(setup: Setup, strongest: &str) -> Value {
    let mut command = as_user(setup.user(), &workspace::hayloft_binary());
    command.args(["doctor", "--json"]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/tmp");
    command
        .env("HAYLOFT_STRONGEST_ISOLATION", strongest)
        .env("HAYLOFT_DATA_DIR", "/tmp/no-such-folder-of-hayloft");
    let output = command.output().expect("the binary runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn layer<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut layers = report["isolation"].as_array().expect("layers").iter();
    layers.find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("no layer `{name}` in {report:#}"))
}

/// Whether this user could make a group of its own for memory, found out without asking Hayloft.
fn can_make_groups(setup: Setup) -> bool {
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders: Vec<PathBuf> = memberships
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let hierarchy = controllers.split(',').find(|name| *name == "memory");
            hierarchy.map(|name| Path::new("/sys/fs/cgroup").join(name).join(path))
        })
        .collect();
    let unified = memberships.lines().find_map(|line| line.strip_prefix("0::/"));
    if folders.is_empty() {
        folders.extend(unified.map(|path| Path::new("/sys/fs/cgroup").join(path)).filter(|folder| {
            fs::read_to_string(folder.join("cgroup.controllers")).is_ok_and(|list| list.contains("memory"))
        }));
    }
    folders.iter().any(|folder| {
        let trial = folder.join(format!("trial-of-the-tests-{}", std::process::id()));
        let made = run_as(setup, Path::new("/bin/mkdir"), &[trial.to_str().unwrap()]).status.success();
        made && run_as(setup, Path::new("/bin/rmdir"), &[trial.to_str().unwrap()]).status.success()
    })
}

async fn what_the_machine_offers_is_on(setup: Setup) {
    refuse_to_run_unprotected();
    let report = doctor(setup, "A");
    let mut verdicts = Verdicts::new(setup);
    let namespaces = run_as(
        setup,
        Path::new("/usr/bin/unshare"),
        &[
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--ipc",
            "--uts",
            "--cgroup",
            "mount",
            "-t",
            "proc",
            "proc",
            "/proc",
        ],
    );
    if namespaces.status.success() {
        for name in ["files", "processes", "network", "user"] {
            verdicts.check(layer(&report, name)["on"] == true, || {
                format!("`unshare` works, but `{name}` is off")
            });
        }
    }
    let landlock = run_as(setup, native(), &["landlock-version"]);
    let landlock = Outcome::read(&serde_json::from_slice(&landlock.stdout).unwrap(), "landlock-version");
    if landlock.succeeded {
        verdicts.check(layer(&report, "landlock")["on"] == true, || {
            "the kernel has Landlock, but it is off".into()
        });
        if landlock.detail.parse::<u32>().unwrap() >= 6 {
            verdicts.check(layer(&report, "landlock")["missing"].is_null(), || {
                "the kernel has all of Landlock, but a part is off".into()
            });
        }
    }
    if fs::read_to_string("/proc/self/status").unwrap().contains("Seccomp_filters:") {
        verdicts.check(layer(&report, "system calls")["on"] == true, || {
            "the kernel has filters, but they are off".into()
        });
    }
    let groups = can_make_groups(setup);
    verdicts.check(layer(&report, "control groups")["on"] == groups, || {
        format!("control groups can be made: {groups}, but {report:#}")
    });
    if setup.server_is_root() {
        verdicts.check(layer(&report, "own id")["on"] == true, || "root can give ids, but it is off".into());
    }
    for name in ["environment", "descriptors", "limits", "privileges", "life"] {
        verdicts.check(layer(&report, name)["on"] == true, || format!("`{name}` is off"));
    }
    for layer in report["isolation"].as_array().unwrap() {
        let said = layer["on"] == true || (layer["missing"].is_string() && layer["fix"].is_string());
        verdicts.check(said, || format!("it is not said what is missing: {layer}"));
    }
    verdicts.done();
}

/// The report against a worker's own entries in `/proc`.
async fn what_is_said_is_so(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let strongest = if setup.has_namespaces() { "A" } else { "C" };
    let report = doctor(setup, strongest);
    let health = world.server.api(None).get("/health").await.expect(200).json()["isolation"].clone();
    verdicts.check(health["tier"] == report["tier"], || format!("{health} against {report}"));
    let worker = world.worker(&world.attacker).await;
    verdicts.check(worker["isolation"] == report["tier"], || format!("{worker} against {report}"));
    let missing: Vec<_> =
        health["missing"].as_array().unwrap().iter().map(|layer| layer["name"].clone()).collect();
    verdicts.check(worker["isolationMissing"] == json!(missing), || format!("{worker} against {health}"));
    for layer in report["isolation"].as_array().unwrap() {
        let listed = missing.contains(&layer["name"]);
        verdicts.check(listed == layer["missing"].is_string(), || {
            format!("`/health` and `doctor` differ in {layer}")
        });
    }

    let pids = world.pids(&world.attacker).await;
    let on = |name: &str| layer(&report, name)["on"] == true;
    for pid in [pids.runner, pids.init] {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let namespace =
            |process: &str, name: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).unwrap();
        let field = |name: &str| {
            let status = read("status");
            let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).map(str::trim);
            line.unwrap_or_else(|| panic!("no {name} in {status}")).to_owned()
        };
        for (name, kinds) in [
            ("files", &["mnt"][..]),
            ("processes", &["pid"]),
            ("network", &["net"]),
            ("user", &["user", "ipc", "uts", "cgroup"]),
        ] {
            for kind in kinds {
                let own =
                    namespace(&pid.to_string(), kind) != namespace(&world.server.pid().to_string(), kind);
                verdicts.check(own == on(name), || {
                    format!("`{name}` is said to be {}, namespace {kind} of {pid} its own: {own}", on(name))
                });
            }
        }
        verdicts.check((field("NoNewPrivs") == "1") == on("privileges"), || {
            format!("no_new_privs of {pid} is {}", field("NoNewPrivs"))
        });
        // Without namespaces the first process is not sealed, since none of the others can touch it.
        if setup.has_namespaces() || pid == pids.runner {
            verdicts.check((field("Seccomp") == "2") == on("system calls"), || {
                format!("the filter of {pid} is {}", field("Seccomp"))
            });
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            verdicts.check(field(set).trim_start_matches('0').is_empty(), || {
                format!("{set} of {pid} is {}", field(set))
            });
        }
        let grouped = read("cgroup").lines().filter(|line| line.contains("/hayloft-")).count() > 0;
        verdicts
            .check(grouped == on("control groups"), || format!("the groups of {pid} are {}", read("cgroup")));
        let uid: u32 = field("Uid").split_whitespace().next().unwrap().parse().unwrap();
        let own_id = uid >= 2_000_000_000;
        verdicts.check(own_id == on("own id"), || format!("{pid} runs as {uid}"));
        verdicts.check(uid != 0, || format!("{pid} runs as root"));
    }
    let [attacker, victim] = [&world.attacker, &world.victim];
    if on("own id") {
        let (one, two) = (world.pids(attacker).await.runner, world.pids(victim).await.runner);
        let owner = |pid: u32| {
            std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}/task")).unwrap())
        };
        let _owner_of_what_is_not_dumpable_is_root = owner(one) != owner(two);
        let uid = |pid: u32| {
            fs::read_to_string(format!("/proc/{pid}/status"))
                .unwrap()
                .lines()
                .find(|line| line.starts_with("Uid:"))
                .unwrap()
                .to_owned()
        };
        verdicts.check(uid(one) != uid(two), || format!("two workers have the same id: {}", uid(one)));
    }
    // Landlock shows in no file. What only it refuses: a write to a file of one's own that no mount and no mode forbids.
    let comm = world
        .attempts(
            attacker,
            &[("write own name", "fs.writeFileSync('/proc/self/comm', 'other')")],
            json!(null),
        )
        .await;
    verdicts.check((comm[0].errno == "EACCES") == on("landlock"), || {
        format!("Landlock is said to be {}, but {:?}", on("landlock"), comm[0])
    });
    let memory = if on("control groups") { "the kernel" } else { "nobody but a watchdog" };
    let limit = fs::read_to_string(format!("/proc/{}/cgroup", pids.runner)).unwrap();
    let limit = limit
        .lines()
        .find(|line| line.contains(":memory:"))
        .and_then(|line| line.rsplit(':').next().map(str::to_owned));
    if let Some(path) = limit.filter(|_| on("control groups")) {
        let file = Path::new("/sys/fs/cgroup/memory")
            .join(path.trim_start_matches('/'))
            .join("memory.limit_in_bytes");
        let bytes: u64 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        verdicts.check(bytes <= 1 << 30, || format!("{memory} holds memory at {bytes}"));
    }
    verdicts.done();
    world.end().await;
}

/// A server that cannot have what it is told to have does not start.
#[tokio::test]
async fn a_weaker_start_is_refused() {
    refuse_to_run_unprotected();
    let plugins = PluginFolder::new();
    let minimum = if is_root() { Setup::Ordinary } else { Setup::Strongest };
    if doctor(minimum, "A")["tier"] != "A" {
        let refused =
            minimum.server(&plugins).isolation("A").try_start().await.expect_err("the machine has no groups");
        assert_ne!(refused.status.code(), Some(0));
        assert!(
            refused.stderr.contains("isolation `A` is demanded") && refused.stderr.contains("control groups"),
            "{}",
            refused.stderr
        );
    }
    for (strongest, weakest) in [("B", "A"), ("C", "B"), ("off", "C")] {
        let server =
            minimum.server(&plugins).isolation(weakest).environment("HAYLOFT_STRONGEST_ISOLATION", strongest);
        let refused = server.try_start().await.expect_err("a weaker start");
        assert!(refused.status.code().is_some_and(|code| code != 0), "{refused:?}");
        assert!(refused.stderr.contains(&format!("isolation `{weakest}` is demanded")), "{}", refused.stderr);
    }

    // Who has to answer for it reads it afterwards.
    let weak = minimum.server(&plugins).isolation("C").environment("HAYLOFT_STRONGEST_ISOLATION", "C");
    let mut server = weak.start().await;
    server.configure(|builder| builder.isolation("B"));
    server.try_restart().await.expect_err("a weaker start");
    server.configure(|builder| builder.isolation("C"));
    server.restart().await;
    let trail = server.admin().get("/v1/audit").await.expect(200).json();
    let refusal = &trail["entries"][0];
    assert_eq!(
        (&refusal["action"], &refusal["detail"]["demanded"]),
        (&json!("isolation.refused"), &json!("B")),
        "{trail}"
    );
}

/// Where user namespaces are denied, nobody says that there are any, and nothing starts by default.
#[tokio::test]
async fn denied_namespaces_are_noticed() {
    refuse_to_run_unprotected();
    // A namespace in which one further one may be made, in which an ordinary user then can make none.
    let denied = |arguments: &str| {
        let binary = workspace::hayloft_binary();
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 --map-group=1000 {} {arguments}",
            binary.display()
        );
        let mut command = command("unshare");
        command
            .args(["--user", "--map-root-user", "sh", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HAYLOFT_DATA_DIR", folder.path().join("data")).stdin(Stdio::null());
        command.output().expect("unshare runs")
    };
    let report = denied("doctor --json");
    let report: Value =
        serde_json::from_slice(&report.stdout).unwrap_or_else(|error| panic!("{error}: {report:?}"));
    assert_eq!(report["tier"], "C", "{report:#}");
    assert_eq!(layer(&report, "user")["on"], false);
    assert!(
        layer(&report, "user")["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("max_user_namespaces") || fix.contains("user namespaces")),
        "{report:#}"
    );
    for arguments in ["serve --listen 127.0.0.1:0", "serve --listen 127.0.0.1:0 --isolation A"] {
        let refused = denied(arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("is demanded"), "{said}");
    }
}
