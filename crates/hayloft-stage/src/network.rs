//! A network with nothing on it but the gate.

use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys::{self, InterfaceRequest};

/// Where the gate listens: the first of the addresses that stand for names (RFC 2544, section C.2.2).
pub(crate) const GATE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 80);

/// All addresses that stand for names are the jail's own.
const MASK: Ipv4Addr = Ipv4Addr::new(255, 254, 0, 0);

/// Brings up the loopback interface and gives it the gate's addresses.
pub(crate) fn bring_up() -> Result<(), Errno> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let up = u16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    sys::configure(&socket, libc::SIOCSIFFLAGS, &request(b"lo", up, Ipv4Addr::UNSPECIFIED))?;
    let family = AddressFamily::INET.as_raw();
    sys::configure(&socket, libc::SIOCSIFADDR, &request(b"lo:0", family, *GATE.ip()))?;
    sys::configure(&socket, libc::SIOCSIFNETMASK, &request(b"lo:0", family, MASK))
}

fn request(name: &[u8], kind: u16, address: Ipv4Addr) -> InterfaceRequest {
    let mut field = [0; 16];
    field.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    InterfaceRequest { name: field, kind, port: 0, address: address.octets(), rest: [0; 16] }
}
