//! The filters of system calls: the last wall, which also holds where a namespace or Landlock has a hole.
//!
//! What they say is data, `policy/worker.seccomp.json`, with a reason at every unusual line; the build compiles it. What
//! the policy does not name is refused with EPERM. A call of another machine's numbering (32 bit) ends the process, and
//! those of x32 are refused.
//!
//! This module must not know who is jailed or in which tier.

use std::io;

use seccompiler::sock_filter;

/// The filters, in the order in which they are to be installed: [`Filter::Absent`] comes last, since it takes away
/// the call that installs filters. Each holds for the calling thread and for all that it starts from then on.
///
/// Where two filters refuse the same call, the one installed later chooses the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// What Node, Python, Go and ordinary native programs need; all else is EPERM.
    Worker,
    /// Where no network namespace holds the process: no internet sockets (EACCES).
    NoInternet,
    /// Where no mount and process namespaces hold the process: what Landlock does not judge (EPERM).
    LandlockGaps,
    /// Where no control group counts memory: none that nobody could see (ENOMEM).
    UnwatchedMemory,
    /// Calls for which programs have a fallback if the kernel does not know them: ENOSYS.
    Absent,
}

/// Installs a filter for good on the calling thread. Sets `no_new_privs` first, without which the kernel takes no
/// filter from an ordinary process.
///
/// # Errors
/// The kernel knows no filters (EINVAL, ENOSYS), or one installed earlier refuses more (EPERM, ENOSYS).
pub(crate) fn install(filter: Filter) -> io::Result<()> {
    seccompiler::apply_filter(filter.program()).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    })
}

/// Includes a compiled filter. A macro, since the length is part of the type.
macro_rules! compiled {
    ($file:literal) => {{
        const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $file));
        static PROGRAM: [sock_filter; BYTES.len() / INSTRUCTION] = decode(BYTES);
        &PROGRAM
    }};
}

impl Filter {
    fn program(self) -> &'static [sock_filter] {
        match self {
            Self::Worker => compiled!("worker.bpf"),
            Self::NoInternet => compiled!("no_internet.bpf"),
            Self::LandlockGaps => compiled!("landlock_gaps.bpf"),
            Self::UnwatchedMemory => compiled!("unwatched_memory.bpf"),
            Self::Absent => compiled!("absent.bpf"),
        }
    }
}

/// Bytes of one instruction: the code, two jumps, the operand.
const INSTRUCTION: usize = 8;

/// Runs in the compiler, so that the program lies ready in the binary.
const fn decode<const LENGTH: usize>(bytes: &[u8]) -> [sock_filter; LENGTH] {
    let mut program = [const { sock_filter { code: 0, jt: 0, jf: 0, k: 0 } }; LENGTH];
    let mut index = 0;
    while index < LENGTH {
        let at = index * INSTRUCTION;
        program[index] = sock_filter {
            code: u16::from_ne_bytes([bytes[at], bytes[at + 1]]),
            jt: bytes[at + 2],
            jf: bytes[at + 3],
            k: u32::from_ne_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]),
        };
        index += 1;
    }
    program
}
