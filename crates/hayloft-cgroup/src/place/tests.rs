//! Where groups would be, in hierarchies that a test makes up, and what is said where they cannot be.

use std::io::ErrorKind;

use super::*;
use crate::{Groups, MOUNT, OTHER_OWNER, RENAME, WRITABLE};

const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/a /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory
39 31 0:36 /.. /mnt/pids rw - cgroup cgroup rw,pids
40 31 0:36 / /sys/fs/cgroup/pids rw master:1 shared:2 - cgroup none rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

#[test]
fn own_folders_are_found_by_hierarchy() {
    let memberships =
        "8:pids:/\n4:memory:/docker/a/b\n3:cpu,cpuacct:/x:y\n1:name=systemd:/s\n0::/user/u.service\n";
    for (controller, expected) in [
        ("memory", Some("/root/sys/fs/cgroup/mem ory/b")),
        ("cpu", Some("/root/sys/fs/cgroup/cpu,cpuacct/x:y")),
        ("cpuacct", Some("/root/sys/fs/cgroup/cpu,cpuacct/x:y")),
        ("pids", Some("/root/sys/fs/cgroup/pids/")),
        ("", Some("/root/sys/fs/cgroup/unified/user/u.service")),
        ("blkio", None),
    ] {
        let found = own_folder(Path::new("/root"), memberships, MOUNTS, controller);
        assert_eq!(found.as_deref(), expected.map(Path::new), "{controller}");
    }
    for outside in ["4:memory:/elsewhere", "4:memory:/docker/a/../b", "4:memory:/docker/ab", "", "nonsense"] {
        assert_eq!(own_folder(Path::new("/"), outside, MOUNTS, "memory"), None, "{outside}");
    }
    assert_eq!(own_folder(Path::new("/"), "0::/", "nonsense\n1 2 - \n", ""), None);
}

#[test]
fn paths_lose_their_octal_escapes() {
    for (escaped, plain) in
        [("/a", "/a"), ("/a\\040b\\011c\\012", "/a b\tc\n"), ("\\134040", "\\040"), ("\\134\\040", "\\ ")]
    {
        assert_eq!(unescape(escaped), plain);
    }
}

/// A folder that looks like a delegated group of the unified layout.
fn delegated(controllers: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for leaf in ["", HOST] {
        make_folder(&folder.path().join(leaf)).expect("a group");
        fs::write(folder.path().join(leaf).join("cgroup.procs"), "").expect("a file");
    }
    fs::write(folder.path().join("cgroup.controllers"), controllers).expect("a file");
    fs::write(folder.path().join("cgroup.subtree_control"), "").expect("a file");
    folder
}

#[test]
fn the_host_moves_into_its_leaf_once() {
    let folder = delegated("cpuset cpu io memory pids\n");
    let text = |file: &str| fs::read_to_string(folder.path().join(file)).expect("a file");
    for own in [folder.path().to_owned(), folder.path().join(HOST)] {
        assert_eq!(enter_leaf(&own).expect("delegated"), folder.path());
        assert_eq!(text("hayloft-host/cgroup.procs"), "0");
        assert_eq!(text("cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(text("cgroup.procs"), "");
    }
}

#[test]
fn a_refused_leaf_is_left_again() {
    let folder = delegated("cpu memory pids");
    fs::remove_file(folder.path().join("cgroup.subtree_control")).expect("a file less");
    let missing = enter_leaf(folder.path()).expect_err("not delegated");
    assert!(missing.what.contains("cgroup.subtree_control"), "{missing:?}");
    assert_eq!(fs::read_to_string(folder.path().join("cgroup.procs")).expect("a file"), "0");
}

#[test]
fn what_is_missing_is_said() {
    let folder = delegated("cpuset memory");
    let at = |memberships: &str| {
        let place = folder.path().display();
        let mounts =
            format!("41 31 0:38 / {place} rw - cgroup2 cgroup2 rw\n35 31 0:32 / /m rw - cgroup x rw,memory");
        Groups::find_in(Path::new("/"), memberships, &mounts, "here").expect_err("nothing to be found")
    };
    let missing = at("4:memory:/\n0::/");
    assert_eq!(missing.what, format!("the group `{}/` lacks `pids`, `cpu`", folder.path().display()));
    assert!(missing.fix.contains("`Delegate=memory pids cpu`"), "{missing:?}");
    assert!(at("0::/gone").what.contains("gone/cgroup.controllers"));
    assert_eq!(at("4:memory:/").fix, MOUNT);
    for (kind, fix) in [
        (ErrorKind::ReadOnlyFilesystem, WRITABLE),
        (ErrorKind::PermissionDenied, DELEGATE),
        (ErrorKind::ResourceBusy, DELEGATE),
        (ErrorKind::WouldBlock, OTHER_OWNER),
    ] {
        assert_eq!(Missing::because(Path::new("/x"), &kind.into()).fix, fix);
    }
    for owner in ["", "host", "a/b", ".", "..", "a b"] {
        assert_eq!(Groups::find(owner).expect_err("no name").fix, RENAME, "{owner}");
    }
}
