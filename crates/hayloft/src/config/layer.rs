//! A source whose every value says where it came from.

use std::collections::HashMap;

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::Setting;

/// A value from the command line.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The setting that it is for.
    pub(crate) key: &'static str,
    /// As it was written: `--listen`.
    pub(crate) name: &'static str,
    /// Its values; more than one for a flag that may be repeated.
    pub(crate) values: Vec<String>,
}

/// Values of one source by key.
#[derive(Clone, Debug)]
pub(super) struct Layer(Vec<(String, Value)>);

impl Layer {
    /// The variables of the settings that are set.
    pub(super) fn of_environment<'s>(
        settings: impl Iterator<Item = &'s Setting>,
        environment: &HashMap<String, String>,
    ) -> Self {
        Self(
            settings
                .filter_map(|setting| {
                    let value = environment.get(setting.variable)?;
                    let origin = format!("environment: {}", setting.variable);
                    Some((setting.key.to_owned(), Value::new(Some(&origin), value.clone())))
                })
                .collect(),
        )
    }

    /// The flags that were given.
    pub(super) fn of_flags(flags: &[Flag]) -> Self {
        Self(
            flags
                .iter()
                .map(|flag| {
                    let origin = format!("flag: {}", flag.name);
                    let kind = match flag.values.as_slice() {
                        [only] => ValueKind::String(only.clone()),
                        many => ValueKind::Array(
                            many.iter().map(|value| Value::new(Some(&origin), value.clone())).collect(),
                        ),
                    };
                    (flag.key.to_owned(), Value::new(Some(&origin), kind))
                })
                .collect(),
        )
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}
