//! What differs from run to run, replaced by what it is, so that whole answers can be snapshots.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Patterns in texts, most specific first.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\borg_[0-9a-f]{32}\b", "[organization]"),
        (r"\btok_[0-9a-f]{32}\b", "[token id]"),
        (r"\bwrk_[0-9a-f]{32}\b", "[worker]"),
        (r"\bhlt_[A-Za-z0-9_-]{20,}", "[token]"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[uuid]"),
        (r"\b[0-9a-f]{64}\b", "[hash]"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "[time]"),
        (r"\b(127\.0\.0\.1|localhost|\[::1\]):\d{2,5}\b", "$1:[port]"),
        (r"/tmp/[A-Za-z0-9._-]+", "[temporary]"),
    ]
    .into_iter()
    .map(|(pattern, name)| (Regex::new(pattern).expect("a pattern that compiles"), name))
    .collect()
});

/// Numbers that say nothing about right or wrong, by the name of their field.
const NUMBERS: [&str; 6] = ["pid", "rssBytes", "cpuSeconds", "port", "startTime", "durationMs"];

/// A text without ids, tokens, times, ports and temporary folders.
#[must_use]
pub fn redact(text: &str) -> String {
    PATTERNS
        .iter()
        .fold(text.to_owned(), |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}

/// The same for every text in a JSON value, and for numbers such as process ids.
#[must_use]
pub fn redact_json(value: &Value) -> Value {
    match value {
        Value::String(text) => redact(text).into(),
        Value::Array(items) => items.iter().map(redact_json).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::Number(_) if NUMBERS.contains(&name.as_str()) => {
                    (name.clone(), format!("[{name}]").into())
                }
                _ => (redact(name), redact_json(value)),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_and_what_matters_stays() {
        let organization = format!("org_{}", "0a".repeat(16));
        let value = json!({
            "id": organization,
            "at": "2026-11-20T11:02:03.123Z",
            "url": "http://127.0.0.1:43121/v1/mcp",
            "message": format!("`{organization}` has no plugin in /tmp/.tmpAbC/plugins/x"),
            "pid": 4711,
            "tools": 3,
            "version": "1.2.3",
        });
        assert_eq!(
            redact_json(&value),
            json!({
                "id": "[organization]",
                "at": "[time]",
                "url": "http://127.0.0.1:[port]/v1/mcp",
                "message": "`[organization]` has no plugin in [temporary]/plugins/x",
                "pid": "[pid]",
                "tools": 3,
                "version": "1.2.3",
            })
        );
    }
}
