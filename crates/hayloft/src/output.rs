//! What goes to standard output: tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// Prints one line.
///
/// # Errors
/// When nobody reads any more.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| not_written(&error))
}

/// Prints a value as JSON.
///
/// # Errors
/// When nobody reads any more.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::caused("failed to write JSON", &error))?;
    line(text)
}

/// Prints rows under a head, if it says something. Text from outside cannot act on the terminal.
///
/// # Errors
/// When nobody reads any more.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if head.iter().any(|title| !title.is_empty()) {
        table.set_header(head);
    }
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    line(table)
}

/// A member of an answer as text; empty if it has none.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The rows of a list in an answer.
pub(crate) fn rows<const N: usize>(answer: &Value, list: &str, columns: [&str; N]) -> Vec<[String; N]> {
    let items = answer[list].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(|item| columns.map(|column| text(item, column))).collect()
}

/// The text without anything that a terminal would obey. Line breaks stay.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let kept = c == '\n' || c == '\t' || !(c.is_control() || is_invisible(c));
            let escaped: Vec<char> = if kept { vec![c] } else { c.escape_unicode().collect() };
            escaped
        })
        .collect()
}

/// Characters that reorder or hide text.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn not_written(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::caused("failed to write to standard output", error),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_terminal_is_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nä\u{202e}"), "a\\u{1b}[2Jb\\u{d}\nä\\u{202e}");
    }
}
