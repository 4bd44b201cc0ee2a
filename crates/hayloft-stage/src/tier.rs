//! How strong a jail is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How strong a jail is, from strongest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Namespaces, Landlock, system call filter and control groups.
    A,
    /// As A, without control groups.
    B,
    /// Landlock and system call filter only.
    C,
    /// No isolation between a process and the host's user: only hygiene.
    Off,
}

impl Tier {
    /// The name in options and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::Off => "off",
        }
    }

    /// Whether its jails have processes, a network and a root of their own.
    #[must_use]
    pub const fn has_namespaces(self) -> bool {
        matches!(self, Self::A | Self::B)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        [Self::A, Self::B, Self::C, Self::Off]
            .into_iter()
            .find(|tier| tier.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownTier(text.chars().take(80).collect()))
    }
}

/// A text that names no tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tier of isolation (`A`, `B`, `C` or `off`)")]
pub struct UnknownTier(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_read_back() {
        for tier in [Tier::A, Tier::B, Tier::C, Tier::Off] {
            assert_eq!(tier.as_str().parse(), Ok(tier));
        }
        assert!("D".parse::<Tier>().is_err());
    }
}
