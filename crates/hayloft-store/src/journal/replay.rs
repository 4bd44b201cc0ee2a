//! The task that brings sealed segments into the database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::writer::{Command, OPEN, SEALED};
use super::{JournalError, Replayed, Request};
use crate::Store;
use crate::calls::CallRecord;

/// Lines of one transaction.
const CHUNK: usize = 512;

pub(super) struct Replayer {
    pub(super) store: Store,
    pub(super) folder: PathBuf,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) started: Arc<Notify>,
    pub(super) replay_every: Duration,
}

impl Replayer {
    /// Runs until the journal is closed or nobody holds it any more. What is left then waits for the next start.
    pub(super) async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Replay(reply)) => drop(reply.send(self.replay(Command::Seal).await)),
                    Some(Request::Close(reply)) => {
                        drop(reply.send(self.replay(Command::Stop).await));
                        return;
                    }
                    None => return,
                },
                () = self.started.notified(), if due.is_none() => due = Some(Instant::now() + self.replay_every),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    if let Err(error) = self.replay(Command::Seal).await {
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(error, "the journal could not be replayed; it will be tried again");
                        due = Some(Instant::now() + self.replay_every);
                    }
                }
            }
        }
    }

    async fn replay(
        &self,
        seal: fn(oneshot::Sender<Result<(), JournalError>>) -> Command,
    ) -> Result<Replayed, JournalError> {
        let (reply, sealed) = oneshot::channel();
        self.commands.send(seal(reply)).await.map_err(|_| JournalError::Closed)?;
        let sealed = sealed.await.map_err(|_| JournalError::Closed)?;
        // A segment that could not be sealed does not keep the others waiting.
        let replayed = replay_all(&self.store, &self.folder, &[SEALED]).await?;
        sealed.map(|()| replayed)
    }
}

/// Segments that an earlier run had open are as complete as they will ever be.
pub(super) async fn replay_left_behind(store: &Store, folder: &Path) -> Result<Replayed, JournalError> {
    replay_all(store, folder, &[SEALED, OPEN]).await
}

async fn replay_all(store: &Store, folder: &Path, endings: &[&str]) -> Result<Replayed, JournalError> {
    let failed = |source: io::Error| JournalError::File {
        doing: "read the journal's folder",
        path: folder.to_owned(),
        source: Arc::new(source),
    };
    let mut segments = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await.map_err(failed)?;
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let path = entry.path();
        if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
        {
            segments.push(path);
        }
    }
    // Names begin with the time of their run and their number in it: this is the order in which they were written.
    segments.sort();
    let mut replayed = Replayed::default();
    for path in segments {
        let segment = replay_segment(store, &path).await?;
        replayed.calls += segment.calls;
        replayed.damaged += segment.damaged;
        tokio::fs::remove_file(&path).await.map_err(|source| JournalError::File {
            doing: "remove the replayed segment",
            path: path.clone(),
            source: Arc::new(source),
        })?;
    }
    Ok(replayed)
}

async fn replay_segment(store: &Store, path: &Path) -> Result<Replayed, JournalError> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let text = tokio::fs::read(path).await.map_err(|source| JournalError::File {
        doing: "read the segment",
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last line end is nothing, or a line that was torn off.
    let torn = lines.pop().is_some_and(|rest| !rest.is_empty());
    let mut replayed = Replayed { calls: 0, damaged: u64::from(torn) };
    let mut done = store.calls().replayed_lines(name).await?;
    let new_lines = lines.get(usize::try_from(done).unwrap_or(usize::MAX)..).unwrap_or_default();
    for chunk in new_lines.chunks(CHUNK) {
        let records: Vec<CallRecord> =
            chunk.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        replayed.calls += records.len() as u64;
        replayed.damaged += (chunk.len() - records.len()) as u64;
        done += chunk.len() as u64;
        store.calls().take_over(name, records, done).await?;
    }
    if replayed.damaged > 0 {
        tracing::warn!(
            segment = name,
            lines = replayed.damaged,
            "lines of the journal were no calls and were left out"
        );
    }
    Ok(replayed)
}
