//! `hayloft plugin enable`

use std::io::Read as _;

use http::Method;
use serde_json::{Map, Value, json};

use super::{Context, plugin_get};
use crate::cli::EnableArgs;
use crate::failure::Failure;

/// Switches a plugin on, with settings and credentials if some are given.
///
/// # Errors
/// When the input is wrong, or the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, args: EnableArgs) -> Result<(), Failure> {
    let mut wish = json!({ "enabled": true });
    let settings = match &args.settings_json {
        Some(text) => json_object("--settings", &text_or_stdin(text)?)?,
        None => pairs("--set", &args.settings, read_value)?,
    };
    if !settings.is_empty() {
        wish["config"] = Value::Object(settings);
    }
    if let Some(method) = &args.auth {
        let credentials = pairs("--credential", &args.credentials, |text| Value::String(text.to_owned()))?;
        wish["auth"] = json!({ "methodId": method, "credentials": credentials });
    }
    let shown = context.plugin(&args.of).await?.ask(Method::PUT, "", Some(&wish)).await?;
    plugin_get::print(&shown, args.of.within.server.format)
}

/// `NAME=VALUE` pairs as an object.
fn pairs(flag: &str, texts: &[String], read: impl Fn(&str) -> Value) -> Result<Map<String, Value>, Failure> {
    let mut read_pairs = Map::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::wrong_use(format!("`{flag}` takes `NAME=VALUE`")))?;
        if read_pairs.insert(name.to_owned(), read(value)).is_some() {
            return Err(Failure::wrong_use(format!("`{flag}` names `{name}` twice")));
        }
    }
    Ok(read_pairs)
}

/// JSON if it reads as such, else text.
fn read_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// A JSON object from a flag.
pub(super) fn json_object(flag: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let wrong = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(_) => format!("`{flag}` takes a JSON object"),
        Err(error) => format!("`{flag}` takes a JSON object: {error}"),
    };
    Err(Failure::wrong_use(wrong).hint(r#"write it like `'{"name": "Ada"}'`"#))
}

/// The text itself, or standard input for `-`.
pub(super) fn text_or_stdin(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    std::io::stdin()
        .read_to_string(&mut read)
        .map_err(|error| Failure::caused("failed to read standard input", &error))?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_if_they_read_as_such() {
        let given = ["retries=3", "region=eu", "key=\"123\"", "debug=true", "url=http://x?a=b", "none="];
        let read = pairs("--set", &given.map(String::from), read_value).unwrap();
        let expected = json!({
            "retries": 3, "region": "eu", "key": "123", "debug": true, "url": "http://x?a=b", "none": "",
        });
        assert_eq!(Value::Object(read), expected);
        for bad in [&["x"][..], &["=1"], &["a=1", "a=2"]] {
            let bad: Vec<_> = bad.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(pairs("--set", &bad, read_value).unwrap_err().code(), 2);
        }
    }
}
