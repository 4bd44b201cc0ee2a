//! A network with nothing on it but sockets of the host.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::sys::{self, InterfaceRequest};

/// Where the gate listens: the first of the addresses that stand for names (RFC 2544, section C.2.2).
pub(crate) const GATE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 80);

/// The name server's port, at the gate's address.
const NAMES: u16 = 53;

/// How many connections wait for the host to take them.
const WAITING: i32 = 128;

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

/// The sockets that the host gets: the gate, the name server by datagram and by connection, and one for each port at
/// every address. A more particular address wins, so what comes to the gate's goes there.
pub(crate) fn open(ports: &[u16]) -> Result<Vec<OwnedFd>, Errno> {
    let names = SocketAddrV4::new(*GATE.ip(), NAMES);
    let own = [(SocketType::STREAM, GATE), (SocketType::DGRAM, names), (SocketType::STREAM, names)];
    let everywhere = |port: &u16| (SocketType::STREAM, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, *port));
    own.into_iter().chain(ports.iter().map(everywhere)).map(bound).collect()
}

fn bound((kind, address): (SocketType, SocketAddrV4)) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    // Only so can one port be listened to at one address and at all of them.
    sockopt::set_socket_reuseport(&socket, address.port() == GATE.port())?;
    rustix::net::bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, WAITING)?;
    }
    Ok(socket)
}

fn request(name: &[u8], kind: u16, address: Ipv4Addr) -> InterfaceRequest {
    let mut field = [0; 16];
    field.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    InterfaceRequest { name: field, kind, port: 0, address: address.octets(), rest: [0; 16] }
}
