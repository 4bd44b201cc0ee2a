//! The port to time. Code asks the clock that was handed in, so that tests own the time.

use chrono::{DateTime, Utc};

/// Tells the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> DateTime<Utc>;
}
