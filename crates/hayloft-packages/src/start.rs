//! What makes a version start faster, beside it: which module is loaded, and what Node compiled of it.
//!
//! Whether the bundle stands for the files is known only when both were asked what they register, and what Node compiles
//! depends on Node and its flags. So both are made when the version lies where it runs, sealed like it, and made anew
//! for another Node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hayloft_model::plugin::FastStart;
use serde::{Deserialize, Serialize};

/// Beside the compiled code.
const FACTS: &str = "start.json";

/// The folder that Node is given.
const COMPILED: &str = "compiled";

/// Longest name of a folder or a file that Node gives, in bytes.
const LONGEST_NAME: usize = 128;

/// What was found out about the start of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStart {
    /// Which Node with which flags it was found out with.
    pub made_for: String,
    /// The module to load in the place of the entry, if it behaves as the entry does.
    pub bundle: Option<PathBuf>,
    /// What Node compiled, unless it keeps nothing.
    pub compiled: Option<CompiledCode>,
}

/// What Node keeps of code that it compiled. Its names are a worker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledCode {
    /// The folder that Node made, named after itself and its flags.
    pub folder: String,
    /// The files in it.
    pub files: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    made_for: String,
    bundle: Option<PathBuf>,
}

impl NewStart {
    /// Writes it to a new folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)?;
        let facts = Facts { made_for: self.made_for.clone(), bundle: self.bundle.clone() };
        fs::write(folder.join(FACTS), serde_json::to_vec(&facts)?)?;
        let Some(compiled) = &self.compiled else { return Ok(()) };
        let below = folder.join(COMPILED).join(named(&compiled.folder)?);
        fs::create_dir_all(&below)?;
        for (name, bytes) in &compiled.files {
            fs::write(below.join(named(name)?), bytes)?;
        }
        Ok(())
    }
}

/// What is kept in a folder, if it was made for this Node.
pub(crate) fn read(folder: &Path, made_for: Option<&str>) -> Option<FastStart> {
    let facts: Facts = serde_json::from_slice(&fs::read(folder.join(FACTS)).ok()?).ok()?;
    if made_for.is_some_and(|made_for| made_for != facts.made_for) {
        return None;
    }
    let compiled = folder.join(COMPILED);
    Some(FastStart { bundle: facts.bundle, compiled: compiled.is_dir().then_some(compiled) })
}

/// A name that is one name.
fn named(name: &str) -> io::Result<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('.')
        && name.bytes().all(is_plain);
    if is_name {
        return Ok(name);
    }
    let shown: String = name.chars().flat_map(char::escape_debug).take(80).collect();
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{shown}` is no name that Node gives")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(folder: &str, file: &str) -> NewStart {
        NewStart {
            made_for: String::from("node 24"),
            bundle: Some(PathBuf::from("x.cjs")),
            compiled: Some(CompiledCode {
                folder: folder.to_owned(),
                files: vec![(file.to_owned(), b"code".to_vec())],
            }),
        }
    }

    #[test]
    fn what_is_kept_is_found_for_the_node_that_it_was_made_for() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("start");
        start("v24.1.0-x64-0-1000", "12ab34").write(&folder).unwrap();
        let compiled = folder.join("compiled");
        assert_eq!(fs::read(compiled.join("v24.1.0-x64-0-1000/12ab34")).unwrap(), b"code");
        let expected = FastStart { bundle: Some(PathBuf::from("x.cjs")), compiled: Some(compiled) };
        assert_eq!(read(&folder, Some("node 24")), Some(expected.clone()));
        assert_eq!(read(&folder, None), Some(expected));
        assert_eq!(read(&folder, Some("node 25")), None);

        let without = scratch.path().join("without");
        NewStart { compiled: None, bundle: None, ..start("x", "y") }.write(&without).unwrap();
        assert_eq!(read(&without, Some("node 24")), Some(FastStart::default()));
    }

    #[test]
    fn names_of_workers_lead_nowhere_else() {
        for name in ["..", "../x", "/etc/x", "a/b", "", ".x", "a\0", "ä"] {
            let scratch = tempfile::tempdir().unwrap();
            assert!(start(name, "x").write(&scratch.path().join("a")).is_err(), "{name}");
            assert!(start("x", name).write(&scratch.path().join("b")).is_err(), "{name}");
        }
    }
}
