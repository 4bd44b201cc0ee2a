//! What a tool says of its own effect: the hints among its annotations (schema of 2025-03-26, `ToolAnnotations`).
//!
//! They are the word of its server. Whoever relies on them relies on that and on nothing that the host could check.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// The hints that the host goes by. What is absent, or no boolean, says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// It changes nothing.
    pub(crate) read_only: bool,
    /// Calling it twice has the effect of calling it once.
    pub(crate) idempotent: bool,
}

impl Hints {
    /// Reads a tool's annotations.
    pub(crate) fn of(annotations: Option<&RawValue>) -> Self {
        let fields: Option<HashMap<String, &RawValue>> =
            annotations.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let fields = fields.unwrap_or_default();
        let holds = |name: &str| fields.get(name).is_some_and(|value| value.get() == "true");
        Self { read_only: holds("readOnlyHint"), idempotent: holds("idempotentHint") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_so_counts() {
        for (annotations, read_only, idempotent) in [
            (None, false, false),
            (Some("{}"), false, false),
            (Some(r#"{"readOnlyHint":true}"#), true, false),
            (Some(r#"{"idempotentHint":true,"readOnlyHint":false}"#), false, true),
            (Some(r#"{"readOnlyHint":"true","idempotentHint":1}"#), false, false),
            (Some("[true]"), false, false),
        ] {
            let raw = annotations.map(|text: &str| RawValue::from_string(text.to_owned()).unwrap());
            assert_eq!(Hints::of(raw.as_deref()), Hints { read_only, idempotent }, "{annotations:?}");
        }
    }
}
