//! The socket between the host and a jail's first process: what they say to each other, and the descriptors that go
//! along. Its end is the end of the jail.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Limits, Step, Temporary, Tier};

/// Longest message, in bytes. The kernel's own default for one message on such a socket is higher.
const LONGEST: usize = 160 << 10;

/// Most descriptors in one message.
const MOST_DESCRIPTORS: usize = 64;

/// Descriptors of a started process are below this number, and everything of the first process from it on, so that
/// placing one never overwrites another.
pub const FIRST_OWN: RawFd = 16;

/// What the host says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// First of all: be this jail.
    Enter(Entry),
    /// Start a process. Its three standard streams come along, then one descriptor for each further number.
    Spawn(Spawn),
    /// Kill a process and its group.
    Kill {
        /// Which.
        id: u64,
    },
    /// Make a TCP socket in the jail's own network and hand it over. It stays in that network, whoever has it.
    Socket {
        /// What it is called in the answer; no process has the same.
        id: u64,
        /// Whether it is for IPv6.
        ipv6: bool,
    },
    /// End everything.
    End,
}

/// What a jail shall be, in the terms of this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// How strong it shall be.
    pub tier: Tier,
    /// Files that the stage writes itself into.
    pub groups: Vec<PathBuf>,
    /// Whether no control group watches its memory.
    pub watch_memory: bool,
    /// The id that it takes, when the host is root.
    pub id: Option<u32>,
    /// What the kernel refuses it.
    pub limits: Limits,
    /// What its temporary files may be.
    pub temporary: Temporary,
    /// Sources on the host and places in the jail, parents before children.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Places of symbolic links in the jail, and their targets.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Where it listens for connections of its processes, beside the gate.
    pub ports: Vec<u16>,
    /// The folder of the host that it may write to, where it has no root of its own.
    pub home: PathBuf,
}

/// A process to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Spawn {
    /// What it is called from now on.
    pub id: u64,
    /// Absolute path of the executable.
    pub program: String,
    /// The arguments after the program's own name.
    pub arguments: Vec<String>,
    /// All variables that it gets.
    pub environment: Vec<(String, String)>,
    /// Where it starts.
    pub working_directory: String,
    /// The numbers of its further descriptors.
    pub numbers: Vec<RawFd>,
}

/// What the first process says.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    /// It exists; a handle of it comes along.
    Born {
        /// Its number as the host sees it.
        pid: i32,
    },
    /// It is sealed. The sockets of its network come along, if it has one of its own: the gate's, the name server's for
    /// datagrams and for connections, and one for each port.
    Ready {
        /// How much of Landlock holds it.
        landlock: Landlock,
    },
    /// It could not become the jail, and ends.
    Failed(Failure),
    /// A process runs its program, or a socket was made; a handle of it comes along.
    Started {
        /// Which.
        id: u64,
    },
    /// A process was not started, or a socket was not made.
    Refused {
        /// Which.
        id: u64,
        /// Why.
        failure: Failure,
    },
    /// A process ended.
    Exited {
        /// Which.
        id: u64,
        /// Its code, if it ended by itself.
        code: Option<i32>,
        /// The signal that ended it otherwise.
        signal: Option<i32>,
    },
    /// The processes used more memory than they may, and are being ended.
    OverMemory,
}

/// A step that failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub step: Step,
    /// What it was about.
    pub path: Option<PathBuf>,
    /// The kernel's number for why.
    pub errno: i32,
}

/// How much of Landlock the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// None of it.
    No,
    /// The rules for files, but not all that we ask for.
    Partly,
    /// All that we ask for.
    Fully,
}

/// Makes both ends.
///
/// # Errors
/// When the system has no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Says something to the other end.
///
/// # Errors
/// When it is too long, or the other end is gone.
pub fn send(end: impl AsFd, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let payload = serde_json::to_vec(message)?;
    if payload.len() > LONGEST || descriptors.len() > MOST_DESCRIPTORS {
        let message = format!(
            "arguments, variables and paths are {} bytes long; {LONGEST} can be passed",
            payload.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(end, &[IoSlice::new(&payload)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message and its descriptors; `None` when the other end is closed.
///
/// # Errors
/// When nothing can be read, or what comes is no message.
pub fn receive<T: DeserializeOwned>(end: impl AsFd) -> io::Result<Option<(T, VecDeque<OwnedFd>)>> {
    let mut payload = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = match rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&end, &mut [IoSliceMut::new(&mut payload)], &mut control, flags)
    }) {
        // The other end went away without reading all: gone is gone.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        received => received?,
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message on the lifeline was cut off"));
    }
    let mut descriptors = VecDeque::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let message = serde_json::from_slice(payload.get(..received.bytes).unwrap_or_default())?;
    Ok(Some((message, descriptors)))
}
