//! Which format a folder is in, and why.

use std::path::Path;

use hayloft_model::plugin::FormatName;
use hayloft_model::{Problem, Problems};

use crate::folder::{Folder, Modules};
use crate::formats::{self, Certainty, Format, Recognized};

/// The format of a folder and what it was known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The format.
    pub format: FormatName,
    /// What it was known by: a fragment that completes "because …".
    pub because: &'static str,
}

/// Which format a folder is in. A folder in none is a problem that says what each format would need.
#[must_use]
pub fn probe(folder: &Path) -> (Option<Evidence>, Problems) {
    match Folder::open(folder, Modules::There) {
        Ok(folder) => {
            let (recognized, problems) = recognize(&folder);
            let evidence = |(format, because): (&Format, _)| Evidence {
                format: FormatName(format.name.to_owned()),
                because,
            };
            (recognized.map(evidence), problems)
        }
        Err(problem) => (None, problem.into()),
    }
}

pub(crate) fn recognize(folder: &Folder) -> (Option<(&'static Format, &'static str)>, Problems) {
    let mut recognized: Vec<(&'static Format, Recognized)> =
        formats::all().filter_map(|format| Some((format, (format.recognize)(folder)?))).collect();
    let declared = |found: &(&Format, Recognized)| found.1.certainty == Certainty::Declared;
    if recognized.iter().any(declared) {
        recognized.retain(declared);
    }
    let mut problems = Problems::new();
    match recognized.as_slice() {
        [] => {
            for format in formats::all() {
                (format.missing)(folder, &mut problems);
            }
            if problems.is_empty() {
                let forms: Vec<&str> = formats::all().map(|format| format.looks_like).collect();
                let problem = Problem::error("folder", "is in no known plugin format");
                problems.push(problem.hint(format!("a plugin has {}", forms.join(", or "))));
            }
            (None, problems)
        }
        [(format, found)] => (Some((format, found.because)), problems),
        [(first, found), others @ ..] => {
            for (other, reason) in others {
                let message = format!(
                    "is in the format `{}`, because {}, and in the format `{}`, because {}",
                    first.name, found.because, other.name, reason.because
                );
                problems.push(
                    Problem::error("folder", message)
                        .hint("keep one of them: nobody could say which of the two counts"),
                );
            }
            (Some((first, found.because)), problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_is_no_ordinary_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("package.json");
        let problems = || probe(folder.path()).1.to_string();
        // A socket stands for everything that would wait when opened.
        let socket = std::os::unix::net::UnixListener::bind(&manifest).unwrap();
        assert_eq!(problems(), "error: package.json: is not a regular file");
        drop(socket);
        std::fs::remove_file(&manifest).unwrap();
        std::fs::write(&manifest, vec![b' '; 2 * 1024 * 1024]).unwrap();
        assert_eq!(
            problems(),
            "error: package.json: is larger than 1024 KiB\n  hint: keep data in files of its own"
        );
    }
}
