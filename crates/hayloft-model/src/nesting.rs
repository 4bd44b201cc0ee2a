//! How deep a JSON text nests, told without parsing it.

/// Deeper than anything that is meant: more is no mistake but an attack on who parses it.
pub const BEYOND_REASON: usize = 1024;

/// Whether objects and arrays stand within each other more than `limit` levels deep.
///
/// Most messages have fewer brackets than the limit altogether, which one pass without branches tells.
#[must_use]
pub fn exceeds(text: &[u8], limit: usize) -> bool {
    let openings = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    openings > limit && deepest_is_over(text, limit)
}

fn deepest_is_over(text: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match (in_string, byte) {
            (true, b'\\') => {
                bytes.next();
            }
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn depth_is_counted_outside_strings() {
        let cases = [
            ("[[[]]]", 3, false),
            ("[[[]]]", 2, true),
            ("[[],[],[],[]]", 2, false),
            (r#"["[[[[["]"#, 1, false),
            (r#"["\"[[[[", "[[", []]"#, 2, false),
            (r#"["\\", [[]]]"#, 2, true),
            (r#"{"a":{"b":{}}}"#, 2, true),
        ];
        for (text, limit, expected) in cases {
            assert_eq!(exceeds(text.as_bytes(), limit), expected, "{text} over {limit}");
        }
    }
}
