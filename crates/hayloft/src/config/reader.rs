//! Merged values on their way into types. What is wrong is collected and the default stands in, so that all problems
//! are found in one go.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::{Map, Value, ValueKind};
use hayloft_model::secret::MASK;
use hayloft_model::{Problem, Problems, Secret, size};
use serde::Serialize;

use super::server::listen_address;
use super::setting::Visibility;
use super::{settings, units};

mod limits;

/// A setting for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShownSetting {
    /// Its place in the file.
    pub(crate) key: &'static str,
    /// Its value; nothing if it has none.
    pub(crate) value: Option<String>,
    /// Where the value came from.
    pub(crate) origin: String,
}

/// The merged values, what is wrong so far, and what was decided so far.
pub(super) struct SettingsReader<'a> {
    merged: Map<String, Value>,
    /// The file, which is where values came from that do not say it.
    file: String,
    problems: &'a mut Problems,
    shown: Vec<ShownSetting>,
}

/// What stands for the origin of a value that nobody gave.
const DEFAULT: &str = "default";

impl<'a> SettingsReader<'a> {
    pub(super) const fn new(merged: Map<String, Value>, file: String, problems: &'a mut Problems) -> Self {
        Self { merged, file, problems, shown: Vec::new() }
    }

    pub(super) fn into_shown(self) -> Vec<ShownSetting> {
        self.shown
    }

    /// A value of a type that its text parses into.
    pub(super) fn parsed<T: FromStr<Err: Display> + Display>(&mut self, key: &'static str, default: T) -> T {
        self.one(key, default, |text| text.parse().map_err(|error: T::Err| error.to_string()), T::to_string)
    }

