//! What workers may use at most, for all plugins or for single ones.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;

use config::Value;
use hayloft_model::plugin::{LimitName, PluginLimits};

use super::{DEFAULT, SettingsReader, text_of};

/// What the table of one plugin's limits looks like.
const LIMITS_OF_ONE: &str = "{ memory = \"2GiB\" }";

impl SettingsReader<'_> {
    /// A limit of a worker, not less than the least and, if there is one, not more than the maximum of another setting.
    pub(in crate::config) fn limit(
        &mut self,
        key: &'static str,
        name: LimitName,
        default: u64,
        maximum: Option<(&'static str, u64)>,
    ) -> u64 {
        let value = self.value(key);
        let origin = value.as_ref().map_or_else(|| DEFAULT.to_owned(), |value| self.origin_of(value));
        let checked = match value {
            None => check_limit(name, default, maximum),
            Some(value) => read_limit(name, &value, maximum),
        };
        let value = checked.unwrap_or_else(|message| {
            self.wrong(key, &origin, message);
            default
        });
        self.show(key, Some(name.show(value)), origin);
        value
    }

    /// Limits of single plugins, by their ids. `maximum` knows of each the setting that bounds it.
    pub(in crate::config) fn limits_by_plugin<K>(
        &mut self,
        key: &'static str,
        maximum: impl Fn(LimitName) -> (&'static str, u64),
    ) -> HashMap<K, PluginLimits>
    where
        K: FromStr<Err: Display> + Display + Eq + Hash,
    {
        let mut all = HashMap::new();
        let Some(value) = self.value(key) else {
            self.show(key, None, DEFAULT.to_owned());
            return all;
        };
        let origin = self.origin_of(&value);
        let mut shown = Vec::new();
        for (plugin, table) in self.table(key, LIMITS_OF_ONE, &origin, value) {
            let key_of_plugin = format!("{key}.\"{plugin}\"");
            let mut limits = PluginLimits::default();
            for (written, value) in self.table(&key_of_plugin, LIMITS_OF_ONE, &origin, table) {
                let key = format!("{key_of_plugin}.{written}");
                let Some(name) = LimitName::ALL.into_iter().find(|name| name.as_str() == written) else {
                    let names = LimitName::ALL.map(LimitName::as_str).join("`, `");
                    self.wrong(&key, &origin, format!("is no limit of a plugin; there are `{names}`"));
                    continue;
                };
                match read_limit(name, &value, Some(maximum(name))) {
                    Ok(value) => {
                        limits.set(name, value);
                        shown.push(format!("{plugin}: {name} {}", name.show(value)));
                    }
                    Err(message) => self.wrong(&key, &origin, message),
                }
            }
            match plugin.parse() {
                Ok(plugin) => drop(all.insert(plugin, limits)),
                Err(error) => self.wrong(key, &origin, K::Err::to_string(&error)),
            }
        }
        shown.sort();
        self.show(key, Some(shown.join("; ")), origin);
        all
    }
}

fn read_limit(name: LimitName, value: &Value, maximum: Option<(&'static str, u64)>) -> Result<u64, String> {
    let value = text_of(value).and_then(|text| name.parse(&text));
    check_limit(name, value.ok_or_else(|| format!("must be {}", name.expected()))?, maximum)
}

fn check_limit(name: LimitName, value: u64, maximum: Option<(&'static str, u64)>) -> Result<u64, String> {
    let (shown, least) = (name.show(value), name.least());
    if value < least {
        return Err(format!(
            "is {shown}, too little for a worker to start: it needs at least {}",
            name.show(least)
        ));
    }
    match maximum {
        Some((setting, most)) if value > most => {
            Err(format!("is {shown}, and `{setting}` allows at most {}", name.show(most)))
        }
        _ => Ok(value),
    }
}
