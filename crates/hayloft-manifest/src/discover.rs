//! The plugins below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use hayloft_model::{PluginDescriptor, Problem, Problems};

use crate::folder::{Folder, Modules};
use crate::probe;
use crate::words::quoted;

/// How far below the folder plugins are looked for: `custom/<organization>/<plugin>` is the deepest usual place.
const DEEPEST: usize = 3;

/// A folder that looks like a plugin, and what reading it gave.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// Absolute path of the folder, without symbolic links.
    pub root: PathBuf,
    /// The path at which it was found, which may be a link.
    pub place: PathBuf,
    /// The descriptor, unless a problem is an error; and all problems.
    pub result: (Option<PluginDescriptor>, Problems),
}

/// The plugins in a folder: the folder itself if it is one, else its sub-folders down to three levels, in the order of
/// their paths. Hidden folders and `node_modules` are left out, and so are folders in no plugin format. A folder that
/// cannot be read is there with its problem.
#[must_use]
pub fn discover(folder: &Path) -> Vec<Discovered> {
    let mut found = Vec::new();
    visit(folder, 0, &mut found);
    found
}

fn visit(path: &Path, depth: usize, found: &mut Vec<Discovered>) {
    let folder = match Folder::open(path, Modules::Expected) {
        Ok(folder) => folder,
        Err(problem) => return found.push(unreadable(path, problem)),
    };
    if probe::recognize(&folder).0.is_some() {
        let root = folder.root().to_owned();
        // A link may lead to a plugin that stands here under its own name too.
        if !found.iter().any(|earlier| earlier.root == root) {
            let place = path.to_owned();
            found.push(Discovered { result: crate::read_source(&root), root, place });
        }
        return;
    }
    if depth == DEEPEST {
        return;
    }
    match sub_folders(path) {
        Ok(folders) => folders.iter().for_each(|folder| visit(folder, depth + 1, found)),
        Err(error) => {
            let shown = quoted(&path.to_string_lossy());
            let problem = Problem::error("folder", format!("failed to read the folder {shown}: {error}"));
            found.push(unreadable(path, problem.hint("check its permissions")));
        }
    }
}

fn sub_folders(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let passed_over = name == "node_modules" || name.as_encoded_bytes().starts_with(b".");
        // A link to a folder counts: operators link plugins into place.
        if !passed_over && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn unreadable(path: &Path, problem: Problem) -> Discovered {
    Discovered { root: path.to_owned(), place: path.to_owned(), result: (None, problem.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn plugin(folder: &Path, name: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("index.js"), "").unwrap();
        let manifest =
            format!(r#"{{"name":"{name}","version":"1.0.0","main":"index.js","hay-plugin":{{}}}}"#);
        fs::write(folder.join("package.json"), manifest).unwrap();
    }

    #[test]
    fn plugins_are_found_where_people_put_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        plugin(&root.join("core/stripe"), "stripe");
        plugin(&root.join("core/stripe/vendor/inner"), "inner");
        plugin(&root.join("custom/org_1/mine"), "mine");
        plugin(&root.join("a/b/c/too-deep"), "too-deep");
        plugin(&root.join("node_modules/dependency"), "dependency");
        plugin(&root.join(".hidden"), "hidden");
        plugin(&root.join("other"), "other");
        fs::write(root.join("other/package.json"), r#"{ "hay-plugin": { "#).unwrap();
        fs::create_dir(root.join("library")).unwrap();
        fs::write(root.join("library/package.json"), r#"{ "name": "library" }"#).unwrap();
        symlink(root.join("core/stripe"), root.join("linked")).unwrap();
        symlink("..", root.join("core/loop")).unwrap();

        let found = discover(&root);
        let names: Vec<_> = found
            .iter()
            .map(|discovered| {
                let name = discovered.root.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                (name, discovered.result.0.is_some())
            })
            .collect();
        let expected = [("core/stripe", true), ("custom/org_1/mine", true), ("other", false)];
        let mut sorted = names;
        sorted.sort();
        assert_eq!(sorted, expected.map(|(name, good)| (name.to_owned(), good)));

        let itself = discover(&root.join("core/stripe"));
        assert_eq!(itself.len(), 1);
        assert_eq!(itself[0].root, root.join("core/stripe"));
    }

    #[test]
    fn a_missing_folder_is_a_problem() {
        let found = discover(Path::new("/nonexistent/plugins"));
        assert_eq!(found.len(), 1);
        assert!(found[0].result.1.has_errors());
    }
}