    /// An address to listen on.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.one(key, default, listen_address, SocketAddr::to_string)
    }

    /// A path.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        self.one(
            key,
            PathBuf::from(default),
            |text| Ok(PathBuf::from(text)),
            |path| path.display().to_string(),
        )
    }

    /// A whole number.
    pub(super) fn count<T: FromStr + Display>(&mut self, key: &'static str, default: T) -> T {
        let expected = |_| String::from("must be a whole number that is not too large");
        self.one(key, default, |text| text.parse().map_err(expected), T::to_string)
    }

    /// A whole number that is not 0, as its type says.
    pub(super) fn positive<T: FromStr + Display>(&mut self, key: &'static str, default: T) -> T {
        let expected = |_| String::from("must be a whole number of at least 1 that is not too large");
        self.one(key, default, |text| text.parse().map_err(expected), T::to_string)
    }

    /// A duration.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let expected = || String::from("must be a duration such as `30s`, `250ms` or `5m`");
        self.one(
            key,
            default,
            |text| units::duration(text).ok_or_else(expected),
            |value| units::show_duration(*value),
        )
    }

    /// A number of bytes.
    pub(super) fn size<T: TryFrom<u64> + TryInto<u64> + Copy>(&mut self, key: &'static str, default: T) -> T {
        let expected = || String::from("must be a size such as `10MiB`, `64KiB` or a number of bytes");
        let parse =
            |text: &str| size::parse(text).and_then(|size| T::try_from(size).ok()).ok_or_else(expected);
        self.one(key, default, parse, |value| size::show((*value).try_into().unwrap_or(u64::MAX)))
    }

    /// A number of bytes that need not be there.
    pub(super) fn optional_size(&mut self, key: &'static str) -> Option<u64> {
        let (text, origin) = self.text(key).unzip();
        let origin = origin.unwrap_or_else(|| DEFAULT.to_owned());
        let size = text.as_deref().and_then(size::parse);
        if text.is_some() && size.is_none() {
            let expected = "must be a size such as `256MiB` or a number of bytes";
            self.wrong(key, &origin, expected.to_owned());
        }
        self.show(key, size.map(size::show), origin);
        size
    }

    /// Numbers of bytes by names that nobody knows beforehand.
    pub(super) fn sizes_by_name<K>(&mut self, key: &'static str) -> HashMap<K, u64>
    where
        K: FromStr<Err: Display> + Eq + Hash,
    {
        let mut sizes = HashMap::new();
        let Some(value) = self.value(key) else {
            self.show(key, None, DEFAULT.to_owned());
            return sizes;
        };
        let origin = self.origin_of(&value);
        let mut shown = Vec::new();
        for (name, value) in self.table(key, "\"256MiB\"", &origin, value) {
            let place = format!("{key}.\"{name}\"");
            let size = value.into_string().ok().and_then(|text| size::parse(&text));
            match (name.parse(), size) {
                (Ok(known), Some(size)) => {
                    shown.push(format!("{name}: {}", size::show(size)));
                    sizes.insert(known, size);
                }
                (Err(error), _) => self.wrong(key, &origin, K::Err::to_string(&error)),
                (Ok(_), None) => {
                    let expected = "must be a size such as `\"256MiB\"` or a number of bytes";
                    self.wrong(&place, &origin, expected.to_owned());
                }
            }
        }
        shown.sort();
        self.show(key, Some(shown.join("; ")), origin);
        sizes
    }

    /// A value that need not be there.
    pub(super) fn optional<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let Some((text, origin)) = self.text(key) else {
            self.show(key, None, DEFAULT.to_owned());
            return None;
        };
        let parsed = text.parse().map_err(|error: T::Err| self.wrong(key, &origin, error.to_string())).ok();
        self.show(key, Some(text), origin);
        parsed
    }

    /// A secret that need not be there.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret<String>> {
        self.optional::<String>(key).map(Secret::new)
    }

    /// Values of a type that their texts parse into: an array, or one text with commas.
    pub(super) fn list<T: FromStr<Err: Display>>(&mut self, key: &'static str, default: &[&str]) -> Vec<T> {
        let (texts, origin) = match self.value(key) {
            None => (default.iter().map(|text| (*text).to_owned()).collect(), DEFAULT.to_owned()),
            Some(value) => {
                let origin = self.origin_of(&value);
                (self.texts(key, value), origin)
            }
        };
        let mut parsed = Vec::new();
        for text in &texts {
            match text.parse() {
                Ok(value) => parsed.push(value),
                Err(error) => self.wrong(key, &origin, T::Err::to_string(&error)),
            }
        }
        self.show(key, Some(texts.join(", ")).filter(|text| !text.is_empty()), origin);
        parsed
    }

    /// Lists of texts by names that nobody knows beforehand.
    pub(super) fn lists_by_name<K>(&mut self, key: &'static str) -> HashMap<K, Vec<String>>
    where
        K: FromStr<Err: Display> + Display + Eq + Hash,
    {
        let mut lists = HashMap::new();
        let Some(value) = self.value(key) else {
            self.show(key, None, DEFAULT.to_owned());
            return lists;
        };
        let origin = self.origin_of(&value);
        let ValueKind::Table(table) = value.kind else {
            let expected = "must be a table of lists, such as `\"hay-plugin-a\" = [\"NAME\"]`";
            self.wrong(key, &origin, expected.to_owned());
            return lists;
        };
        let mut shown = Vec::new();
        for (name, value) in table {
            let texts = self.texts(key, value);
            shown.push(format!("{name}: {}", texts.join(", ")));
            match name.parse() {
                Ok(name) => {
                    lists.insert(name, texts);
                }
                Err(error) => self.wrong(key, &origin, K::Err::to_string(&error)),
            }
        }
        shown.sort();
        self.show(key, Some(shown.join("; ")), origin);
        lists
    }

    /// As [`Self::lists_by_name`], of values that the texts parse into.
    pub(super) fn parsed_lists_by_name<K, T>(&mut self, key: &'static str) -> HashMap<K, Vec<T>>
    where
        K: FromStr<Err: Display> + Display + Eq + Hash,
        T: FromStr<Err: Display>,
    {
        let origin = self.value(key).map_or_else(|| DEFAULT.to_owned(), |value| self.origin_of(&value));
        let mut lists: Vec<(K, Vec<String>)> = self.lists_by_name(key).into_iter().collect();
        lists.sort_by_key(|(name, _)| name.to_string());
        let mut parsed = HashMap::new();
        for (name, texts) in lists {
            let mut values = Vec::with_capacity(texts.len());
            for text in texts {
                match text.parse() {
                    Ok(value) => values.push(value),
                    Err(error) => {
                        self.wrong(
                            &format!("{key}.\"{name}\""),
                            &origin,
                            format!("`{text}` {}", T::Err::to_string(&error)),
                        );
                    }
                }
            }
            parsed.insert(name, values);
        }
        parsed
    }

    /// A problem with a setting that is read already.
    pub(super) fn object(&mut self, key: &str, message: String) {
        let origin = key.split_once('.').and_then(|(section, name)| {
            let name = name.split('.').next().unwrap_or(name);
            self.value(&format!("{section}.{name}"))
        });
        let origin = origin.map_or_else(|| DEFAULT.to_owned(), |value| self.origin_of(&value));
        self.wrong(key, &origin, message);
    }

    /// Whole numbers that are not 0, by name.
    pub(super) fn counts_by_name<K, T>(&mut self, key: &'static str) -> HashMap<K, T>
    where
        K: FromStr<Err: Display> + Eq + Hash,
        T: FromStr + Display,
    {
        let mut counts = HashMap::new();
        let Some(value) = self.value(key) else {
            self.show(key, None, DEFAULT.to_owned());
            return counts;
        };
        let origin = self.origin_of(&value);
        let mut shown = Vec::new();
        for (name, value) in self.table(key, "20", &origin, value) {
            match (name.parse(), text_of(&value).and_then(|text| text.parse::<T>().ok())) {
                (Ok(known), Some(count)) => {
                    shown.push(format!("{name}: {count}"));
                    counts.insert(known, count);
                }
                (Ok(_), None) => {
                    let expected = "must be a whole number of at least 1 that is not too large";
                    self.wrong(&format!("{key}.\"{name}\""), &origin, expected.to_owned());
                }
                (Err(error), _) => self.wrong(key, &origin, K::Err::to_string(&error)),
            }
        }
        self.show(key, Some(shown.join("; ")), origin);
        counts
    }

    /// The entries of a table, in order.
    fn table(&mut self, key: &str, example: &str, origin: &str, value: Value) -> Vec<(String, Value)> {
        let ValueKind::Table(table) = value.kind else {
            let expected = format!("must be a table, such as `\"hay-plugin-a\" = {example}`");
            self.wrong(key, origin, expected);
            return Vec::new();
        };
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries
    }

    /// Notes down that a value cannot be used.
    pub(super) fn wrong(&mut self, key: &str, origin: &str, message: String) {
        self.problems.push(Problem::error(format!("{origin}: {key}"), message));
    }

    fn one<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
        print: impl FnOnce(&T) -> String,
    ) -> T {
        let (value, origin) = match self.text(key) {
            None => (default, DEFAULT.to_owned()),
            Some((text, origin)) => match parse(&text) {
                Ok(value) => (value, origin),
                Err(message) => {
                    self.wrong(key, &origin, message);
                    (default, origin)
                }
            },
        };
        self.show(key, Some(print(&value)), origin);
        value
    }

    /// The text of a value and where it came from.
    fn text(&mut self, key: &'static str) -> Option<(String, String)> {
        let value = self.value(key)?;
        let origin = self.origin_of(&value);
        let text = text_of(&value);
        if text.is_none() {
            self.wrong(key, &origin, String::from("must be one value, not a list or a table"));
        }
        text.map(|text| (text, origin))
    }

    fn texts(&mut self, key: &str, value: Value) -> Vec<String> {
        let origin = self.origin_of(&value);
        let texts: Option<Vec<_>> = match &value.kind {
            ValueKind::Array(items) => items.iter().map(text_of).collect(),
            _ => text_of(&value).map(|text| {
                text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
            }),
        };
        texts.unwrap_or_else(|| {
            self.wrong(key, &origin, String::from("must be a list of texts"));
            Vec::new()
        })
    }

    fn origin_of(&self, value: &Value) -> String {
        value.origin().unwrap_or(&self.file).to_owned()
    }

    fn value(&self, key: &str) -> Option<Value> {
        let (section, name) = key.split_once('.')?;
        match &self.merged.get(section)?.kind {
            ValueKind::Table(table) => table.get(name).cloned(),
            _ => None,
        }
    }

    fn show(&mut self, key: &'static str, value: Option<String>, origin: String) {
        let masked = settings().any(|setting| setting.key == key && setting.visibility == Visibility::Masked);
        let value = value.map(|value| if masked { MASK.to_owned() } else { value });
        self.shown.push(ShownSetting { key, value, origin });
    }
}

fn text_of(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => None,
        ValueKind::String(text) => Some(text.clone()),
        scalar => Some(scalar.to_string()),
    }
}
