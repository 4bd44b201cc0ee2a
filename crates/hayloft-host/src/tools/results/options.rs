//! What the operator says of results that are kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Whether results are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultCaching {
    /// Yes, for tools that only read.
    On,
    /// No.
    #[default]
    Off,
}

impl fmt::Display for ResultCaching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// Neither `on` nor `off`.
#[derive(Debug, thiserror::Error)]
#[error("must be `on` or `off`")]
pub struct NotASwitch;

impl FromStr for ResultCaching {
    type Err = NotASwitch;

    fn from_str(text: &str) -> Result<Self, NotASwitch> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(NotASwitch),
        }
    }
}

/// How results are kept.
#[derive(Clone, Copy, Debug)]
pub struct ResultCacheOptions {
    /// For organizations that did not say.
    pub default: ResultCaching,
    /// How long a result holds, unless its tool says otherwise.
    pub time: Duration,
    /// Room of one organization, in bytes.
    pub bytes_per_organization: u64,
    /// The most results of one organization.
    pub entries_per_organization: u64,
    /// Room of all organizations together, in bytes. When there is none for another one, the one that used its room
    /// least lately loses it.
    pub bytes: u64,
}

impl Default for ResultCacheOptions {
    fn default() -> Self {
        Self {
            default: ResultCaching::Off,
            time: Duration::from_secs(300),
            bytes_per_organization: 4 << 20,
            entries_per_organization: 1000,
            bytes: 256 << 20,
        }
    }
}
