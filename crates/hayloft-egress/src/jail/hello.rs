//! The first words of a TLS client: which host it says that it wants.

use hayloft_model::HostName;
use tls_parser::{
    SNIType, TlsExtension, TlsExtensionType, TlsMessage, TlsMessageHandshake,
    parse_tls_client_hello_extensions, parse_tls_message_handshake,
};

/// A record of the handshake protocol (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// All versions of TLS begin with it.
const MAJOR: u8 = 3;

/// Longest payload of a record.
const LONGEST_RECORD: usize = 16 << 10;

/// Longest hello that is put together, in bytes. Real ones have one or two thousand.
const LONGEST_HELLO: usize = 32 << 10;

const CLIENT_HELLO: u8 = 1;

/// Encrypted Client Hello (RFC 9849).
const ENCRYPTED_HELLO: TlsExtensionType = TlsExtensionType(0xfe0d);

/// What a client's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// More of them are needed.
    Unfinished,
    /// Something else than TLS.
    Other,
    /// TLS for the right host.
    Right,
    /// TLS, and this is wrong with it.
    Wrong(Fault),
}

/// Why the first words of a TLS client are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// It names no host.
    Unnamed,
    /// It names another host.
    AnotherHost,
    /// It hides which host it wants.
    Hidden,
    /// It cannot be read.
    Unreadable,
}

/// Looks at all bytes that a client has sent so far.
pub(super) fn inspect(bytes: &[u8], host: &HostName) -> Opening {
    match bytes {
        [] | [HANDSHAKE] => Opening::Unfinished,
        [HANDSHAKE, MAJOR, ..] => match hello(bytes) {
            Ok(None) => Opening::Unfinished,
            Ok(Some(hello)) => judge(&hello, host).map_or_else(Opening::Wrong, |()| Opening::Right),
            Err(fault) => Opening::Wrong(fault),
        },
        _ => Opening::Other,
    }
}

