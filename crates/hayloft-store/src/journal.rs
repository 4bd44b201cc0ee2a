//! Calls on their way into the database, taken down fast and kept through a sudden end.
//!
//! A call costs no transaction: its line is appended to a file, one `write` for all calls that came together, and a
//! little later the file is replayed into the tables of [`calls`](crate::calls). Each file (a *segment*) is written by
//! one run of the host and replayed whole; how far it was replayed is committed with the rows, so replaying it again
//! changes nothing. A last line that was torn off is left out.
//!
//! **What survives.** After [`Journal::append`] returned, the call survives any end of the process, `kill -9`
//! included. It is on the disk, and so survives a loss of power, when its segment is sealed, which is at the latest
//! [`JournalOptions::replay_every`] after the segment's first line; so that time is the window that a power failure
//! can take.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::calls::CallRecord;
use crate::{DatabaseError, Store};

mod replay;
mod writer;

use replay::Replayer;
use writer::Command;

/// What the journal needs.
pub struct JournalOptions {
    /// Where its segments lie; made if missing. It belongs to this process alone.
    pub folder: PathBuf,
    /// Where calls go in the end.
    pub store: Store,
    /// How long a segment grows before it is replayed.
    pub replay_every: Duration,
    /// How many calls may wait to be written before [`Journal::append`] makes its callers wait.
    pub capacity: usize,
}

/// Takes calls down. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    commands: mpsc::Sender<Command>,
    requests: mpsc::Sender<Request>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

/// What a replay took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Calls that are in the database now and were not before.
    pub calls: u64,
    /// Lines that were no calls: torn off by a sudden end, or damaged.
    pub damaged: u64,
}

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its folder or a segment cannot be used.
    #[error("failed to {doing} `{}`", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said. Shared, since it is told to everybody whose call was in the batch.
        #[source]
        source: Arc<io::Error>,
    },
    /// Its thread cannot be started.
    #[error("failed to start the thread of the journal")]
    Thread(#[source] io::Error),
    /// More calls wait than it has room for.
    #[error("failed to take the call down: too many are waiting")]
    Full,
    /// It was closed.
    #[error("failed to take the call down: the journal is closed")]
    Closed,
    /// The database failed. The segment stays, so nothing is lost.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

pub(crate) enum Request {
    Replay(oneshot::Sender<Result<Replayed, JournalError>>),
    Close(oneshot::Sender<Result<Replayed, JournalError>>),
}

impl Journal {
    /// Replays what an earlier run left behind, then starts taking down. To be called on a tokio runtime.
    ///
    /// # Errors
    /// When the folder is not usable or the database fails.
    pub async fn open(options: JournalOptions) -> Result<(Self, Replayed), JournalError> {
        let JournalOptions { folder, store, replay_every, capacity } = options;
        if !folder.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|source| {
                JournalError::File {
                    doing: "make the journal's folder",
                    path: folder.clone(),
                    source: Arc::new(source),
                }
            })?;
        }
        let replayed = replay::replay_left_behind(&store, &folder).await?;
        let (commands, received) = mpsc::channel(capacity.max(1));
        let (requests, requested) = mpsc::channel(16);
        let started = Arc::new(Notify::new());
        writer::start(received, folder.clone(), &store, Arc::clone(&started))
            .map_err(JournalError::Thread)?;
        let replayer = Replayer { store, folder, commands: commands.clone(), started, replay_every };
        tokio::spawn(replayer.run(requested));
        Ok((Self { commands, requests }, replayed))
    }

    /// Takes a call down and returns when the line is written. Calls that come together share one write.
    ///
    /// # Errors
    /// When the line was not written.
    pub async fn append(&self, record: CallRecord) -> Result<(), JournalError> {
        let (written, answer) = oneshot::channel();
        let command = Command::Append { record: Box::new(record), written: Some(written) };
        self.commands.send(command).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// Takes a call down without waiting. The line is written some milliseconds later, together with those of the calls
    /// that came meanwhile; a sudden end of the process before that takes it along.
    ///
    /// # Errors
    /// When there is no room or the journal is closed; the call is not taken down then.
    pub fn record(&self, record: CallRecord) -> Result<(), JournalError> {
        let command = Command::Append { record: Box::new(record), written: None };
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JournalError::Full,
            mpsc::error::TrySendError::Closed(_) => JournalError::Closed,
        })
    }

    /// Brings everything that was taken down so far into the database.
    ///
    /// # Errors
    /// When the journal or the database fails.
    pub async fn replay(&self) -> Result<Replayed, JournalError> {
        self.ask(Request::Replay).await
    }

    /// Brings everything into the database and stops. Later calls are refused.
    ///
    /// # Errors
    /// When the journal or the database fails. What is not in the database then is replayed at the next start.
    pub async fn close(&self) -> Result<Replayed, JournalError> {
        self.ask(Request::Close).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<Replayed, JournalError>>) -> Request,
    ) -> Result<Replayed, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }
}
