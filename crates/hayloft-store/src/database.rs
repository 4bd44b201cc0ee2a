//! The way to the database: one connection that writes, some that read, and what can go wrong there.
//!
//! SQLite lets one write at a time. All writes of this process queue for one connection, so none of them ever finds
//! the database locked by a sister; `BEGIN IMMEDIATE` takes the lock before the first read, so what a transaction
//! read is still true when it writes. Readers see the last commit and wait for nobody (write-ahead log). A commit
//! returns when it is on the disk (`synchronous = FULL`).

use std::error::Error;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqlErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use crate::StoreError;

/// How long a write waits for its turn before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Readers at once. Hot reads are cached above this crate, so a few are enough.
const READERS: u32 = 4;
/// What a reader keeps of the file in memory, in SQLite's words (negative: KiB). The system keeps the file as well, and
/// SQLite's own 2 MiB for each would be the most that a host at rest takes.
const READER_CACHE: &str = "-512";
/// What the write-ahead log is cut back to once it was larger, in bytes.
const LOG_SIZE: &str = "33554432";

/// The database failed, or holds what this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It refused, is full, or is gone.
    #[error("failed to {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What it said. It never holds a value of a row.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A stored value is none that this version writes.
    #[error("failed to read the column `{column}` of the table `{table}`")]
    Unreadable {
        /// Where it stands.
        table: &'static str,
        /// Where it stands.
        column: &'static str,
        /// Why it is not readable.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DatabaseError {
    /// Gives whatever the database says the context of what was being done.
    pub(crate) fn doing(doing: &'static str) -> impl Fn(DbErr) -> Self + Copy {
        move |error| Self::Failed { doing, source: Box::new(error) }
    }
}

/// Whether the database refused a row because what it belongs to does not exist.
pub(crate) fn refused_owner(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}

/// Open connections to one database.
pub(crate) struct Database {
    /// One connection that writes. It is not to be asked for while a transaction of the same task holds it.
    pub(crate) writer: DatabaseConnection,
    /// Connections that only read.
    pub(crate) reader: DatabaseConnection,
}

impl Database {
    /// Opens the file, making it if it is missing, readable for its owner alone.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        let path = sqlite_path(url)?;
        prepare_file(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let failed = |error: sea_orm::sqlx::Error| {
            StoreError::Database(DatabaseError::Failed {
                doing: "open the database",
                source: Box::new(error),
            })
        };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(
                options.clone().journal_mode(SqliteJournalMode::Wal).pragma("journal_size_limit", LOG_SIZE),
            )
            .await
            .map_err(failed)?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options.pragma("query_only", "ON").pragma("cache_size", READER_CACHE));
        Ok(Self { writer: writer.into(), reader: reader.into() })
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer.begin_with_options(options).await
    }

    /// Ends all connections after what they are doing.
    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        self.reader.close_by_ref().await?;
        self.writer.close_by_ref().await
    }
}

/// The file that an address means. Only the scheme of a refused address is repeated: the rest may hold a password.
fn sqlite_path(url: &str) -> Result<PathBuf, StoreError> {
    let unsupported = || StoreError::UnsupportedAddress {
        scheme: url.split_once(':').map_or("", |(scheme, _)| scheme).to_owned(),
    };
    let rest = url.strip_prefix("sqlite:").ok_or_else(unsupported)?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    // A database in memory belongs to one connection; there are several here.
    if path.is_empty() || path == ":memory:" { Err(unsupported()) } else { Ok(PathBuf::from(path)) }
}

/// SQLite gives its side files the mode of the main file, so setting that one is enough for new ones.
fn prepare_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.exists()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = Path::new(&name);
        match fs::metadata(path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                tracing::warn!(path = %path.display(), "a file of the database could be read by others; it no longer can");
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_file_or_refused_without_repeating_it() {
        for (url, path) in [
            ("sqlite:hayloft.db", "hayloft.db"),
            ("sqlite:/var/lib/hayloft.db", "/var/lib/hayloft.db"),
            ("sqlite:///var/lib/hayloft.db?mode=rwc", "/var/lib/hayloft.db"),
            ("sqlite://data/hayloft.db", "data/hayloft.db"),
        ] {
            assert_eq!(sqlite_path(url).unwrap(), Path::new(path), "{url}");
        }
        for url in ["postgres://u:canary@h/db", "sqlite:", "sqlite::memory:", "hayloft.db", ""] {
            let message = sqlite_path(url).unwrap_err().to_string();
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
