//! The names under which clients see tools: `<slug>__<tool>`.
//!
//! Many clients and models take only `[a-zA-Z0-9_-]` and at most 64 characters, which is stricter than MCP's own rules,
//! so every public name keeps to that. A name is a pure function of slug and tool; the caller stores what it allotted
//! and asks for [`with_suffix`] when two tools would share a name.

use sha2::{Digest, Sha256};

/// The longest name that clients in the wild accept.
pub const MAX_NAME: usize = 64;

/// The longest part of a name that the slug takes, so that there is always room for the tool's own name.
const MAX_SLUG: usize = 32;

/// What stands between slug and tool.
const SEPARATOR: &str = "__";

/// The public name of a tool. Names that are too long are cut and get a hash of the whole, so that two long names which
/// start alike stay apart.
#[must_use]
pub fn public_name(slug: &str, tool: &str) -> String {
    let slug_part = cut(&sanitise(slug, |c| c.is_ascii_alphanumeric()), slug, MAX_SLUG);
    let room = MAX_NAME - slug_part.len() - SEPARATOR.len();
    let tool_part = cut(&sanitise(tool, |c| c.is_ascii_alphanumeric() || c == '-'), tool, room);
    format!("{slug_part}{SEPARATOR}{tool_part}")
}

/// The `n`-th name to try when a public name is taken: `name_2`, `name_3`, …, cut to stay within [`MAX_NAME`].
#[must_use]
pub fn with_suffix(name: &str, n: u32) -> String {
    let suffix = format!("_{n}");
    let kept: String = name.chars().take(MAX_NAME - suffix.len()).collect();
    format!("{kept}{suffix}")
}

fn sanitise(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let sanitised: String = text.chars().map(|c| if keeps(c) { c } else { '_' }).collect();
    if sanitised.is_empty() { "_".to_owned() } else { sanitised }
}

/// Cuts ASCII text to a length, the hash of the original at its end.
fn cut(sanitised: &str, original: &str, length: usize) -> String {
    const HASH: usize = 8;
    if sanitised.len() <= length {
        return sanitised.to_owned();
    }
    let hash = Sha256::digest(original.as_bytes());
    let hex: String = hash.iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = sanitised.chars().take(length - HASH - 1).collect();
    format!("{kept}_{hex}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_as_people_expect() {
        let long = "x".repeat(80);
        let cases = [
            ("hello_tool", "greet", "hello_tool__greet"),
            ("my-shop", "get.order/v2", "my_shop__get_order_v2"),
            ("shop", "get-order", "shop__get-order"),
            ("shop", "", "shop___"),
            ("a", "préparer", "a__pr_parer"),
            ("a", &long, "a__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_d929cdee"),
            (&long, "t", "xxxxxxxxxxxxxxxxxxxxxxx_d929cdee__t"),
        ];
        for (slug, tool, expected) in cases {
            assert_eq!(public_name(slug, tool), expected);
        }
    }

    #[test]
    fn suffixes_stay_within_the_length() {
        assert_eq!(with_suffix("a__b", 2), "a__b_2");
        let long = with_suffix(&"a".repeat(MAX_NAME), 12);
        assert_eq!(long.len(), MAX_NAME);
        assert!(long.ends_with("a_12"));
    }

    proptest! {
        #[test]
        fn every_name_keeps_the_rules(slug in ".{0,80}", tool in ".{0,200}", n in 2_u32..) {
            let name = public_name(&slug, &tool);
            for name in [with_suffix(&name, n), name] {
                prop_assert!((1..=MAX_NAME).contains(&name.len()));
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
            }
        }

        #[test]
        fn long_names_that_start_alike_stay_apart(start in "[a-z]{60}", a in "[a-z]{1,20}", b in "[a-z]{1,20}") {
            prop_assume!(a != b);
            prop_assert_ne!(
                public_name("slug", &format!("{start}{a}")),
                public_name("slug", &format!("{start}{b}"))
            );
        }
    }
}