/// The whole first message of the handshake, which may be spread over records.
fn hello(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let mut message = Vec::new();
    loop {
        if let [kind, high, middle, low, ..] = *message {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize + 4;
            if kind != CLIENT_HELLO || length > LONGEST_HELLO {
                return Err(Fault::Unreadable);
            }
            if message.len() >= length {
                message.truncate(length);
                return Ok(Some(message));
            }
        }
        let [kind, major, _, high, low, rest @ ..] = bytes else {
            // A record that is only begun must begin as one.
            let wrong = bytes.first().is_some_and(|kind| *kind != HANDSHAKE)
                || bytes.get(1).is_some_and(|major| *major != MAJOR);
            return if wrong { Err(Fault::Unreadable) } else { Ok(None) };
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != MAJOR || length == 0 || length > LONGEST_RECORD {
            return Err(Fault::Unreadable);
        }
        let Some((payload, next)) = rest.split_at_checked(length) else {
            return if message.len() + length > LONGEST_HELLO + LONGEST_RECORD {
                Err(Fault::Unreadable)
            } else {
                Ok(None)
            };
        };
        message.extend_from_slice(payload);
        bytes = next;
    }
}

fn judge(hello: &[u8], host: &HostName) -> Result<(), Fault> {
    let Ok(([], TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) =
        parse_tls_message_handshake(hello)
    else {
        return Err(Fault::Unreadable);
    };
    let Ok(([], extensions)) = parse_tls_client_hello_extensions(hello.ext.unwrap_or_default()) else {
        return Err(Fault::Unreadable);
    };
    let mut named = None;
    for extension in &extensions {
        match extension {
            // One name in one list (RFC 6066, section 3): whoever reads the first and whoever reads the last agree.
            TlsExtension::SNI(names) => match names.as_slice() {
                [(SNIType::HostName, name)] if named.is_none() => named = Some(*name),
                _ => return Err(Fault::Unreadable),
            },
            TlsExtension::EncryptedServerName { .. } => return Err(Fault::Hidden),
            TlsExtension::Unknown(kind, _) if *kind == ENCRYPTED_HELLO => return Err(Fault::Hidden),
            _ => {}
        }
    }
    let name = named.ok_or(Fault::Unnamed)?;
    let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii());
    let name = name.and_then(|name| HostName::parse(name).ok()).ok_or(Fault::AnotherHost)?;
    if name == *host { Ok(()) } else { Err(Fault::AnotherHost) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    /// What a real client says first.
    fn real(name: &str) -> Vec<u8> {
        let config =
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// A hello with these extensions and nothing else of interest.
    fn hello_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (kind, body) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            all.extend(body);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
        body.extend(all);
        let mut message = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        message[0] = CLIENT_HELLO;
        message.extend(body);
        message
    }

    fn in_records(message: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in message.chunks(size) {
            bytes.extend([HANDSHAKE, MAJOR, 1]);
            bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }

    fn names(names: &[&str]) -> Vec<u8> {
        let mut list = Vec::new();
        for name in names {
            list.push(0);
            list.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            list.extend(name.as_bytes());
        }
        let mut body = u16::try_from(list.len()).unwrap().to_be_bytes().to_vec();
        body.extend(list);
        body
    }

    #[test]
    fn a_real_client_is_known_by_its_host_however_its_words_arrive() {
        let bytes = real("api.example.com");
        for end in 0..bytes.len() {
            assert_eq!(inspect(&bytes[..end], &host("api.example.com")), Opening::Unfinished, "{end}");
        }
        assert_eq!(inspect(&bytes, &host("api.example.com")), Opening::Right);
        assert_eq!(inspect(&bytes, &host("example.com")), Opening::Wrong(Fault::AnotherHost));
        let mut more = bytes;
        more.extend(b"what comes later");
        assert_eq!(inspect(&more, &host("api.example.com")), Opening::Right);
    }

    #[test]
    fn no_client_gets_by_with_another_name_or_none() {
        let sni = |all: &[&str]| (0, names(all));
        let right = &["api.example.com"];
        for (extensions, opening) in [
            (vec![sni(right)], Opening::Right),
            (vec![sni(&["API.example.com"])], Opening::Right),
            (vec![], Opening::Wrong(Fault::Unnamed)),
            (vec![sni(&["evil.test"])], Opening::Wrong(Fault::AnotherHost)),
            (vec![sni(&["api.example.com."])], Opening::Wrong(Fault::AnotherHost)),
            (vec![sni(&["api.example.com\0.evil.test"])], Opening::Wrong(Fault::AnotherHost)),
            (vec![sni(&["api.example.com", "evil.test"])], Opening::Wrong(Fault::Unreadable)),
            (vec![sni(right), sni(&["evil.test"])], Opening::Wrong(Fault::Unreadable)),
            (vec![sni(&[])], Opening::Wrong(Fault::Unreadable)),
            (vec![sni(right), (0xfe0d, vec![1])], Opening::Wrong(Fault::Hidden)),
        ] {
            let message = hello_with(&extensions);
            assert_eq!(
                inspect(&in_records(&message, 4096), &host("api.example.com")),
                opening,
                "{extensions:?}"
            );
            // Nor when it is cut into the smallest records.
            assert_eq!(
                inspect(&in_records(&message, 1), &host("api.example.com")),
                opening,
                "{extensions:?}"
            );
        }
    }

    #[test]
    fn what_is_no_hello_is_told_apart() {
        let name = host("api.example.com");
        for (bytes, opening) in [
            (&b"GET / HTTP/1.1\r\n"[..], Opening::Other),
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Opening::Other),
            (b"\x16\x02\x01", Opening::Other),
            (b"\x16", Opening::Unfinished),
            (b"\x16\x03\x01\x00\x00", Opening::Wrong(Fault::Unreadable)),
            (b"\x16\x03\x01\xff\xff", Opening::Wrong(Fault::Unreadable)),
            (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", Opening::Wrong(Fault::Unreadable)),
            (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", Opening::Wrong(Fault::Unreadable)),
            (b"\x16\x03\x01\x00\x01\x01\x17", Opening::Wrong(Fault::Unreadable)),
        ] {
            assert_eq!(inspect(bytes, &name), opening, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>, cut in 0_usize..600, change: u8) {
            let name = host("api.example.com");
            inspect(&bytes, &name);
            let mut real = real("api.example.com");
            let place = cut % real.len();
            real[place] = change;
            inspect(&real, &name);
            let mut framed = vec![HANDSHAKE, MAJOR, 1, 0, u8::try_from(bytes.len().min(255)).unwrap()];
            framed.extend(bytes);
            inspect(&framed, &name);
        }
    }
}
