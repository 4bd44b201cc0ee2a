//! An object of a body, taken apart member by member. What is wrong is collected, nothing stops at the first problem.

use bytes::Bytes;
use hayloft_model::config::ConfigValues;
use hayloft_model::{Problem, Problems};
use serde_json::{Map, Value};

/// Members of an object that are still unread, and what is wrong so far.
pub(crate) struct ObjectReader<'a> {
    /// What stands before the names of members in places: empty, or `auth.`.
    prefix: String,
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    text: &'a Bytes,
    problems: &'a mut Problems,
}

impl<'a> ObjectReader<'a> {
    pub(crate) fn new(
        prefix: &str,
        fields: Map<String, Value>,
        text: &'a Bytes,
        problems: &'a mut Problems,
    ) -> Self {
        Self { prefix: prefix.to_owned(), fields, known: Vec::new(), text, problems }
    }

    /// The body as it was sent.
    pub(crate) const fn text(&self) -> &Bytes {
        self.text
    }

    /// A member that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, Problem>,
    ) -> Option<T> {
        if !self.fields.contains_key(name) {
            self.known.push(name);
            let at = self.place(name);
            self.problems.push(Problem::error(at, "is missing"));
            return None;
        }
        self.optional(name, read)
    }

    /// A member that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, Problem>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.fields.shift_remove(name)?;
        match read(value) {
            Ok(read) => Some(read),
            Err(mut problem) => {
                problem.at = self.place(name);
                self.problems.push(problem);
                None
            }
        }
    }

    /// A member that may be absent and is an object with members of its own.
    pub(crate) fn nested<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut ObjectReader<'_>) -> Option<T>,
    ) -> Option<T> {
        let fields = self.optional(name, object)?;
        let prefix = format!("{}.", self.place(name));
        let mut nested = ObjectReader::new(&prefix, fields, self.text, self.problems);
        let read = read(&mut nested);
        nested.finish();
        read
    }

    /// Reports every member that nobody asked for.
    pub(crate) fn finish(self) {
        for name in self.fields.keys() {
            let problem = Problem::error(format!("{}{name}", self.prefix), "is not a member of this object");
            self.problems.push(match nearest(name, self.known.iter().copied()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem.hint(format!("it takes {}", listed(&self.known))),
            });
        }
    }

    fn place(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// A member that must be text.
pub(crate) fn text(value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(expected("a string", &other)),
    }
}

/// A member that must be `true` or `false`.
pub(crate) fn boolean(value: Value) -> Result<bool, Problem> {
    match value {
        Value::Bool(value) => Ok(value),
        other => Err(expected("`true` or `false`", &other)),
    }
}

/// A member that must be an object.
pub(crate) fn object(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(expected("an object", &other)),
    }
}

/// A member that must be an object whose values may be secrets.
pub(crate) fn values(value: Value) -> Result<ConfigValues, Problem> {
    object(value).map(|fields| fields.into_iter().collect())
}

fn expected(wanted: &str, given: &Value) -> Problem {
    let given = match given {
        Value::Null => "`null`",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Problem::error("", format!("must be {wanted}, but {given} was given"))
}

/// The known name that somebody may have meant.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A longer name is somebody's payload, not a slip of the finger.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_lowercase().replace(['_', '-'], "");
    known
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_problems_are_found_at_once() {
        let Value::Object(fields) = json!({
            "enabld": true, "config": 3, "auth": { "method_id": "x", "credentials": [] }, "zzz": 1,
        }) else {
            panic!("it is an object");
        };
        let (text, mut problems) = (Bytes::new(), Problems::new());
        let mut reader = ObjectReader::new("", fields, &text, &mut problems);
        reader.optional("enabled", boolean);
        reader.optional("config", values);
        reader.nested("auth", |auth| {
            auth.required("methodId", super::text);
            auth.required("credentials", values)
        });
        reader.finish();
        insta::assert_snapshot!(problems.to_string(), @r"
        error: config: must be an object, but a number was given
        error: auth.methodId: is missing
        error: auth.credentials: must be an object, but an array was given
        error: auth.method_id: is not a member of this object
          hint: did you mean `methodId`?
        error: enabld: is not a member of this object
          hint: did you mean `enabled`?
        error: zzz: is not a member of this object
          hint: it takes `enabled`, `config`, `auth`
        ");
    }
}
