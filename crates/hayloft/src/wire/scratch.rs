//! The folder for workers' homes, and the name under which what belongs to a data folder is found again.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use hayloft_sandbox::{Sandbox, Tier};

use crate::failure::Failure;

/// The name under which processes of this data folder are marked, so that a later run finds what this one left.
pub(crate) fn marker(data_dir: &Path) -> String {
    let hash = digest(&SHA256, data_dir.as_os_str().as_encoded_bytes());
    hex::encode(&hash.as_ref()[..8])
}

/// The folder for workers' homes.
pub(super) fn folder(data_dir: &Path, sandbox: &Sandbox) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    // Workers that are other users and have no root of their own must find the way to their homes, and the data
    // folder is closed to them.
    let open = sandbox.gives_ids() && sandbox.isolation().tier == Tier::C;
    let path = match open {
        true => open_scratch(data_dir),
        false => data_dir.join("scratch"),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(if open { 0o711 } else { 0o700 })
        .create(&path)
        .map_err(|error| Failure::caused(format!("failed to make `{}`", path.display()), &error))?;
    Ok(path)
}

/// Where the homes are that other users must find the way to. It lies outside of the data folder.
fn open_scratch(data_dir: &Path) -> PathBuf {
    Path::new("/run").join(format!("hayloft-{}", marker(data_dir)))
}

/// Removes what a host leaves outside of its data folder, once all its workers have ended.
pub(crate) fn leave(data_dir: &Path) {
    let path = open_scratch(data_dir);
    match std::fs::remove_dir(&path) {
        Ok(()) => {}
        // As a rule it was never made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, path = %path.display(), "failed to remove a folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_its_own_marker() {
        let [one, two] = ["/data/one", "/data/two"].map(|path| marker(Path::new(path)));
        assert_ne!(one, two);
        assert_eq!(one, marker(Path::new("/data/one")));
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
