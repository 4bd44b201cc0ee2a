//! How messages quote what a person wrote, and what the person probably meant.

/// Longest quotation in a message, in characters.
const LONGEST_QUOTATION: usize = 80;

/// The text in backticks, shortened, with control characters escaped so that a manifest cannot steer a terminal.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("`");
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST_QUOTATION {
            quoted.push('…');
            break;
        }
        if is_unprintable(character) {
            quoted.extend(character.escape_unicode());
        } else {
            quoted.push(character);
        }
    }
    quoted.push('`');
    quoted
}

/// Whether a character is invisible or steers how its neighbours are shown: control characters, and the marks
/// that reverse or hide text.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// "`a`, `b` and `c`".
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(quoted).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The known word that was probably meant, if one is near enough.
pub(crate) fn meant<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let folded = fold(written);
    if folded.chars().count() < 2 {
        return None;
    }
    // A word that has little to do with the known ones gets no suggestion: a wrong one is worse than none.
    let furthest = (folded.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&folded, &fold(word)), word))
        .filter(|(distance, word)| *distance <= furthest && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_cannot_steer_a_terminal() {
        assert_eq!(quoted("a\u{1b}[2Jb\u{202e}"), r"`a\u{1b}[2Jb\u{202e}`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), LONGEST_QUOTATION + 3);
    }

    #[test]
    fn near_words_are_meant() {
        let known = ["entry", "displayName", "category", "env", "ui"];
        for (written, expected) in [
            ("entri", Some("entry")),
            ("display_name", Some("displayName")),
            ("categroy", Some("category")),
            ("Env", Some("env")),
            ("ux", Some("ui")),
            ("zebra", None),
            ("", None),
            ("i", None),
        ] {
            assert_eq!(meant(written, known), expected, "{written}");
        }
    }
}
