//! Which addresses belong to the public internet, and which are somebody's own.
//!
//! What is not known to be public is refused. Addresses that carry another one inside are judged by that one, so that no
//! spelling of a private address passes for a public one. The tables are IANA's special-purpose registries
//! (RFC 6890 and what was added since).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not one of the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// "This network", `0.0.0.0/8` and `::`.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// A private network (RFC 1918, RFC 4193, and the site-local addresses before them).
    Private,
    /// The provider's side of an address translation (RFC 6598).
    Shared,
    /// The link, where clouds keep the metadata of their machines.
    LinkLocal,
    /// Many at once.
    Multicast,
    /// Everybody on the link.
    Broadcast,
    /// Set aside for examples.
    Documentation,
    /// Set aside for measurements (RFC 2544, RFC 5180). Jails use them for names.
    Benchmark,
    /// Set aside by the protocol's authors, or never given out.
    Reserved,
    /// A tunnel or translation whose other end cannot be judged.
    Tunnel,
}

impl Special {
    /// A short name for figures and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::Reserved => "reserved",
            Self::Tunnel => "tunnel",
        }
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Clouds keep metadata there although the address is in a range that looks public.
const METADATA: [Ipv4Addr; 1] = [Ipv4Addr::new(168, 63, 129, 16)];

const FOUR: [(Ipv4Addr, u32, Special); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Special::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Special::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Special::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Special::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Special::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Special::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Special::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Special::Tunnel),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Special::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Special::Reserved),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Special::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Special::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Special::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Special::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Special::Reserved),
];

/// Within the global unicast range; everything outside of it is judged before.
const SIX: [(Ipv6Addr, u32, Special); 6] = [
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Special::Benchmark),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Special::Documentation),
    // Teredo, whose addresses carry another one behind a mask.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Special::Tunnel),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Special::Reserved),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, Special::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Special::Documentation),
];

/// The address that is dialled, when it is a public one: a mapped address (RFC 4291, section 2.5.5.2) becomes the one
/// that it stands for.
///
/// # Errors
/// What else it is.
pub fn vet(address: IpAddr) -> Result<IpAddr, Special> {
    match address.to_canonical() {
        IpAddr::V4(address) => vet_four(address).map(|()| address.into()),
        IpAddr::V6(address) => vet_six(address).map(|()| address.into()),
    }
}

fn vet_four(address: Ipv4Addr) -> Result<(), Special> {
    if address.is_broadcast() {
        return Err(Special::Broadcast);
    }
    if METADATA.contains(&address) {
        return Err(Special::LinkLocal);
    }
    let bits = address.to_bits();
    let within =
        |&(network, length, _): &(Ipv4Addr, u32, Special)| (bits ^ network.to_bits()) >> (32 - length) == 0;
    FOUR.iter().find(|range| within(range)).map_or(Ok(()), |(_, _, special)| Err(*special))
}

