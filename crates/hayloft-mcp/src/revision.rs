//! The revisions of the protocol: one file each, holding what differs from its neighbours.
//!
//! A new revision is a new file with its [`Rules`], a variant and a line in each `match` here, which the compiler asks
//! for. Nothing outside this crate knows a revision; it may only print one.

mod v2024_11_05;
mod v2025_03_26;
mod v2025_06_18;
mod v2025_11_25;

use std::fmt;

/// A revision that is spoken with at least one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05: servers only.
    V2024_11_05,
    /// 2025-03-26: servers only.
    V2025_03_26,
    /// 2025-06-18: servers and clients.
    V2025_06_18,
    /// 2025-11-25: servers and clients.
    V2025_11_25,
}

/// What a revision demands, in the terms of the code that follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The name on the wire.
    pub(crate) name: &'static str,
    /// Whether clients of it are answered.
    pub(crate) clients: Clients,
    /// Whether several messages may come in one array.
    pub(crate) batches: Batches,
    /// What a party may say about itself.
    pub(crate) introduction: Introduction,
    /// Whether requests over HTTP name the revision.
    pub(crate) version_header: VersionHeader,
}

/// Whether the endpoint negotiates a revision with clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Served,
    NotServed,
}

/// JSON-RPC batches came with 2025-03-26 and went with 2025-06-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batches {
    Read,
    Refused,
}

/// The members of `Implementation`, each revision having those of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Introduction {
    /// `name` and `version`.
    Named,
    /// And `title`.
    Titled,
    /// And `description`.
    Described,
}

/// `MCP-Protocol-Version` came with 2025-06-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionHeader {
    Sent,
    Unknown,
}

impl Revision {
    /// What we offer to servers, and to clients that ask for something that we do not serve.
    pub const NEWEST: Self = Self::V2025_11_25;

    const ALL: [Self; 4] = [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];

    /// The name on the wire, a date.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// The revision of a name, when it is one that we know.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.name() == name)
    }

    /// What a client gets that asks for a revision: that one when it is served to clients, else the newest, as the
    /// lifecycle section of every revision says.
    pub(crate) fn negotiate(asked: &str) -> Self {
        Self::served(asked).unwrap_or(Self::NEWEST)
    }

    /// The revision of a name when clients of it are served.
    pub(crate) fn served(name: &str) -> Option<Self> {
        Self::named(name).filter(|revision| revision.rules().clients == Clients::Served)
    }

    pub(crate) const fn rules(self) -> &'static Rules {
        match self {
            Self::V2024_11_05 => &v2024_11_05::RULES,
            Self::V2025_03_26 => &v2025_03_26::RULES,
            Self::V2025_06_18 => &v2025_06_18::RULES,
            Self::V2025_11_25 => &v2025_11_25::RULES,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_ask_for_or_the_newest() {
        let cases = [
            ("2025-11-25", Revision::V2025_11_25),
            ("2025-06-18", Revision::V2025_06_18),
            ("2025-03-26", Revision::NEWEST),
            ("2024-11-05", Revision::NEWEST),
            ("2026-07-28", Revision::NEWEST),
            ("", Revision::NEWEST),
        ];
        for (asked, expected) in cases {
            assert_eq!(Revision::negotiate(asked), expected, "{asked}");
        }
    }

    #[test]
    fn every_revision_is_found_by_its_name() {
        for revision in Revision::ALL {
            assert_eq!(Revision::named(revision.name()), Some(revision));
        }
        assert_eq!(Revision::ALL.into_iter().max(), Some(Revision::NEWEST));
    }
}
