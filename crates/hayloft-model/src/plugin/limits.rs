//! How much of the machine one plugin's workers may use, as far as that is its own affair.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::size;

/// What a plugin asks for, or what an operator sets for it. What is absent is as for every plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginLimits {
    /// Memory of a worker and its MCP servers together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Their processes and threads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Their processor time together, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<u64>,
    /// Their temporary files together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporary: Option<u64>,
}

/// One of the limits that a plugin can have for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// Memory.
    Memory,
    /// Processes and threads.
    Tasks,
    /// Processor time.
    Processor,
    /// Temporary files.
    Temporary,
}

impl PluginLimits {
    /// One of them.
    #[must_use]
    pub const fn get(&self, name: LimitName) -> Option<u64> {
        match name {
            LimitName::Memory => self.memory,
            LimitName::Tasks => self.tasks,
            LimitName::Processor => self.processor,
            LimitName::Temporary => self.temporary,
        }
    }

    /// Sets one of them.
    pub const fn set(&mut self, name: LimitName, value: u64) {
        let place = match name {
            LimitName::Memory => &mut self.memory,
            LimitName::Tasks => &mut self.tasks,
            LimitName::Processor => &mut self.processor,
            LimitName::Temporary => &mut self.temporary,
        };
        *place = Some(value);
    }

    /// These, and the others where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            memory: self.memory.or(others.memory),
            tasks: self.tasks.or(others.tasks),
            processor: self.processor.or(others.processor),
            temporary: self.temporary.or(others.temporary),
        }
    }

    /// Whether everything is as for every plugin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LimitName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Tasks, Self::Processor, Self::Temporary];

    /// The name in manifests and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tasks => "tasks",
            Self::Processor => "processor",
            Self::Temporary => "temporary",
        }
    }

    /// The least that a worker starts with.
    #[must_use]
    pub const fn least(self) -> u64 {
        match self {
            Self::Memory => 128 << 20,
            // Node alone has about a dozen threads.
            Self::Tasks => 32,
            Self::Processor => 1,
            Self::Temporary => 1 << 20,
        }
    }

    /// Whether it is a number of bytes.
    #[must_use]
    pub const fn is_size(self) -> bool {
        matches!(self, Self::Memory | Self::Temporary)
    }

    /// A value as people would write it.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        if self.is_size() { size::show(value) } else { value.to_string() }
    }

    /// A value as people write it.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<u64> {
        if self.is_size() { size::parse(text) } else { text.trim().parse().ok() }
    }

    /// What a value must look like; completes "must be …".
    #[must_use]
    pub const fn expected(self) -> &'static str {
        if self.is_size() { "a size such as `\"512MiB\"` or a number of bytes" } else { "a whole number" }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_got() {
        let mut limits = PluginLimits::default();
        assert!(limits.is_empty());
        for (value, name) in (1..).zip(LimitName::ALL) {
            limits.set(name, value);
        }
        let got: Vec<_> = LimitName::ALL.into_iter().map(|name| limits.get(name)).collect();
        assert_eq!(got, [Some(1), Some(2), Some(3), Some(4)]);
        let some = PluginLimits { memory: Some(9), ..PluginLimits::default() };
        assert_eq!(some.or(limits), PluginLimits { memory: Some(9), ..limits });
        for name in LimitName::ALL {
            assert_eq!(name.parse(&name.show(name.least())), Some(name.least()));
        }
    }
}
