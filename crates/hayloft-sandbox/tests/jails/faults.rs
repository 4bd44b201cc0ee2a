//! A stage that fails or dies in one of its steps: the step is named, and nothing is left.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use hayloft_sandbox::{Options, Step, Tier};

use crate::support::{Fixture, groups_of, options, owner, running, stage, tiers};

/// A system call of the stage, the argument that tells it from others, and the step that it belongs to.
struct Fault {
    call: i64,
    argument: i32,
    value: u64,
    step: Step,
    /// A step that only root takes.
    root: bool,
}

const fn fault(call: i64, step: Step) -> Fault {
    Fault { call, argument: -1, value: 0, step, root: false }
}

const fn of(call: i64, argument: i32, value: i32, step: Step) -> Fault {
    Fault { call, argument, value: value.unsigned_abs() as u64, step, root: false }
}

fn faults() -> Vec<Fault> {
    vec![
        of(libc::SYS_setpriority, 0, 0, Step::Limits),
        of(libc::SYS_unshare, 0, libc::CLONE_NEWUSER, Step::UserNamespace),
        of(libc::SYS_unshare, 0, libc::CLONE_NEWPID, Step::ProcessNamespace),
        of(libc::SYS_unshare, 0, libc::CLONE_NEWNS, Step::MountNamespace),
        of(libc::SYS_unshare, 0, libc::CLONE_NEWNET, Step::NetworkNamespace),
        of(
            libc::SYS_unshare,
            0,
            libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP,
            Step::OtherNamespaces,
        ),
        of(libc::SYS_clone, 0, libc::CLONE_PARENT | libc::CLONE_PIDFD, Step::Fork),
        of(libc::SYS_prctl, 0, libc::PR_SET_CHILD_SUBREAPER, Step::Lifeline),
        fault(libc::SYS_ioctl, Step::Loopback),
        fault(libc::SYS_pivot_root, Step::Pivot),
        fault(libc::SYS_mount_setattr, Step::Mount),
        of(libc::SYS_mount, 3, (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC) as i32, Step::Mount),
        fault(libc::SYS_umount2, Step::Pivot),
        fault(libc::SYS_bind, Step::Gate),
        Fault { root: true, ..fault(libc::SYS_setresuid, Step::Identity) },
        fault(libc::SYS_capset, Step::Capabilities),
        of(libc::SYS_prctl, 0, libc::PR_SET_NO_NEW_PRIVS, Step::Privileges),
        fault(libc::SYS_landlock_restrict_self, Step::Landlock),
        fault(libc::SYS_seccomp, Step::SystemCalls),
    ]
}

/// A folder with a stage in which something can be made to fail.
fn faulty_stage() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(stage(), folder.path().join("hayloft-stage")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty-stage.c");
    #[expect(clippy::disallowed_methods, reason = "the compiler of the test's own program")]
    let compiled = std::process::Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(folder.path().join("faulty"))
        .arg(source)
        .status()
        .unwrap();
    assert!(compiled.success());
    folder
}

#[tokio::test]
async fn a_step_that_fails_or_dies_is_named_and_leaves_nothing() {
    let Some(strongest) = tiers().into_iter().find(|tier| *tier <= Tier::B) else { return };
    let folder = faulty_stage();
    let options = Options { stage: folder.path().join("faulty"), ..options("faults", strongest) };
    let fixture = Fixture::of(options);
    assert_eq!(fixture.sandbox.isolation().tier, strongest, "the faulty stage works without a fault");
    let root = rustix::process::geteuid().is_root();
    for (index, fault) in faults().into_iter().filter(|fault| root || !fault.root).enumerate() {
        for error in [libc::EPERM, 0] {
            let order = format!("{} {} {:x} {error}", fault.call, fault.argument, fault.value);
            fs::write(folder.path().join("fault"), &order).unwrap();
            let name = format!("fault-{index}-{error}");
            let entered = fixture.sandbox.enter(fixture.spec(&name)).await;
            fs::remove_file(folder.path().join("fault")).unwrap();
            let refused = entered.expect_err(&order);
            assert_eq!(refused.step, fault.step, "{order}: {refused}: {}", refused.source);
            if error != 0 {
                let code = refused.source.raw_os_error();
                assert!(matches!(code, Some(libc::EPERM | libc::EIO)), "{order}: {code:?}");
            } else {
                assert!(
                    refused.source.to_string().contains("ended in this step"),
                    "{order}: {}",
                    refused.source
                );
            }
            let groups = groups_of(&owner("faults"));
            let left: Vec<_> = groups.iter().filter(|group| group.join(&name).exists()).collect();
            assert!(left.is_empty(), "{order}: {left:?}");
        }
    }
    let stage = folder.path().join("faulty").display().to_string();
    assert_eq!(running(&stage), [] as [u32; 0]);
    let jail = fixture.jail("afterwards").await;
    jail.end().await.unwrap();
}

/// Below the tier that the trials found there is no start: a jail is never weaker than was said.
#[tokio::test]
async fn a_layer_that_goes_away_later_is_an_error_and_no_weaker_jail() {
    let Some(strongest) = tiers().into_iter().find(|tier| *tier <= Tier::B) else { return };
    let folder = faulty_stage();
    let stage = folder.path().join("faulty");
    for (fault, tier) in [
        (format!("{} 0 {:x} 1", libc::SYS_unshare, libc::CLONE_NEWNET), Tier::C),
        (format!("{} -1 0 1", libc::SYS_seccomp), Tier::Off),
    ] {
        let fixture = Fixture::of(Options { stage: stage.clone(), ..options("later", strongest) });
        fs::write(folder.path().join("fault"), &fault).unwrap();
        let refused = fixture.sandbox.enter(fixture.spec("later")).await;
        assert!(refused.is_err(), "{fault}");
        // One that starts now finds less, and says so.
        let weaker = Fixture::of(Options { stage: stage.clone(), ..options("weaker", strongest) });
        fs::remove_file(folder.path().join("fault")).unwrap();
        let report = weaker.sandbox.isolation();
        assert_eq!(report.tier, tier, "{fault}");
        let missing = report.layers.iter().find_map(|layer| layer.why.clone()).unwrap();
        assert!(missing.contains("failed to "), "{missing}");
    }
}
