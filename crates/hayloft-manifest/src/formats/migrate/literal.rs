//! JSON as a person would write it in TypeScript.

use serde_json::Value;

/// Longest literal that stands on one line, in characters.
const LONGEST_LINE: usize = 80;

/// A literal, for a line that is indented by so many levels.
pub(super) fn literal(value: &Value, level: usize) -> String {
    let short = flat(value);
    if short.chars().count() + level * 2 <= LONGEST_LINE {
        return short;
    }
    let (open, close, lines) = match value {
        Value::Object(fields) => {
            let line =
                |(name, value): (&String, &Value)| format!("{}: {}", key(name), literal(value, level + 1));
            ('{', '}', fields.iter().map(line).collect::<Vec<_>>())
        }
        Value::Array(items) => {
            ('[', ']', items.iter().map(|item| literal(item, level + 1)).collect::<Vec<_>>())
        }
        _ => return short,
    };
    block(open, &lines, close, level)
}

/// An object of which some values are code: keys that need no quotes, with what stands behind them.
pub(super) fn object(entries: &[(&str, String)], level: usize) -> String {
    let lines: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    block('{', &lines, '}', level)
}

fn block(open: char, lines: &[String], close: char, level: usize) -> String {
    let inner = "  ".repeat(level + 1);
    let lines: String = lines.iter().map(|line| format!("{inner}{line},\n")).collect();
    format!("{open}\n{lines}{}{close}", "  ".repeat(level))
}

fn flat(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => String::from("{}"),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}: {}", key(name), flat(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flat).collect();
            format!("[{}]", items.join(", "))
        }
        // JSON is a subset of JavaScript, texts with all their escapes included.
        plain => plain.to_string(),
    }
}

/// A key, in quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '$'))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
    if is_name { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_read_like_code() {
        assert_eq!(
            literal(&json!({ "a": [1, null], "b-c": "x\"\n", "d": {} }), 0),
            r#"{ a: [1, null], "b-c": "x\"\n", d: {} }"#
        );
        let long = "x".repeat(60);
        assert_eq!(
            literal(&json!({ "first": long, "second": [long] }), 1),
            format!("{{\n    first: \"{long}\",\n    second: [\"{long}\"],\n  }}")
        );
    }
}
