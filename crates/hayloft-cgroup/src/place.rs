//! Where the host's own group is, and how the host makes room beside itself.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::folders::{make_folder, remove_folder, write};
use crate::{CONTROLLERS, DELEGATE, Missing};

/// The leaf that the host itself lives in, in the unified layout.
pub(crate) const HOST: &str = "hayloft-host";

/// What the host needs for its workers' groups.
pub(crate) const ENABLE: &str = "+memory +pids +cpu";

/// The folder of the group that this process is in: of `controller` in the split layout, of all if it is empty.
pub(crate) fn own_folder(root: &Path, memberships: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|item| item == controller);
    let path = memberships.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        has(controllers).then_some(Path::new(path))
    })?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(unescape);
        let (top, mounted_at) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let of_this = match kind.next()? {
            "cgroup2" => controller.is_empty(),
            "cgroup" => !controller.is_empty() && has(kind.nth(1)?),
            _ => false,
        };
        // A path with `..` leads out of what this process may see of the hierarchy.
        let below = path.strip_prefix(&top).ok()?;
        let inside = !below.components().any(|part| part == Component::ParentDir);
        (of_this && inside).then(|| root.join(mounted_at.trim_start_matches('/')).join(below))
    })
}

/// The kernel writes blanks, tabs, line ends and backslashes of paths as `\ooo`.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

/// Moves this process into the leaf and enables the controllers beside it. Returns the group above the leaf.
pub(crate) fn enter_leaf(own: &Path) -> Result<PathBuf, Missing> {
    let base = own.parent().filter(|_| own.ends_with(HOST)).unwrap_or(own);
    let (leaf, offered) = (base.join(HOST), base.join("cgroup.controllers"));
    let offered = fs::read_to_string(&offered).map_err(|error| Missing::because(&offered, &error))?;
    let offered: Vec<_> = offered.split_whitespace().collect();
    let absent: Vec<_> = CONTROLLERS.into_iter().filter(|name| !offered.contains(name)).collect();
    if !absent.is_empty() {
        let what = format!("the group `{}` lacks `{}`", base.display(), absent.join("`, `"));
        return Err(Missing { what, fix: DELEGATE });
    }
    make_folder(&leaf)
        .and_then(|()| write(&leaf.join("cgroup.procs"), "0"))
        .and_then(|()| write(&base.join("cgroup.subtree_control"), ENABLE))
        .map_err(|error| {
            // A refused trial leaves this process where it was.
            let _ = write(&own.join("cgroup.procs"), "0").and_then(|()| remove_folder(&leaf));
            Missing::because(base, &error)
        })?;
    Ok(base.to_owned())
}

#[cfg(test)]
mod tests;
