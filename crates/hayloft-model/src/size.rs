//! Numbers of bytes as people write them.

const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `10MiB`, `64KiB`, `4096`.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = if unit.trim().is_empty() { "B" } else { unit.trim() };
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// As people would write it: in the largest unit that leaves no rest.
#[must_use]
pub fn show(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let (name, factor) = UNITS.iter().rev().find(fits).copied().unwrap_or(("B", 1));
    format!("{}{name}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back() {
        for (text, bytes) in [("4097B", 4097), ("64KiB", 65_536), ("10MiB", 10 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(parse(text), Some(bytes));
            assert_eq!(show(bytes), text);
        }
        assert_eq!((parse("4096"), parse(" 4 KiB ")), (Some(4096), Some(4096)));
        assert_eq!(show(0), "0B");
        for bad in ["", "MiB", "10MB", "-1", "1.5MiB", "17179869184GiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
