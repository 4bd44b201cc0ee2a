//! System calls that have no safe wrapper elsewhere, one function each.

use std::ffi::{CString, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::{io, ptr};

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Leaves the named namespaces of the parent for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: none of the flags used here separates the descriptor table, so every `OwnedFd` stays true.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Forks a process whose parent is this one's parent. `None` in the new one.
pub(crate) fn fork_sibling() -> Result<Option<(Pid, OwnedFd)>, Errno> {
    let mut handle: RawFd = -1;
    let flags = libc::CLONE_PARENT | libc::CLONE_PIDFD;
    // SAFETY: without a stack and without shared memory this is `fork`; the process has one thread, so the copy of
    // its memory is in order. The kernel writes the handle into a place that outlives the call.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone, c_long(flags), ptr::null::<u8>(), &raw mut handle, 0, 0) };
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us and for nobody else.
            let handle = unsafe { OwnedFd::from_raw_fd(handle) };
            Ok(Pid::from_raw(pid).map(|pid| (pid, handle)))
        }
        _ => Err(last_error()),
    }
}

/// Closes all descriptors from a number on.
pub(crate) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: it is called before anything in this program has opened a descriptor above the standard ones.
    check(unsafe { libc::close_range(first, u32::MAX, 0) })
}

/// Adds attributes to a mount and all below it. It never takes one away, so that locked ones stay.
pub(crate) fn protect(mount: &Path, attributes: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let path = CString::new(mount.as_os_str().as_encoded_bytes()).map_err(|_| Errno::INVAL)?;
    let wanted = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the path ends with NUL, and the structure is the kernel's first version of it, with its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const wanted,
            size_of::<MountAttributes>(),
        )
    };
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

/// A request about a network interface, as far as we use it.
#[repr(C)]
pub(crate) struct InterfaceRequest {
    pub(crate) name: [u8; 16],
    /// Flags, or the family of an address.
    pub(crate) kind: u16,
    pub(crate) port: u16,
    pub(crate) address: [u8; 4],
    pub(crate) rest: [u8; 16],
}

/// Makes a request about a network interface.
pub(crate) fn configure(socket: &OwnedFd, request: u64, wanted: &InterfaceRequest) -> Result<(), Errno> {
    // SAFETY: the kernel reads a structure of this size and layout for the requests that are used here.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw const *wanted) })
}

/// Ended children are told through a descriptor instead of a handler.
pub(crate) fn child_signals() -> Result<OwnedFd, Errno> {
    // SAFETY: the set is a plain bit mask on the stack, initialized by `sigemptyset` before its use, and the new
    // descriptor belongs to nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()))?;
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(descriptor)?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Lets all signals through.
pub(crate) fn unblock_signals() -> Result<(), Errno> {
    // SAFETY: the set is a plain bit mask on the stack, initialized by `sigemptyset` before its use.
    check(unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
    })
}

/// Forks. `None` in the new process.
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: the process that forks has one thread, so the child may do all that its parent may.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Some).ok_or_else(last_error),
    }
}

/// Ends a forked process that did not become a program, without running what its parent left to do at its own end.
pub(crate) fn end_fork() -> ! {
    // SAFETY: `_exit` takes a plain number and never returns.
    unsafe { libc::_exit(127) }
}

/// Makes `target` an inherited copy of `source`.
pub(crate) fn place(source: &OwnedFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: both are plain numbers; whatever `target` was in a forked child is given up on purpose.
    check(unsafe { libc::dup2(source.as_raw_fd(), target) })
}

fn c_long(number: c_int) -> libc::c_long {
    libc::c_long::from(number)
}

fn check(result: c_int) -> Result<(), Errno> {
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
