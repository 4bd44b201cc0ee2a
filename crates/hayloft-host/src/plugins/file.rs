//! Files of a plugin's folder that are given to others: who sees whose, and how one is read.
//!
//! Must not know which files those are; its callers say in which folder they lie.

use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hayloft_model::{Caller, PluginId};

use super::known::KnownPlugin;
use crate::Host;

/// The largest file that is given out, in bytes.
pub(super) const LARGEST: u64 = 5 << 20;

/// Why a file is not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    Missing,
    TooLarge,
}

impl Host {
    /// The plugin that a name means to somebody, who need not be anybody. One that a single organization has is there for
    /// callers of that organization alone, and comes before one for all, as everywhere.
    pub(super) fn plugin_shown_to(
        &self,
        caller: Option<&Caller>,
        name: &PluginId,
    ) -> Option<Arc<KnownPlugin>> {
        let known = self.plugins.all();
        let may_see = |owner| caller.is_some_and(|caller| caller.sees(owner));
        let seen = || known.values().filter(|plugin| plugin.owner.is_none_or(may_see));
        let of_name = |is_meant: &dyn Fn(&KnownPlugin) -> bool| {
            let mut meant = seen().filter(|plugin| is_meant(plugin));
            meant.clone().find(|plugin| plugin.owner.is_some()).or_else(|| meant.next()).cloned()
        };
        of_name(&|plugin| plugin.id == *name).or_else(|| of_name(&|plugin| plugin.answers_to(name)))
    }
}

/// A path that stays below where it starts, and leads to nothing hidden.
pub(super) fn relative(path: &str) -> Option<PathBuf> {
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

/// Reads a file below a folder.
pub(super) async fn read(folder: PathBuf, path: PathBuf) -> Result<Bytes, Withheld> {
    let read = tokio::task::spawn_blocking(move || read_below(&folder, &path));
    read.await.unwrap_or(Err(Withheld::Missing))
}

fn read_below(folder: &Path, path: &Path) -> Result<Bytes, Withheld> {
    let missing = |_: io::Error| Withheld::Missing;
    let folder = folder.canonicalize().map_err(missing)?;
    let file = folder.join(path).canonicalize().map_err(missing)?;
    // A symbolic link may lead anywhere; what it leads to is given out only if it is in the folder itself, and no name on
    // the way is hidden. That it is a file is asked before it is opened: opening a pipe would wait for its writer.
    let inside = file.strip_prefix(&folder).ok().and_then(Path::to_str).and_then(relative);
    if inside.is_none() || !file.metadata().map_err(missing)?.is_file() {
        return Err(Withheld::Missing);
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(missing)?;
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 > LARGEST { Err(Withheld::TooLarge) } else { Ok(bytes.into()) }
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

    #[test]
    fn links_lead_to_nothing_that_is_not_given_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("public");
        std::fs::create_dir_all(folder.join("a/.hidden")).unwrap();
        for (file, text) in [("secret", "no"), ("public/a/yes", "yes"), ("public/a/.hidden/x", "no")] {
            std::fs::write(root.path().join(file), text).unwrap();
        }
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.join(at)).unwrap();
        link("a/yes", "inside");
        link("../secret", "outside");
        link("a/.hidden/x", "hidden");
        link("..", "up");
        let read = |path: &str| read_below(&folder, Path::new(path));
        assert_eq!(read("inside"), Ok(Bytes::from_static(b"yes")));
        for path in ["outside", "hidden", "up/secret", "a", "none"] {
            assert_eq!(read(path), Err(Withheld::Missing), "{path}");
        }
    }
}
