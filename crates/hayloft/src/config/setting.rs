//! The names of one setting in the sources.

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its place in the file: `server.listen`.
    pub(crate) key: &'static str,
    /// Its environment variable.
    pub(crate) variable: &'static str,
    /// Whether its value is for nobody's eyes.
    pub(crate) visibility: Visibility,
}

/// Who may see a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Anybody who may see the configuration.
    Shown,
    /// Nobody.
    Masked,
}

impl Setting {
    /// A setting that anybody may see.
    pub(crate) const fn new(key: &'static str, variable: &'static str) -> Self {
        Self { key, variable, visibility: Visibility::Shown }
    }

    /// A setting that is a secret.
    pub(crate) const fn secret(key: &'static str, variable: &'static str) -> Self {
        Self { key, variable, visibility: Visibility::Masked }
    }
}
