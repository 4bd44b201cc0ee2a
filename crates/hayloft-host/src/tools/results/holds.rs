//! For how long a tool says that its results hold.

use std::collections::HashMap;
use std::time::Duration;

use hayloft_mcp::ToolFields;
use serde_json::value::RawValue;

use crate::tools::hints::Hints;

/// Where a tool's definition says, in its `_meta`, for how many seconds its results hold; 0 is never.
const DECLARED_IN: &str = "hayloft/cacheSeconds";

/// A tool may not declare a longer time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long a tool's results hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// They are not kept.
    Never,
    /// As long as results do on this host.
    Usual,
    /// As long as the tool says.
    For(Duration),
}

impl Holds {
    /// What a definition says. A time that it declares itself counts more than a hint that it only reads.
    pub(crate) fn of(fields: &ToolFields<'_>) -> Self {
        let declared = fields.meta.and_then(|meta| {
            let meta: HashMap<String, &RawValue> = serde_json::from_str(meta.get()).ok()?;
            serde_json::from_str::<u64>(meta.get(DECLARED_IN)?.get()).ok()
        });
        if let Some(seconds) = declared {
            return match Duration::from_secs(seconds).min(LONGEST) {
                Duration::ZERO => Self::Never,
                time => Self::For(time),
            };
        }
        if Hints::of(fields.annotations).read_only { Self::Usual } else { Self::Never }
    }
}

#[cfg(test)]
mod tests {
    use hayloft_mcp::ToolDefinition;

    use super::*;

    #[test]
    fn only_tools_that_say_so_are_kept() {
        let table = [
            (r#"{"name":"a"}"#, Holds::Never),
            (r#"{"name":"a","annotations":{"readOnlyHint":true}}"#, Holds::Usual),
            (r#"{"name":"a","annotations":{"readOnlyHint":false,"idempotentHint":true}}"#, Holds::Never),
            (r#"{"name":"a","annotations":{"idempotentHint":true}}"#, Holds::Never),
            (r#"{"name":"a","annotations":{"readOnlyHint":"true"}}"#, Holds::Never),
            (r#"{"name":"a","_meta":{"hayloft/cacheSeconds":7}}"#, Holds::For(Duration::from_secs(7))),
            (
                r#"{"name":"a","annotations":{"readOnlyHint":true},"_meta":{"x":1,"hayloft/cacheSeconds":0}}"#,
                Holds::Never,
            ),
            (r#"{"name":"a","_meta":{"hayloft/cacheSeconds":99999999}}"#, Holds::For(LONGEST)),
            (r#"{"name":"a","_meta":{"hayloft/cacheSeconds":-1}}"#, Holds::Never),
        ];
        for (definition, expected) in table {
            let definition =
                ToolDefinition::parse(RawValue::from_string(definition.to_owned()).unwrap()).unwrap();
            assert_eq!(Holds::of(&definition.fields()), expected, "{}", definition.raw());
        }
    }
}
