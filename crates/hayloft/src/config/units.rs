//! Durations as people write them.

use std::time::Duration;

const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `250ms`, `30s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, milliseconds) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*milliseconds).map(Duration::from_millis)
}

/// As people would write it.
pub(super) fn show_duration(duration: Duration) -> String {
    let number = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // The largest unit that leaves no rest; the smallest one leaves none.
    let fits = |(_, factor): &&(&str, u64)| number >= *factor && number.is_multiple_of(*factor);
    let (name, factor) = DURATIONS.iter().rev().find(fits).copied().unwrap_or(("ms", 1));
    format!("{}{name}", number / factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        for (text, milliseconds) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000)] {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(milliseconds));
            assert_eq!(show_duration(read), text);
        }
        assert_eq!(duration("90 s"), Some(Duration::from_secs(90)));
        for bad in ["", "5", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
