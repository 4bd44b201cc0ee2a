//! The programs of the packages that a plugin's folder holds.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::folder::{Folder, relative_path};

/// Largest `package.json` that is looked into, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The folders whose packages a command in this one finds, nearest first.
fn above(place: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    place.ancestors().map(Path::to_owned)
}

/// A program in the nearest folder of packages that has one of this name.
pub(super) fn bin(folder: &Folder, place: &Path, name: &str) -> Option<PathBuf> {
    above(place)
        .map(|base| base.join("node_modules/.bin").join(name))
        .find(|path| folder.locate(&path.to_string_lossy()).is_ok())
}

/// The program of a package: the one that is asked for, its only one, or the one that is called as the package is.
pub(super) fn program_of(
    folder: &Folder,
    place: &Path,
    package: &str,
    program: Option<&str>,
) -> Option<PathBuf> {
    let (base, manifest) = above(place).find_map(|base| {
        let base = base.join("node_modules").join(package);
        let manifest = json(folder, &base.join("package.json"))?;
        Some((base, manifest))
    })?;
    let short = package.rsplit('/').next().unwrap_or(package);
    let path = match &manifest["bin"] {
        Value::String(path) if program.is_none_or(|program| program == short) => path,
        Value::Object(programs) => match (program, programs.len()) {
            (None, 1) => programs.values().next()?.as_str()?,
            (program, _) => programs.get(program.unwrap_or(short))?.as_str()?,
        },
        _ => return None,
    };
    let path = base.join(relative_path(path).ok()?);
    folder.locate(&path.to_string_lossy()).ok()
}

/// `@scope/name` of `@scope/name@1.2.3`.
pub(super) fn without_version(name: &str) -> &str {
    match name.rfind('@') {
        Some(at) if at > 0 => name.get(..at).unwrap_or(name),
        _ => name,
    }
}

/// A path below the plugin's folder without `.` and `..` in it.
pub(super) fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => plain.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// A file of the folder as JSON, if it reads as such.
pub(super) fn json(folder: &Folder, file: &Path) -> Option<Value> {
    let text = folder.read_text(&file.to_string_lossy(), LARGEST_FILE).ok()?;
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).ok()
}
