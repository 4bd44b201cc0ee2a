//! Ranges of versions, as npm writes them.
//!
//! <https://docs.npmjs.com/cli/configuring-npm/package-json#engines>, <https://github.com/npm/node-semver#ranges>

use semver::{Version, VersionReq};

/// A range: the alternatives that `||` separates.
#[derive(Clone, Debug)]
pub(crate) struct VersionRange(Vec<VersionReq>);

impl VersionRange {
    /// Reads a range; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split("||").map(alternative).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a version is in the range.
    pub(crate) fn includes(&self, version: &Version) -> bool {
        self.0.iter().any(|alternative| alternative.matches(version))
    }
}

fn alternative(text: &str) -> Option<VersionReq> {
    if let Some((from, to)) = text.split_once(" - ") {
        return VersionReq::parse(&format!(">={}, <={}", plain(from)?, plain(to)?)).ok();
    }
    let mut comparators = Vec::new();
    let mut operator = String::new();
    for word in text.split_whitespace() {
        // An operator may stand apart from its version.
        let signs = word.len() - word.trim_start_matches(['<', '>', '=', '~', '^']).len();
        let (sign, version) = word.split_at(signs);
        operator.push_str(sign);
        if version.is_empty() {
            continue;
        }
        let version = plain(version)?;
        // npm takes a bare version for itself alone; this library takes it for everything compatible with it.
        let operator = match std::mem::take(&mut operator).as_str() {
            "" if version == "*" => String::new(),
            "" => String::from("="),
            "~>" => String::from("~"),
            other => other.to_owned(),
        };
        comparators.push(format!("{operator}{version}"));
    }
    if !operator.is_empty() {
        return None;
    }
    if comparators.is_empty() {
        return Some(VersionReq::STAR);
    }
    VersionReq::parse(&comparators.join(", ")).ok()
}

/// A version without the `v` that some write before it, `x` parts left out.
fn plain(version: &str) -> Option<String> {
    let version = version.trim().trim_start_matches('v');
    let numbers: Vec<&str> =
        version.split('.').take_while(|part| !matches!(*part, "x" | "X" | "*")).collect();
    match numbers.as_slice() {
        [] => Some(String::from("*")),
        [""] => None,
        numbers => Some(numbers.join(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_what_npm_says() {
        for (range, inside, outside) in [
            ("^1.0.0", "1.9.3", "2.0.0"),
            (">=18", "20.1.0", "17.9.9"),
            (">= 18 < 25", "24.21.0", "25.0.0"),
            ("18.x || 20.x", "20.3.1", "19.0.0"),
            ("1.2.3", "1.2.3", "1.2.4"),
            ("18", "18.4.0", "20.0.0"),
            ("~1.2", "1.2.9", "1.3.0"),
            ("1.2.0 - 2.0.0", "1.5.0", "2.0.1"),
            ("v1.0.0", "1.0.0", "1.0.1"),
        ] {
            let parsed = VersionRange::parse(range).unwrap();
            assert!(parsed.includes(&inside.parse().unwrap()), "{range} {inside}");
            assert!(!parsed.includes(&outside.parse().unwrap()), "{range} {outside}");
        }
        for all in ["*", "", "x"] {
            assert!(VersionRange::parse(all).unwrap().includes(&"3.1.4".parse().unwrap()), "{all}");
        }
        for bad in ["latest", ">=", "^^1", ">=2023-10-30", "1.2.3.4", "1..2"] {
            assert!(VersionRange::parse(bad).is_none(), "{bad}");
        }
    }
}
