//! Golden migrations: what a plugin's folder becomes, and what is told of the rest.
//!
//! `tests/golden/migrate/<case>/before/` is a plugin's folder; beside it `after/` holds the files that its migration
//! writes, and `told.txt` what could not be carried over. `UPDATE_GOLDEN=1` writes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own data must fail at once")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hayloft_manifest::{Migration, migrate, read_plugin};

fn cases() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/migrate");
    let mut cases: Vec<_> = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 3, "only {} cases", cases.len());
    cases
}

/// The texts of all files in a folder, by their paths.
fn texts(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts
                    .insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

fn write(folder: &Path, files: &BTreeMap<PathBuf, String>) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn files(migration: &Migration) -> BTreeMap<PathBuf, String> {
    migration.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect()
}

#[test]
fn folders_become_what_their_golden_files_say() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a person asks this test to write its files by an environment variable"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = Vec::new();
    for case in cases() {
        let (migration, problems) = migrate(&case.join("before"));
        let (written, told) = match &migration {
            Some(migration) => (files(migration), migration.left_behind.to_string()),
            None => (BTreeMap::new(), problems.to_string()),
        };
        if update {
            let _ = fs::remove_dir_all(case.join("after"));
            write(&case.join("after"), &written);
            fs::write(case.join("told.txt"), format!("{told}\n")).unwrap();
        }
        if texts(&case.join("after")) != written {
            failures.push(format!("{}: other files: {written:#?}", case.display()));
        }
        if fs::read_to_string(case.join("told.txt")).unwrap_or_default() != format!("{told}\n") {
            failures.push(format!("{}: something else is told:\n{told}", case.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_comes_out_is_a_plugin_of_the_same_name() {
    for case in cases() {
        let before = case.join("before");
        let (Some(migration), _) = migrate(&before) else { continue };
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &texts(&before));
        for path in &migration.obsolete {
            fs::remove_file(folder.path().join(path)).unwrap();
        }
        write(folder.path(), &files(&migration));
        // Stands for the build.
        let source = migration.files.iter().find(|file| file.path.starts_with("src")).unwrap();
        let built = Path::new("dist").join(source.path.with_extension("js").file_name().unwrap());
        assert!(!folder.path().join(&built).exists(), "{}: overwrites `{}`", case.display(), built.display());
        write(folder.path(), &BTreeMap::from([(built, String::new())]));

        let (descriptor, problems) = read_plugin(folder.path());
        assert!(!problems.has_errors(), "{}: {problems}", case.display());
        let (old, new) = (read_plugin(&before).0.unwrap(), descriptor.unwrap());
        assert_eq!((new.id, new.slug, new.version), (old.id, old.slug, old.version));
        assert_eq!((new.display_name, new.description), (old.display_name, old.description));
        assert_eq!(
            (new.category, new.channel, new.capabilities),
            (old.category, old.channel, old.capabilities)
        );
        assert!(old.env.iter().all(|name| new.env.contains(name)), "{}", case.display());
    }
}
