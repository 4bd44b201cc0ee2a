//! Take out what was made, as an archive that a program in the jail writes. It is no friend.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use hayloft_sandbox::Process;
use tokio_util::task::AbortOnDropHandle;

use super::{LAST_WORDS, WORK, Workshop};
use crate::Phase;
use crate::error::{Fault, InstallError};

/// What a jail gives out of itself.
pub(crate) struct Packed {
    pub(crate) stream: File,
    pub(crate) packer: Packer,
}

/// The program that packs.
pub(crate) struct Packer {
    process: Process,
    _complaints: Option<AbortOnDropHandle<()>>,
}

impl Workshop {
    /// What a folder below [`WORK`] holds now, as an archive that is read from the file.
    pub(crate) async fn packed(&self, folder: &Path) -> Result<Packed, InstallError> {
        let folder = Path::new(WORK).join(folder).display().to_string();
        let words = ["tar", "--format=posix", "--hard-dereference", "-C", &folder, "-cf", "-", "."];
        let mut process = self.spawn(Path::new("/"), &words.map(String::from), &[]).await?;
        let log = Arc::clone(&self.log);
        let complaints = process
            .take_stderr()
            .map(|stderr| AbortOnDropHandle::new(tokio::spawn(async move { log.take(stderr).await })));
        let stream = process.take_stdout().map(tokio::net::unix::pipe::Receiver::into_blocking_fd);
        let stream: OwnedFd = match stream {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                return Err(Fault::host("read from", Path::new(WORK))(error).in_phase(Phase::Install));
            }
            None => {
                return Err(InstallError::Host {
                    what: String::from("read what was made"),
                    reason: String::from("the jail gave no pipe"),
                });
            }
        };
        Ok(Packed { stream: File::from(stream), packer: Packer { process, _complaints: complaints } })
    }

    /// Waits for what reads an archive out of the jail. What the package left running can hold the stream open
    /// after the packer has ended, so when the time is over the whole jail ends.
    pub(crate) async fn read_within<T>(
        &self,
        mut reader: tokio::task::JoinHandle<T>,
    ) -> Result<T, InstallError> {
        let read = match tokio::time::timeout(self.limits.fetch, &mut reader).await {
            Ok(read) => read,
            Err(_) => {
                self.log.note("(what was made could not be read in time; all that still ran was ended)");
                self.end().await?;
                reader.await
            }
        };
        read.map_err(|error| InstallError::Host {
            what: String::from("read what was made"),
            reason: error.to_string(),
        })
    }
}

impl Packer {
    /// Whether it packed everything.
    pub(crate) async fn succeeded(&self) -> bool {
        matches!(tokio::time::timeout(LAST_WORDS, self.process.wait()).await, Ok(exit) if exit.is_success())
    }
}
