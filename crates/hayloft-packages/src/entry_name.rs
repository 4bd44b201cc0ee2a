//! Names of entries in archives and folders that strangers made: relative paths that mean the same everywhere, or
//! nothing.

use std::path::PathBuf;

/// Longest part of a path that every file system takes, in bytes.
const LONGEST_PART: usize = 255;

/// Longest path, in bytes: what comes before it on the host must fit too.
const LONGEST: usize = 1024;

/// Most folders within each other.
const DEEPEST: usize = 64;

/// The path of an entry, without `.` parts; empty for the folder itself. `Err` says what is wrong with it.
pub(crate) fn entry_path(name: &[u8]) -> Result<PathBuf, &'static str> {
    let Ok(name) = std::str::from_utf8(name) else { return Err("its name is not UTF-8") };
    if name.chars().any(char::is_control) {
        return Err("its name holds control characters");
    }
    if name.contains('\\') {
        return Err("its name holds a `\\`, which separates folders on some systems");
    }
    if name.starts_with('/') {
        return Err("its name is an absolute path");
    }
    let drive =
        name.as_bytes().get(..2).is_some_and(|start| start[0].is_ascii_alphabetic() && start[1] == b':');
    if drive {
        return Err("its name begins with a drive");
    }
    if name.len() > LONGEST {
        return Err("its name is too long");
    }
    let mut path = PathBuf::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("its name leads out of the folder by `..`"),
            long if long.len() > LONGEST_PART => return Err("a part of its name is too long"),
            part if part.ends_with(['.', ' ']) => {
                return Err("a part of its name ends with a dot or a space, which some systems drop");
            }
            part => path.push(part),
        }
    }
    if path.components().count() > DEEPEST {
        return Err("it is nested too deep");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_and_mean_one_thing() {
        for (name, path) in [
            ("package.json", "package.json"),
            ("./dist/./index.js", "dist/index.js"),
            ("dist//x/", "dist/x"),
            (".", ""),
            ("", ""),
            ("node_modules/@scope/x/.bin", "node_modules/@scope/x/.bin"),
            ("...x", "...x"),
        ] {
            assert_eq!(entry_path(name.as_bytes()), Ok(path.into()), "{name}");
        }
        let long = "x".repeat(256);
        let deep = "x/".repeat(65);
        for name in [
            "..",
            "../x",
            "x/../y",
            "x/..",
            "./..//x",
            "/etc/passwd",
            "//x",
            "C:x",
            "c:/x",
            "x\\y",
            "..\\x",
            "x\0y",
            "x\ny",
            "x\u{1b}[2J",
            "x.",
            "x /y",
            "x/y ",
            &long,
            &deep,
        ] {
            assert!(entry_path(name.as_bytes()).is_err(), "{name:?}");
        }
        // Overlong forms of `/` and `.` are no UTF-8.
        assert!(entry_path(b"\xc0\xae\xc0\xae/x").is_err());
        assert!(entry_path(b"..\xc0\xafx").is_err());
    }
}
