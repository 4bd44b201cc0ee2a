//! A read-only view of a plugin's folder: no path in it leads out, no file in it is read without a limit.
//!
//! Names come from manifests, which nobody vouches for: `..`, absolute paths, symbolic links that leave the folder,
//! pipes and devices are all refused here, so that the readers need not think of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use hayloft_model::Problem;

use crate::words::quoted;

/// A folder that a plugin may be in.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    modules: Modules,
}

/// Whether the modules that a manifest names must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modules {
    /// It runs as it is.
    There,
    /// What its own build makes may still be missing.
    Expected,
}

/// Why a name in a manifest does not lead to a file of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The name is empty or holds a NUL character.
    Malformed,
    /// It begins at the root of the machine, or is a URL.
    Absolute,
    /// It leads out of the folder by `..` or by a symbolic link.
    Outside,
    /// Nothing is there.
    Missing,
    /// Something else than a regular file is there.
    NotAFile,
    /// It is there and cannot be looked at.
    Unreadable,
}

impl Folder {
    /// Opens a folder.
    pub(crate) fn open(folder: &Path, modules: Modules) -> Result<Self, Problem> {
        let shown = quoted(&folder.to_string_lossy());
        let root = folder.canonicalize().map_err(|error| {
            Problem::error("folder", format!("failed to open the folder {shown}: {error}"))
                .hint("give the folder that holds the plugin's files")
        })?;
        if !root.is_dir() {
            return Err(Problem::error("folder", format!("{shown} is not a folder"))
                .hint("give the folder that holds the plugin's files"));
        }
        Ok(Self { root, modules })
    }

    /// The folder's absolute path, without symbolic links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the modules that a manifest names must be there.
    pub(crate) const fn modules(&self) -> Modules {
        self.modules
    }

    /// The relative path of a regular file in the folder, without `.` parts. Symbolic links are followed to see where
    /// they lead, and stay in the path.
    pub(crate) fn locate(&self, name: &str) -> Result<PathBuf, Unusable> {
        let relative = relative_path(name)?;
        let resolved = self.root.join(&relative).canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Unusable::Missing,
            _ => Unusable::Unreadable,
        })?;
        if !resolved.starts_with(&self.root) {
            return Err(Unusable::Outside);
        }
        // Looked at before it is opened: opening a pipe would wait for its writer for ever.
        match resolved.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(relative),
            Ok(_) => Err(Unusable::NotAFile),
            Err(_) => Err(Unusable::Unreadable),
        }
    }

    /// The bytes of a regular file in the folder, as UTF-8, if it is no larger than `largest` bytes.
    pub(crate) fn read_text(&self, name: &str, largest: u64) -> Result<String, Problem> {
        let relative = self.locate(name).map_err(|unusable| match unusable {
            Unusable::Missing => Problem::error(name, format!("there is no `{name}` in the folder")),
            Unusable::Outside | Unusable::Absolute => {
                Problem::error(name, "leads out of the plugin's folder through a symbolic link")
                    .hint("put the file itself into the folder")
            }
            Unusable::NotAFile => Problem::error(name, "is not a regular file"),
            Unusable::Malformed | Unusable::Unreadable => Problem::error(name, "cannot be read")
                .hint("check the permissions of the file and its folder"),
        })?;
        let mut bytes = Vec::new();
        File::open(self.root.join(relative))
            .and_then(|file| file.take(largest + 1).read_to_end(&mut bytes))
            .map_err(|error| Problem::error(name, format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > largest {
            let problem = Problem::error(name, format!("is larger than {} KiB", largest / 1024));
            return Err(problem.hint("keep data in files of its own"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
            Problem::error(format!("{name} (line {line})"), "is not UTF-8 text")
                .hint("save the file as UTF-8")
        })
    }
}

/// A relative path that stays below wherever it starts, without `.` parts.
pub(crate) fn relative_path(name: &str) -> Result<PathBuf, Unusable> {
    if name.trim().is_empty() || name.contains('\0') {
        return Err(Unusable::Malformed);
    }
    // A URL such as `data:` or `https:` would be an import from elsewhere; so would a Windows drive.
    let scheme = name
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if name.starts_with(['/', '\\']) || scheme {
        return Err(Unusable::Absolute);
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(Unusable::Outside),
            Component::RootDir | Component::Prefix(_) => return Err(Unusable::Absolute),
        }
    }
    if path.as_os_str().is_empty() { Err(Unusable::NotAFile) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_name_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.js"), "").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let root = inside.path();
        std::fs::create_dir(root.join("dist")).unwrap();
        std::fs::write(root.join("dist/index.js"), "").unwrap();
        symlink("dist/index.js", root.join("link.js")).unwrap();
        symlink(outside.path().join("secret.js"), root.join("out.js")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("nowhere", root.join("dangling.js")).unwrap();
        symlink("loop.js", root.join("loop.js")).unwrap();
        let folder = Folder::open(root, Modules::There).unwrap();
        let table = [
            ("dist/index.js", Ok("dist/index.js")),
            ("./dist/./index.js", Ok("dist/index.js")),
            ("link.js", Ok("link.js")),
            ("dist", Err(Unusable::NotAFile)),
            (".", Err(Unusable::NotAFile)),
            ("", Err(Unusable::Malformed)),
            ("dist/in\0dex.js", Err(Unusable::Malformed)),
            ("/etc/passwd", Err(Unusable::Absolute)),
            ("\\\\server\\x.js", Err(Unusable::Absolute)),
            ("C:\\x.js", Err(Unusable::Absolute)),
            ("data:text/javascript,1", Err(Unusable::Absolute)),
            ("https://example.com/x.js", Err(Unusable::Absolute)),
            ("../secret.js", Err(Unusable::Outside)),
            ("dist/../dist/index.js", Err(Unusable::Outside)),
            ("out.js", Err(Unusable::Outside)),
            ("out/secret.js", Err(Unusable::Outside)),
            ("dangling.js", Err(Unusable::Missing)),
            ("loop.js", Err(Unusable::Unreadable)),
            ("none.js", Err(Unusable::Missing)),
            ("dist/index.js/x", Err(Unusable::Missing)),
        ];
        for (name, expected) in table {
            assert_eq!(folder.locate(name), expected.map(PathBuf::from), "{name}");
        }
    }

    #[test]
    fn files_are_read_within_a_limit_and_as_utf8() {
        let inside = tempfile::tempdir().unwrap();
        let folder = Folder::open(inside.path(), Modules::There).unwrap();
        let message = |bytes: &[u8]| {
            std::fs::write(inside.path().join("package.json"), bytes).unwrap();
            folder.read_text("package.json", 2048).map_err(|problem| problem.to_string())
        };
        assert_eq!(message(b"{}").as_deref(), Ok("{}"));
        assert_eq!(message(&[b' '; 2048]).map(|text| text.len()), Ok(2048));
        assert!(message(&[b' '; 2049]).unwrap_err().contains("is larger than 2 KiB"));
        assert!(
            message(b"{\n\"\xff\"}").unwrap_err().starts_with("error: package.json (line 2): is not UTF-8")
        );
    }
}