fn vet_six(address: Ipv6Addr) -> Result<(), Special> {
    if address.is_unspecified() {
        return Err(Special::Unspecified);
    }
    if address.is_loopback() {
        return Err(Special::Loopback);
    }
    match address.segments() {
        // RFC 4291, section 2.5.5.1: the old way to carry an address of the fourth version, which nobody routes.
        [0, 0, 0, 0, 0, 0, _, _] => Err(Special::Tunnel),
        // RFC 6052: the network between here and the internet may be of the sixth version alone.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => vet_four(embedded(high, low)),
        [0x64, 0xff9b, ..] => Err(Special::Tunnel),
        // RFC 3056.
        [0x2002, high, low, ..] => vet_four(embedded(high, low)).and(Err(Special::Tunnel)),
        [first, ..] if first & 0xffc0 == 0xfe80 => Err(Special::LinkLocal),
        [first, ..] if first & 0xffc0 == 0xfec0 => Err(Special::Private),
        [first, ..] if first & 0xfe00 == 0xfc00 => Err(Special::Private),
        [first, ..] if first & 0xff00 == 0xff00 => Err(Special::Multicast),
        [first, ..] if first & 0xe000 != 0x2000 => Err(Special::Reserved),
        _ => {
            let bits = address.to_bits();
            let within = |&(network, length, _): &(Ipv6Addr, u32, Special)| {
                (bits ^ network.to_bits()) >> (128 - length) == 0
            };
            SIX.iter().find(|range| within(range)).map_or(Ok(()), |(_, _, special)| Err(*special))
        }
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_address_is_what_it_is() {
        use Special as S;
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:82a::200e",
            "2001:4860:4860::8888",
            "2001:200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ];
        for text in public {
            assert!(vet(text.parse().unwrap()).is_ok(), "{text}");
        }
        assert_eq!(vet("::ffff:8.8.8.8".parse().unwrap()), Ok("8.8.8.8".parse().unwrap()));
        let special = [
            ("0.0.0.0", S::Unspecified),
            ("0.1.2.3", S::Unspecified),
            ("10.0.0.1", S::Private),
            ("10.255.255.255", S::Private),
            ("100.64.0.1", S::Shared),
            ("100.100.100.200", S::Shared),
            ("100.127.255.255", S::Shared),
            ("127.0.0.1", S::Loopback),
            ("127.255.255.254", S::Loopback),
            ("168.63.129.16", S::LinkLocal),
            ("169.254.0.1", S::LinkLocal),
            ("169.254.169.254", S::LinkLocal),
            ("172.16.0.1", S::Private),
            ("172.31.255.255", S::Private),
            ("192.0.0.8", S::Reserved),
            ("192.0.0.192", S::Reserved),
            ("192.0.2.1", S::Documentation),
            ("192.31.196.1", S::Reserved),
            ("192.52.193.1", S::Reserved),
            ("192.88.99.1", S::Tunnel),
            ("192.168.0.1", S::Private),
            ("192.168.255.255", S::Private),
            ("192.175.48.1", S::Reserved),
            ("198.18.0.1", S::Benchmark),
            ("198.19.255.255", S::Benchmark),
            ("198.51.100.1", S::Documentation),
            ("203.0.113.1", S::Documentation),
            ("224.0.0.1", S::Multicast),
            ("239.255.255.255", S::Multicast),
            ("240.0.0.1", S::Reserved),
            ("255.255.255.254", S::Reserved),
            ("255.255.255.255", S::Broadcast),
            ("::", S::Unspecified),
            ("::1", S::Loopback),
            ("::127.0.0.1", S::Tunnel),
            ("::8.8.8.8", S::Tunnel),
            ("::ffff:127.0.0.1", S::Loopback),
            ("::ffff:169.254.169.254", S::LinkLocal),
            ("::ffff:10.0.0.1", S::Private),
            ("::ffff:0:127.0.0.1", S::Reserved),
            ("64:ff9b::127.0.0.1", S::Loopback),
            ("64:ff9b::169.254.169.254", S::LinkLocal),
            ("64:ff9b::192.168.1.1", S::Private),
            ("64:ff9b:1::8.8.8.8", S::Tunnel),
            ("100::1", S::Reserved),
            ("2001::1", S::Tunnel),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", S::Tunnel),
            ("2001:2::1", S::Benchmark),
            ("2001:10::1", S::Reserved),
            ("2001:20::1", S::Reserved),
            ("2001:db8::1", S::Documentation),
            ("2002:7f00:1::", S::Loopback),
            ("2002:a9fe:a9fe::1", S::LinkLocal),
            ("2002:c0a8:101::1", S::Private),
            ("2002:808:808::1", S::Tunnel),
            ("2620:4f:8000::1", S::Reserved),
            ("3fff::1", S::Documentation),
            ("4000::1", S::Reserved),
            ("5f00::1", S::Reserved),
            ("fc00::1", S::Private),
            ("fd00:ec2::254", S::Private),
            ("fe80::1", S::LinkLocal),
            ("febf::1", S::LinkLocal),
            ("fec0::1", S::Private),
            ("ff02::1", S::Multicast),
        ];
        for (text, kind) in special {
            assert_eq!(vet(text.parse().unwrap()), Err(kind), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_refused_address_is_public(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            let spellings = [
                address.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            ];
            for spelling in spellings {
                prop_assert_eq!(vet(spelling.into()).is_ok(), vet(address.into()).is_ok());
            }
            prop_assert!(vet(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()).is_err());
            prop_assert!(vet(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low).into()).is_err());
            // What the standard library knows to be special is special.
            if address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast() {
                prop_assert!(vet(address.into()).is_err());
            }
        }
    }
}
