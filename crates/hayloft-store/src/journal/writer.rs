//! The thread that appends. It alone knows the open segment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::JournalError;
use crate::Store;
use crate::calls::CallRecord;

/// The ending of a segment that is being written.
pub(super) const OPEN: &str = "open";
/// The ending of a segment that will not grow any more.
pub(super) const SEALED: &str = "sealed";
/// A batch is written when it has this many bytes, even if more calls wait.
const BATCH: usize = 256 * 1024;
/// A segment is sealed when it has this many bytes, so that replaying one fits into memory.
const SEGMENT: u64 = 8 * 1024 * 1024;

/// How long calls that nobody waits for are gathered before they are written. Waking this thread and writing a line cost
/// as much as much else of a call, so under load they are paid for some dozens of calls together.
const GATHER: Duration = Duration::from_millis(5);

pub(crate) enum Command {
    Append { record: Box<CallRecord>, written: Option<oneshot::Sender<Result<(), JournalError>>> },
    Seal(oneshot::Sender<Result<(), JournalError>>),
    Stop(oneshot::Sender<Result<(), JournalError>>),
}

impl Command {
    const fn can_wait(&self) -> bool {
        matches!(self, Self::Append { written: None, .. })
    }
}

struct Writer {
    folder: PathBuf,
    /// The first half of the names of all segments of this run. It begins with the time and is never used again.
    run: String,
    /// How many segments this run has made.
    made: u64,
    /// Told when a segment gets its first line.
    started: Arc<Notify>,
    segment: Option<Segment>,
    batch: Vec<u8>,
    waiting: Vec<oneshot::Sender<Result<(), JournalError>>>,
}

struct Segment {
    file: File,
    path: PathBuf,
    length: u64,
}

pub(super) fn start(
    commands: mpsc::Receiver<Command>,
    folder: PathBuf,
    store: &Store,
    started: Arc<Notify>,
) -> io::Result<()> {
    let writer = Writer {
        folder,
        run: store.new_id().simple().to_string(),
        made: 0,
        started,
        segment: None,
        batch: Vec::with_capacity(BATCH / 16),
        waiting: Vec::new(),
    };
    thread::Builder::new().name(String::from("hayloft-journal")).spawn(move || writer.run(commands))?;
    Ok(())
}

impl Writer {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            if first.can_wait() {
                // While it is parked here, what comes queues up and wakes nobody.
                thread::park_timeout(GATHER);
            }
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Append { record, written } => self.add(&record, written),
                    // Whoever asked may have left; the work is done all the same.
                    Command::Seal(reply) => drop(reply.send(self.seal())),
                    Command::Stop(reply) => {
                        drop(reply.send(self.seal()));
                        return;
                    }
                }
                next = if self.batch.len() < BATCH { commands.try_recv().ok() } else { None };
            }
            self.write();
        }
        self.write();
    }

    fn add(&mut self, record: &CallRecord, written: Option<oneshot::Sender<Result<(), JournalError>>>) {
        let before = self.batch.len();
        match serde_json::to_writer(&mut self.batch, record) {
            Ok(()) => {
                self.batch.push(b'\n');
                self.waiting.extend(written);
            }
            Err(error) => {
                self.batch.truncate(before);
                let error = self.failed("write a call to", Arc::new(error.into()));
                answer(written, Err(error));
            }
        }
    }

    /// Writes the batch with one call of the system and tells everybody who waits for it.
    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let result = self.append();
        self.batch.clear();
        match result {
            Ok(()) => self.waiting.drain(..).for_each(|written| answer(Some(written), Ok(()))),
            Err(error) => {
                let error = Arc::new(error);
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "calls could not be written to the journal"
                );
                for written in std::mem::take(&mut self.waiting) {
                    let error = self.failed("write a call to", Arc::clone(&error));
                    answer(Some(written), Err(error));
                }
                // The file may end in half a line now. Nothing is ever written after that.
                if let Err(error) = self.finish() {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a segment of the journal could not be sealed"
                    );
                }
            }
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => {
                let name = format!("{}-{:010}", self.run, self.made);
                let segment = Segment::create(self.folder.join(name).with_extension(OPEN))?;
                self.made += 1;
                self.started.notify_one();
                none.insert(segment)
            }
        };
        segment.file.write_all(&self.batch)?;
        segment.length += self.batch.len() as u64;
        if segment.length >= SEGMENT { self.finish() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.write();
        self.finish().map_err(|error| self.failed("seal a segment in", Arc::new(error)))
    }

    /// Puts the open segment on the disk and gives it to the replayer.
    fn finish(&mut self) -> io::Result<()> {
        let Some(segment) = self.segment.take() else { return Ok(()) };
        let synced = segment.file.sync_data();
        fs::rename(&segment.path, segment.path.with_extension(SEALED))?;
        synced
    }

    fn failed(&self, doing: &'static str, source: Arc<io::Error>) -> JournalError {
        JournalError::File { doing, path: self.folder.clone(), source }
    }
}

impl Segment {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, length: 0 })
    }
}

/// Whoever waited may have left.
fn answer(written: Option<oneshot::Sender<Result<(), JournalError>>>, result: Result<(), JournalError>) {
    if let Some(written) = written {
        drop(written.send(result));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hayloft_model::OrganizationId;

    use super::*;
    use crate::calls::{CallKind, CallOutcome};

    fn record() -> CallRecord {
        CallRecord {
            organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
            plugin: "mail".parse().unwrap(),
            kind: CallKind::Tool,
            server: None,
            name: String::from("send"),
            caller: String::from("administrator"),
            at: DateTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            outcome: CallOutcome::Done,
            reason: None,
        }
    }

    /// After a write that failed in the middle of a line, the next line goes to a segment of its own.
    #[test]
    fn nothing_is_written_after_a_failed_write() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("run-0.open");
        fs::write(&path, "{\"half\":").unwrap();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut writer = Writer {
            folder: folder.path().to_owned(),
            run: String::from("run"),
            made: 1,
            started: Arc::new(Notify::new()),
            segment: Some(Segment { file: full, path: path.clone(), length: 8 }),
            batch: Vec::new(),
            waiting: Vec::new(),
        };
        let mut told = Vec::new();
        for _ in 0..2 {
            let (written, mut answer) = oneshot::channel();
            writer.add(&record(), Some(written));
            writer.write();
            told.push(answer.try_recv().unwrap());
        }
        assert!(matches!(told[0], Err(JournalError::File { .. })), "{:?}", told[0]);
        assert!(told[1].is_ok(), "{:?}", told[1]);
        let left = fs::read_to_string(path.with_extension(SEALED)).unwrap();
        assert_eq!(left, "{\"half\":");
        let next = fs::read_to_string(folder.path().join("run-0000000001.open")).unwrap();
        assert_eq!(next, format!("{}\n", serde_json::to_string(&record()).unwrap()));
    }
}
