//! A file system of exactly what was named: an empty root in memory, into which things are mounted read-only.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::enter::{Result, at, failed, failed_io, failed_with};
use crate::identity::INSIDE;
use crate::lifeline::Entry;
use crate::{GATE_NAME, Step, Temporary};
use crate::{network, sys};

/// Any folder will do, since the mounts are the jail's own; every system has this one.
const BUILDING_SITE: &str = "/tmp";

/// Where the host's file system is until it is left.
const HOST: &str = "/.host";

/// What an empty root may take up: folders, links and the files in `/etc`.
const ROOT_OPTIONS: &std::ffi::CStr = c"mode=755,size=1m,nr_inodes=4096";

/// A temporary file takes at least one page; so many small ones use up the space by number.
const BYTES_PER_FILE: u64 = 4096;

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NO_PRIVILEGES: u64 = libc::MOUNT_ATTR_NOSUID;
const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;
const NO_EXECUTION: u64 = libc::MOUNT_ATTR_NOEXEC;

/// Devices without a state that anybody could share.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What `/proc` tells of the user and not of the jail.
const HIDDEN: [&str; 2] = ["/proc/keys", "/proc/key-users"];

const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Builds the root and leaves the host's file system.
pub(crate) fn build(entry: &Entry) -> Result<()> {
    at(Step::Root);
    rustix::process::umask(rustix::fs::Mode::empty());
    // Nothing that is mounted here shall be seen there; what is unmounted there may vanish here.
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(failed(Step::Root))?;
    let hardened = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", BUILDING_SITE, "tmpfs", hardened, ROOT_OPTIONS)
        .map_err(failed(Step::Root))?;
    let host = format!("{BUILDING_SITE}{HOST}");
    fs::create_dir(&host).map_err(failed_with(Step::Root, Path::new(&host)))?;
    at(Step::Pivot);
    rustix::process::pivot_root(BUILDING_SITE, &*host).map_err(failed(Step::Pivot))?;
    rustix::process::chdir("/").map_err(failed(Step::Pivot))?;

    // First of all, since what is shown may lie below it.
    mount_temporary(entry)?;
    for (source, place) in &entry.binds {
        bind(source, place, READ_ONLY | NO_PRIVILEGES | NO_DEVICES)?;
    }
    for device in DEVICES {
        // Mapped and shared, zeros are memory that nobody would count. The other one reads the same and cannot be mapped.
        let source = if device == "zero" && entry.watch_memory { "full" } else { device };
        let devices = Path::new("/dev");
        bind(&devices.join(source), &devices.join(device), NO_PRIVILEGES | NO_EXECUTION)?;
    }
    for (place, target) in &entry.links {
        link(place, target)?;
    }
    for (name, target) in DEVICE_LINKS {
        link(&Path::new("/dev").join(name), Path::new(target))?;
    }
    write_files()?;
    mount_proc()?;

    at(Step::Pivot);
    rustix::mount::unmount(HOST, UnmountFlags::DETACH).map_err(failed(Step::Pivot))?;
    fs::remove_dir(HOST).map_err(failed_with(Step::Pivot, Path::new(HOST)))?;
    rustix::mount::mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | hardened, "")
        .map_err(failed(Step::Root))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

/// Shows a file or folder of the host at a place in the new root.
fn bind(source: &Path, place: &Path, attributes: u64) -> Result<()> {
    let step = Step::Mount;
    let failed = failed_with(step, source);
    let source = on_host(source);
    let folder = fs::metadata(&source).map_err(&failed)?.is_dir();
    if folder {
        make_folder(place)?;
    } else {
        make_parent(place)?;
        File::create(place).map_err(&failed)?;
    }
    // With all below it: the parts of a mount of the host cannot be taken apart.
    rustix::mount::mount_bind_recursive(&source, place).map_err(|errno| failed(errno.into()))?;
    sys::protect(place, attributes).map_err(|errno| failed(errno.into()))
}

fn link(place: &Path, target: &Path) -> Result<()> {
    make_parent(place)?;
    match symlink(target, place) {
        // Something was mounted over it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(failed_with(Step::Mount, place)),
    }
}

/// The few files that programs look for.
fn write_files() -> Result<()> {
    let gate = network::GATE.ip();
    let files = [
        (
            "passwd",
            format!("hayloft:x:{INSIDE}:{INSIDE}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
        ),
        ("group", format!("hayloft:x:{INSIDE}:\nnogroup:x:65534:\n")),
        ("hosts", format!("127.0.0.1 localhost\n::1 localhost\n{gate} {GATE_NAME}\n")),
        ("hostname", String::from("hayloft\n")),
        ("nsswitch.conf", String::from("passwd: files\ngroup: files\nhosts: files dns\n")),
        ("resolv.conf", format!("nameserver {gate}\noptions timeout:3 attempts:2\n")),
    ];
    for (name, text) in files {
        let path = Path::new("/etc").join(name);
        make_parent(&path)?;
        fs::write(&path, text).map_err(failed_with(Step::Mount, &path))?;
    }
    rustix::system::sethostname(b"hayloft").map_err(failed(Step::OtherNamespaces))
}

fn mount_proc() -> Result<()> {
    at(Step::Proc);
    make_folder(Path::new("/proc"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).map_err(failed(Step::Proc))?;
    for place in HIDDEN.map(Path::new).into_iter().filter(|place| place.exists()) {
        let failed = failed_with(Step::Proc, place);
        rustix::mount::mount_bind("/dev/null", place).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

fn mount_temporary(entry: &Entry) -> Result<()> {
    at(Step::Mount);
    let place = Path::new("/tmp");
    make_folder(place)?;
    let (size, files) = (entry.limits.temporary, entry.limits.temporary / BYTES_PER_FILE);
    let id = entry.id.unwrap_or(INSIDE);
    let options = format!("mode=700,size={size},nr_inodes={files},uid={id},gid={id}");
    let options = std::ffi::CString::new(options).map_err(|error| failed_io(Step::Mount)(error.into()))?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    flags.set(MountFlags::NOEXEC, entry.temporary == Temporary::Data);
    rustix::mount::mount("tmpfs", place, "tmpfs", flags, &*options)
        .map_err(|errno| failed_with(Step::Mount, place)(errno.into()))
}

fn make_parent(place: &Path) -> Result<()> {
    place.parent().map_or(Ok(()), make_folder)
}

fn make_folder(place: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(place).map_err(failed_with(Step::Mount, place))
}

fn on_host(path: &Path) -> PathBuf {
    Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
}
