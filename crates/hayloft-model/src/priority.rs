//! Which of an organization's plugins starts first when several wait.

use std::fmt;

use serde::Serialize;

/// How urgent a start is among those of the same organization. Usual is 0; more is earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Priority(i8);

/// A number that is no priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from {} to {}", Priority::LOWEST, Priority::HIGHEST)]
pub struct PriorityOutOfRange;

impl Priority {
    /// The last of all.
    pub const LOWEST: Self = Self(-100);
    /// That of everybody who says nothing.
    pub const USUAL: Self = Self(0);
    /// The first of all.
    pub const HIGHEST: Self = Self(100);

    /// The number.
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityOutOfRange;

    fn try_from(number: i64) -> Result<Self, PriorityOutOfRange> {
        let priority = i8::try_from(number).map(Self).map_err(|_| PriorityOutOfRange)?;
        if (Self::LOWEST..=Self::HIGHEST).contains(&priority) {
            Ok(priority)
        } else {
            Err(PriorityOutOfRange)
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_has_bounds() {
        for (number, fits) in
            [(-101, false), (-100, true), (0, true), (100, true), (101, false), (i64::MAX, false)]
        {
            assert_eq!(Priority::try_from(number).is_ok(), fits, "{number}");
        }
        assert_eq!(Priority::try_from(7).map(Priority::get), Ok(7));
        assert_eq!(PriorityOutOfRange.to_string(), "must be a whole number from -100 to 100");
    }
}
