//! The jail stays small enough to be read whole.

use super::Finding;

/// The folders that are counted, each for itself.
const FOLDERS: [&str; 2] = ["crates/hayloft-stage/", "crates/hayloft-sandbox/"];

/// Lines of code that one of them may have, without tests, comments and blank lines.
const MOST: usize = 1500;

/// Compares each folder's code with what it may have. The files are paths and texts.
pub(super) fn check<'a>(files: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<Finding> {
    let code_of = |folder: &str| -> usize {
        let inside = files
            .clone()
            .filter(|(path, _)| path.starts_with(folder) && !path[folder.len()..].starts_with("tests/"));
        inside.map(|(_, text)| code_lines(text)).sum()
    };
    let too_long = FOLDERS.into_iter().filter_map(|folder| {
        let lines = code_of(folder);
        let message =
            format!("has {lines} lines of code; the jail is to be read whole, so {MOST} are the most");
        (lines >= MOST).then(|| Finding::new(folder, message))
    });
    too_long.collect()
}

/// Lines of code up to the file's own tests.
fn code_lines(text: &str) -> usize {
    let code = text.lines().map(str::trim).take_while(|line| !line.starts_with("#[cfg(test)]"));
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_counted_and_nothing_else() {
        assert_eq!(code_lines("//! x\n\nfn x() {\n    // y\n    z()\n}\n#[cfg(test)]\nmod tests {}\n"), 3);
        let long = "x\n".repeat(MOST);
        let found = |path| check([(path, &*long)].into_iter()).len();
        assert_eq!(found("crates/hayloft-stage/src/x.rs"), 1);
        assert_eq!(found("crates/hayloft-sandbox/tests/x.rs"), 0);
        assert_eq!(found("crates/hayloft-host/src/x.rs"), 0);
    }
}
