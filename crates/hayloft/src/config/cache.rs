//! `[cache]`: whether results of tools that only read are kept for a while.

use hayloft_host::ResultCacheOptions;

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("cache.results", "HAYLOFT_CACHE_RESULTS"),
    Setting::new("cache.time", "HAYLOFT_CACHE_TIME"),
    Setting::new("cache.bytes_per_organization", "HAYLOFT_CACHE_BYTES_PER_ORGANIZATION"),
    Setting::new("cache.entries_per_organization", "HAYLOFT_CACHE_ENTRIES_PER_ORGANIZATION"),
    Setting::new("cache.bytes", "HAYLOFT_CACHE_BYTES"),
];

pub(super) fn read(settings: &mut SettingsReader<'_>) -> ResultCacheOptions {
    let defaults = ResultCacheOptions::default();
    ResultCacheOptions {
        default: settings.parsed("cache.results", defaults.default),
        time: settings.duration("cache.time", defaults.time),
        bytes_per_organization: settings
            .size("cache.bytes_per_organization", defaults.bytes_per_organization),
        entries_per_organization: settings
            .positive("cache.entries_per_organization", defaults.entries_per_organization),
        bytes: settings.size("cache.bytes", defaults.bytes),
    }
}
