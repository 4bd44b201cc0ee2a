//! Read a file of a plugin's user interface: what its build made for the dashboard.

use std::ffi::OsStr;
use std::path::Path;

use bytes::Bytes;
use hayloft_model::plugin::Page;
use hayloft_model::{Caller, PluginId};

use super::file::{self, LARGEST, Withheld};
use super::known::KnownPlugin;
use crate::Host;

/// Where a build puts what it makes.
const BUILT: &str = "dist";

/// What of it is the interface: a module and its styles. The code of the worker lies beside them.
const FILES: [&str; 4] = ["ui.js", "ui.mjs", "ui.css", "style.css"];

/// Folders of what those two load.
const FOLDERS: [&str; 2] = ["ui", "assets"];

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum UiFileError {
    /// No plugin that the caller may know of has such a file.
    #[error("there is no such file")]
    Missing,
    /// It is for people who are signed in, and nobody is.
    #[error("the user interface of this plugin is for people who are signed in")]
    SignInRequired,
    /// It is larger than files may be that are given out.
    #[error("the file has more than {LARGEST} bytes")]
    TooLarge,
}

impl From<Withheld> for UiFileError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::Missing => Self::Missing,
            Withheld::TooLarge => Self::TooLarge,
        }
    }
}

impl Host {
    /// The content of a file of the interface, as the version that runs has it. It is for callers who may know of the
    /// plugin; for everybody, if the plugin is everybody's and has a page that needs no session: all its pages are made
    /// of the same files.
    ///
    /// # Errors
    /// See [`UiFileError`].
    pub async fn ui_file(
        &self,
        caller: Option<&Caller>,
        id: &PluginId,
        path: &str,
    ) -> Result<Bytes, UiFileError> {
        let plugin = self.plugin_shown_to(caller, id).ok_or(UiFileError::Missing)?;
        let package = plugin.package.as_ref().ok_or(UiFileError::Missing)?;
        if caller.is_none() && !has_open_page(&plugin) {
            return Err(UiFileError::SignInRequired);
        }
        let path =
            file::relative(path).filter(|path| is_of_the_interface(path)).ok_or(UiFileError::Missing)?;
        // Before a plugin was ever made ready its folder may have the files: an author's own build.
        let root = self.packages.place(package).unwrap_or_else(|| package.root.clone());
        Ok(file::read(root.join(BUILT), path).await?)
    }
}

fn has_open_page(plugin: &KnownPlugin) -> bool {
    let is_open = |page: &Page| page.requires_session == Some(false);
    match plugin.registered() {
        Some(registered) => registered.registration.pages.iter().any(is_open),
        None => plugin.descriptor().is_some_and(|descriptor| descriptor.declared.pages.iter().any(is_open)),
    }
}

fn is_of_the_interface(path: &Path) -> bool {
    let mut names = path.iter();
    let is_one_of =
        |names: &[&str], name: Option<&OsStr>| names.iter().any(|known| name == Some(OsStr::new(known)));
    match (names.next(), names.next()) {
        (file, None) => is_one_of(&FILES, file),
        (folder, Some(_)) => is_one_of(&FOLDERS, folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_the_worker_is_no_part_of_the_interface() {
        for (path, expected) in [
            ("ui.js", true),
            ("style.css", true),
            ("assets/logo-1a2b.svg", true),
            ("ui/chunks/a.js", true),
            ("index.js", false),
            ("assets", false),
            ("ui.js/x", false),
            ("server/ui.js", false),
        ] {
            assert_eq!(is_of_the_interface(Path::new(path)), expected, "{path}");
        }
    }
}
