//! Read a file that a plugin shows to everybody: what lies in its `public` folder, such as its icon.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use hayloft_model::{Caller, PluginId};

use crate::Host;

/// The folder of a plugin whose files are public.
const PUBLIC: &str = "public";

/// The largest file that is given out, in bytes.
const LARGEST: u64 = 5 << 20;

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
        let known = self.plugins.all();
        let may_see = |owner| caller.is_some_and(|caller| caller.sees(owner));
        // An organization's own plugin comes before one for all, as everywhere.
        let mut own = known.values().filter(|plugin| plugin.id == *id && plugin.owner.is_none_or(may_see));
        let plugin = own.clone().find(|plugin| plugin.owner.is_some()).or_else(|| own.next());
        let root = plugin.and_then(|plugin| Some(plugin.package.as_ref()?.root.join(PUBLIC)));
        let (root, path) = root.zip(relative(path)).ok_or(PublicFileError::Missing)?;
        let read = tokio::task::spawn_blocking(move || read(&root, &path));
        read.await.unwrap_or(Err(PublicFileError::Missing))
    }
}

/// A path that stays below where it starts, and leads to nothing hidden.
fn relative(path: &str) -> Option<PathBuf> {
    if path.contains(['\0', '\\']) {
        return None;
    }
    let mut relative = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) if !part.to_string_lossy().starts_with('.') => relative.push(part),
            _ => return None,
        }
    }
    (!relative.as_os_str().is_empty()).then_some(relative)
}

fn read(root: &Path, path: &Path) -> Result<Bytes, PublicFileError> {
    let missing = |_| PublicFileError::Missing;
    let root = root.canonicalize().map_err(missing)?;
    let file = root.join(path).canonicalize().map_err(missing)?;
    // A symbolic link may lead anywhere; what it leads to is public only if it is in the folder itself. That it is a file
    // is asked before it is opened: opening a pipe would wait for its writer.
    if !file.starts_with(&root) || !file.metadata().map_err(missing)?.is_file() {
        return Err(PublicFileError::Missing);
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(missing)?;
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 > LARGEST { Err(PublicFileError::TooLarge) } else { Ok(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_folder() {
        for (path, expected) in [
            ("icon.svg", Some("icon.svg")),
            ("a/b.png", Some("a/b.png")),
            ("", None),
            ("../package.json", None),
            ("a/../../package.json", None),
            ("/etc/passwd", None),
            (".env", None),
            ("a/.git/config", None),
            ("a\\b", None),
            ("a\0b", None),
        ] {
            assert_eq!(relative(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
