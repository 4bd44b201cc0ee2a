//! What a running server writes into its data folder, so that commands find it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const FILE: &str = "server.json";

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Announcement {
    /// Its address for programs on this machine.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
    /// When it began to serve.
    pub(crate) started_at: DateTime<Utc>,
}

impl Announcement {
    /// What the folder says, if it says anything.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, Failure> {
        let path = data_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Failure::caused(format!("failed to read `{}`", path.display()), &error));
            }
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Failure::caused(format!("failed to read `{}`", path.display()), &error))
    }

    /// Writes it into the folder, in one step: no reader sees half of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), Failure> {
        let path = data_dir.join(FILE);
        let failed = |error: &dyn std::error::Error| {
            Failure::caused(format!("failed to write `{}`", path.display()), error)
        };
        let text = serde_json::to_vec(self).map_err(|error| failed(&error))?;
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(data_dir)
            .map_err(|error| failed(&error))?;
        io::Write::write_all(&mut file, &text).map_err(|error| failed(&error))?;
        file.persist(&path).map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Takes it away. A file that stays does no harm: nobody listens there.
    pub(crate) fn remove(data_dir: &Path) {
        if let Err(error) = fs::remove_file(data_dir.join(FILE)) {
            tracing::debug!(%error, "failed to take the announcement away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Announcement::read(folder.path()).unwrap().is_none());
        let announcement =
            Announcement { url: "http://127.0.0.1:1".into(), pid: 7, started_at: DateTime::UNIX_EPOCH };
        announcement.write(folder.path()).unwrap();
        announcement.write(folder.path()).unwrap();
        assert_eq!(Announcement::read(folder.path()).unwrap(), Some(announcement));
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Announcement::remove(folder.path());
        assert!(Announcement::read(folder.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
