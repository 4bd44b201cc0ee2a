//! One text for all spellings of the same arguments: members in order, no white space, each character in one spelling.
//! Numbers stay as they were written, so that no two of them become the same by rounding.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Longer arguments are not looked for.
const LONGEST: usize = 16 << 10;

/// Nor are deeper ones.
const DEEPEST: usize = 32;

/// The canonical text of arguments; absent ones are an empty object. `None` for what is too long or too deep.
pub(crate) fn canonical(arguments: Option<&RawValue>) -> Option<String> {
    let Some(arguments) = arguments else { return Some(String::from("{}")) };
    if arguments.get().len() > LONGEST {
        return None;
    }
    let mut text = String::with_capacity(arguments.get().len());
    write(arguments, DEEPEST, &mut text)?;
    Some(text)
}

fn write(value: &RawValue, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let text = value.get().trim();
    match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(&name).ok()?);
                out.push(':');
                write(value, depth, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (index, value) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, depth, out)?;
            }
            out.push(']');
        }
        b'"' => {
            let decoded: String = serde_json::from_str(text).ok()?;
            out.push_str(&serde_json::to_string(&decoded).ok()?);
        }
        _ => out.push_str(text),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        canonical(Some(&RawValue::from_string(text.to_owned()).unwrap()))
    }

    #[test]
    fn spellings_of_one_value_are_one_and_different_values_never_are() {
        let same = [
            r#"{"a":[1,{"x":"\u0061/","y":null}],"b":true}"#,
            r#" { "b" : true , "a" : [ 1 , { "y" : null , "x" : "a\/" } ] } "#,
            r#"{"\u0062":true,"a":[1,{"x":"a/","y":null}]}"#,
        ];
        for text in same {
            assert_eq!(of(text).unwrap(), r#"{"a":[1,{"x":"a/","y":null}],"b":true}"#, "{text}");
        }
        let different = [
            r#"{"n":12345678901234567890123}"#,
            r#"{"n":12345678901234567890124}"#,
            r#"{"n":"12345678901234567890124"}"#,
            r#"{"n":0.1}"#,
            r#"{"n":0.10000000000000000001}"#,
            r#"{"n":[1,2]}"#,
            r#"{"n":[2,1]}"#,
            r#"{"n":[12]}"#,
            r#"{"n":null}"#,
            "{}",
        ];
        let texts: std::collections::BTreeSet<_> = different.iter().map(|text| of(text).unwrap()).collect();
        assert_eq!(texts.len(), different.len());
        assert_eq!(canonical(None), of("{}"));
    }

    #[test]
    fn what_is_too_long_or_too_deep_has_none() {
        assert_eq!(of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST))), None);
        let nested = |depth: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(of(&nested(DEEPEST - 2)).is_some());
        assert_eq!(of(&nested(DEEPEST - 1)), None);
    }
}
