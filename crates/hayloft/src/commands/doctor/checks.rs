//! What a server needs on this machine beside the jail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Serialize;

use crate::config::Config;

/// The oldest Node that workers run on.
const OLDEST_NODE: u32 = 20;

/// Something that a server needs on this machine.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), fix: None }
    }

    pub(super) fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

pub(super) fn node(path: &Path, version: Result<String, String>) -> Check {
    let fix = || format!("install Node {OLDEST_NODE} or newer, or name it with `--node`");
    match version {
        Err(error) => Check::bad("node", format!("{}: {error}", path.display()), fix()),
        Ok(version) => {
            let major =
                version.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
            let found = format!("{} {version}", path.display());
            match major {
                Some(major) if major >= OLDEST_NODE => Check::good("node", found),
                Some(_) | None => Check::bad("node", found, fix()),
            }
        }
    }
}

pub(super) fn data_dir(path: &Path) -> Check {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            Check::bad("data folder", format!("{shown}: not a folder"), "name another one with `--data-dir`")
        }
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 == 0 {
                Check::good("data folder", format!("{shown} (mode {mode:03o})"))
            } else {
                let found = format!("{shown}: its mode is {mode:03o}, so others may look into it");
                Check::bad("data folder", found, format!("run `chmod 700 {shown}`"))
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check::good("data folder", format!("{shown}: will be made"))
        }
        Err(error) => {
            Check::bad("data folder", format!("{shown}: {error}"), "name another one with `--data-dir`")
        }
    }
}

pub(super) fn plugin_dirs(config: &Config) -> Vec<Check> {
    config
        .plugins
        .dirs
        .iter()
        .map(|path| {
            if path.is_dir() {
                let found = hayloft_manifest::discover(path);
                let usable = found.iter().filter(|plugin| plugin.result.0.is_some()).count();
                Check::good("plugins", format!("{}: {usable} of {} can be used", path.display(), found.len()))
            } else {
                let found = format!("{}: not a folder", path.display());
                Check::bad("plugins", found, "name a folder with plugins with `--plugins-dir`")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_silent_nodes_are_not_good_enough() {
        for (version, ok) in
            [("v24.1.0", true), ("v20.0.0", true), ("v18.19.0", false), ("", false), ("24", false)]
        {
            assert_eq!(node(Path::new("/node"), Ok(version.to_owned())).ok, ok, "{version}");
        }
        assert!(!node(Path::new("/node"), Err("no".to_owned())).ok);
    }

    #[test]
    fn an_open_data_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!data_dir(folder.path()).ok);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(data_dir(folder.path()).ok);
        assert!(data_dir(&folder.path().join("later")).ok);
    }
}
