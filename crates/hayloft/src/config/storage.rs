//! `[storage]`: where things are remembered.

use std::path::PathBuf;

use hayloft_model::Secret;

use super::reader::SettingsReader;
use super::setting::Setting;

/// The settings of this section.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("storage.data_dir", "HAYLOFT_DATA_DIR"),
    // An address of a database server carries its password.
    Setting::secret("storage.database_url", "HAYLOFT_DATABASE_URL"),
    Setting::secret("storage.admin_token", "HAYLOFT_ADMIN_TOKEN"),
];

/// Where things are remembered.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    /// The folder that Hayloft has for itself.
    pub(crate) data_dir: PathBuf,
    /// The database, unless it is the embedded one in the data folder.
    pub(crate) database_url: Option<Secret<String>>,
    /// The administrator's bearer token, unless it is the one in the data folder.
    pub(crate) admin_token: Option<Secret<String>>,
}

impl Storage {
    pub(super) fn read(settings: &mut SettingsReader<'_>) -> Self {
        Self {
            data_dir: settings.path("storage.data_dir", "./data"),
            database_url: settings.secret("storage.database_url"),
            admin_token: settings.secret("storage.admin_token"),
        }
    }
}
