//! The name of a host: one type for everything that is compared with a list, asked of a resolver or dialled.
//!
//! There is one way from text to a [`HostName`], so a name that passed a comparison cannot mean another host to
//! whoever connects to it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A host's name in the form in which it is compared and dialled: lower-case ASCII labels (RFC 1123, section 2.1),
/// international ones encoded (RFC 5891), without a final dot. It is never an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostName(String);

/// Why a text is no host's name. Completes "the host …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// It stands for many names.
    #[error("has a wildcard; each host is named by itself")]
    Wildcard,
    /// It is an IP address, or would be read as one by some programs.
    #[error("is an address; a host is named, and its address is looked up and checked")]
    Address,
    /// It ends with a dot, which some programs keep and others drop.
    #[error("ends with a dot")]
    FinalDot,
    /// Two dots without anything between them, or a first one.
    #[error("has an empty part between its dots")]
    EmptyLabel,
    /// It is a whole address of a page, or has a user, a path or a port.
    #[error("is more than a name: no scheme, user, port or path belongs to it")]
    NotOnlyAName,
    /// It is longer than a name can be (RFC 1035, section 2.3.4).
    #[error("is too long: a name has at most 253 characters, and 63 between two dots")]
    TooLong,
    /// It has characters that no host's name has.
    #[error("has characters that no host's name has")]
    Characters,
}

impl HostName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text is anything else than one host's name.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        if text.is_empty() {
            return Err(HostNameError::Empty);
        }
        if text.contains('*') {
            return Err(HostNameError::Wildcard);
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<Ipv6Addr>().is_ok() {
            return Err(HostNameError::Address);
        }
        if text.contains(['/', '@', ':', '?', '#', '\\']) {
            return Err(HostNameError::NotOnlyAName);
        }
        let name = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Ignore)
            .map_err(|_| HostNameError::Characters)?
            .into_owned();
        // What maps to a dot is one by now.
        if name.ends_with('.') {
            return Err(if name.ends_with("..") {
                HostNameError::EmptyLabel
            } else {
                HostNameError::FinalDot
            });
        }
        if name.split('.').any(str::is_empty) {
            return Err(HostNameError::EmptyLabel);
        }
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err(HostNameError::TooLong);
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(HostNameError::Address);
        }
        Ok(Self(name))
    }

    /// The name as it is compared and dialled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this domain or below it. The domain is given in lower case.
    #[must_use]
    pub fn is_within(&self, domain: &str) -> bool {
        self.0.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Whether programs that know addresses of every age read a last label as a number, and with it the whole name as an
/// IPv4 address (URL standard, "ends in a number").
fn is_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").map(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.unwrap_or_else(|| label.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::HostNameError as E;
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for (text, name) in [
            ("api.stripe.com", "api.stripe.com"),
            ("API.Stripe.COM", "api.stripe.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            // Full-width letters and ideographic dots are the same name to every browser.
            ("ａpi。stripe．com", "api.stripe.com"),
            ("database", "database"),
            ("a-b.c1", "a-b.c1"),
            ("1and1.com", "1and1.com"),
            ("127.0.0.1.example.com", "127.0.0.1.example.com"),
        ] {
            assert_eq!(HostName::parse(text).as_ref().map(HostName::as_str), Ok(name), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        let long_label = "a".repeat(64);
        let long_name = ["abcdefgh"; 29].join(".");
        for (text, why) in [
            ("", E::Empty),
            ("*.example.com", E::Wildcard),
            ("*", E::Wildcard),
            ("api.*.com", E::Wildcard),
            ("127.0.0.1", E::Address),
            ("127.1", E::Address),
            ("0x7f.1", E::Address),
            ("example.0x1f", E::Address),
            ("2130706433", E::Address),
            ("0x7f000001", E::Address),
            ("0177.0.0.1", E::Address),
            ("１２７.０.０.１", E::Address),
            ("169.254.169.254", E::Address),
            ("::1", E::Address),
            ("[::1]", E::Address),
            ("::ffff:127.0.0.1", E::Address),
            ("example.com.", E::FinalDot),
            ("example.com。", E::FinalDot),
            ("example.com..", E::EmptyLabel),
            ("example..com", E::EmptyLabel),
            (".example.com", E::EmptyLabel),
            ("..", E::EmptyLabel),
            (".", E::FinalDot),
            ("https://example.com", E::NotOnlyAName),
            ("example.com/path", E::NotOnlyAName),
            ("example.com:443", E::NotOnlyAName),
            ("user@example.com", E::NotOnlyAName),
            ("example.com#x", E::NotOnlyAName),
            ("example.com\\x", E::NotOnlyAName),
            ("../etc", E::NotOnlyAName),
            ("exa mple.com", E::Characters),
            ("example.com\0.evil.test", E::Characters),
            ("example.com\n", E::Characters),
            ("exa_mple.com", E::Characters),
            ("-example.com", E::Characters),
            ("example-.com", E::Characters),
            ("example.com%00", E::Characters),
            ("xn--a.example", E::Characters),
            ("a\u{202e}b.example", E::Characters),
            (&long_label, E::TooLong),
            (&long_name, E::TooLong),
        ] {
            assert_eq!(HostName::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_domain_holds_whole_labels_only() {
        let name = HostName::parse("api.example.com").unwrap();
        for (domain, within) in [
            ("com", true),
            ("example.com", true),
            ("api.example.com", true),
            ("ple.com", false),
            ("x.api.example.com", false),
        ] {
            assert_eq!(name.is_within(domain), within, "{domain}");
        }
    }
}
