//! Read a file that a plugin shows to everybody: what lies in its `public` folder, such as its icon.

use bytes::Bytes;
use hayloft_model::{Caller, PluginId};

use super::file::{self, LARGEST, Withheld};
use crate::Host;

/// The folder of a plugin whose files are public.
const PUBLIC: &str = "public";

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum PublicFileError {
    /// No plugin that the caller may know of has such a file.
    #[error("there is no such file")]
    Missing,
    /// It is larger than files may be that are given out.
    #[error("the file has more than {LARGEST} bytes")]
    TooLarge,
}

impl From<Withheld> for PublicFileError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::Missing => Self::Missing,
            Withheld::TooLarge => Self::TooLarge,
        }
    }
}

impl Host {
    /// The content of a public file. Those of a plugin that only one organization has are for callers of that
    /// organization; to others the plugin is not there.
    ///
    /// # Errors
    /// See [`PublicFileError`].
    pub async fn public_file(
        &self,
        caller: Option<&Caller>,
        id: &PluginId,
        path: &str,
    ) -> Result<Bytes, PublicFileError> {
        let plugin = self.plugin_shown_to(caller, id);
        let folder = plugin.and_then(|plugin| Some(plugin.package.as_ref()?.root.join(PUBLIC)));
        let (folder, path) = folder.zip(file::relative(path)).ok_or(PublicFileError::Missing)?;
        Ok(file::read(folder, path).await?)
    }
}
