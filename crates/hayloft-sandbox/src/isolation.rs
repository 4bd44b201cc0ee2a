//! What the jail enforces on this machine. It is said, never assumed.

use std::fmt;
use std::str::FromStr;

/// How strong a jail is, from strongest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Namespaces, Landlock, system call filter and a memory group.
    A,
    /// As A, without the memory group.
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

/// What holds a process on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationReport {
    /// The tier that all layers together reach.
    pub tier: Tier,
    /// One by one.
    pub layers: Vec<Layer>,
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is called.
    pub name: &'static str,
    /// Whether it is in force.
    pub on: bool,
    /// What it gives.
    pub adds: &'static str,
    /// What is open without it, if it is off.
    pub missing: Option<&'static str>,
    /// What to do about that, if it is off.
    pub fix: Option<&'static str>,
}

/// What this build enforces.
#[must_use]
pub fn isolation() -> IsolationReport {
    let on = |name, adds| Layer { name, on: true, adds, missing: None, fix: None };
    let off = |name, adds, missing| Layer {
        name,
        on: false,
        adds,
        missing: Some(missing),
        fix: Some("run only plugins that you trust: this version of Hayloft has no jail yet"),
    };
    IsolationReport {
        tier: Tier::Off,
        layers: vec![
            on("environment", "a process sees only the variables that are named for it"),
            on("descriptors", "a process inherits only the descriptors that are named for it"),
            on("limits", "descriptors, file size and private memory are limited, core dumps are off"),
            on("privileges", "no program that a process starts gains privileges"),
            on("session", "a process has no terminal, ends with the host, and its whole tree ends with it"),
            off(
                "files",
                "own view of the file system",
                "plugins can read and write what the host's user can",
            ),
            off("network", "outbound connections by declared name only", "plugins can connect anywhere"),
            off(
                "processes",
                "own process numbers",
                "plugins can see and signal processes of the host's user, and a process that left its tree and \
                 erased its environment can outlive a crash of its parent",
            ),
            off("system calls", "a reviewed list of system calls", "the whole kernel interface is reachable"),
            off("memory group", "a hard limit for all memory of a jail", "shared mappings are not limited"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_says_what_is_missing_and_what_to_do() {
        let report = isolation();
        assert_eq!(report.tier, Tier::Off);
        for layer in report.layers {
            assert_eq!(layer.on, layer.missing.is_none(), "{}", layer.name);
            assert_eq!(layer.on, layer.fix.is_none(), "{}", layer.name);
        }
    }

    #[test]
    fn tiers_read_back() {
        for tier in [Tier::A, Tier::B, Tier::C, Tier::Off] {
            assert_eq!(tier.as_str().parse(), Ok(tier));
        }
        assert!("D".parse::<Tier>().is_err());
    }
}
