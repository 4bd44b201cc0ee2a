//! The databases that the contract is run against. One more backend is one more type here and one more module in
//! `on_every_backend`.

use std::path::PathBuf;
use std::sync::Arc;

use hayloft_model::Entropy;
use hayloft_store::{MasterKey, Options, Store};
use sea_orm::ConnectionTrait;
use tempfile::TempDir;

use crate::support::{FakeClock, Random};

/// A database of its own for one test.
pub(crate) trait Backend: Sized {
    /// An empty one.
    async fn fresh() -> Self;

    /// The store that the test works with.
    fn store(&self) -> &Store;

    /// The time that the stores of this database live in.
    fn clock(&self) -> &FakeClock;

    /// One more store on the same database, as another process would have.
    async fn another(&self, entropy: Arc<dyn Entropy>) -> Store;

    /// What an attacker with the database's password would do. Gives the number of changed rows.
    async fn sql(&self, statement: &str) -> u64;
}

pub(crate) struct Sqlite {
    store: Store,
    clock: FakeClock,
    // The folder goes last.
    folder: TempDir,
}

impl Sqlite {
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("hayloft.db")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Backend for Sqlite {
    async fn fresh() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = FakeClock::new();
        let store = open(&folder, &clock, Arc::new(Random)).await;
        Self { store, clock, folder }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn clock(&self) -> &FakeClock {
        &self.clock
    }

    async fn another(&self, entropy: Arc<dyn Entropy>) -> Store {
        open(&self.folder, &self.clock, entropy).await
    }

    async fn sql(&self, statement: &str) -> u64 {
        let url = format!("sqlite:{}", self.database().display());
        let connection = sea_orm::Database::connect(url).await.unwrap();
        let result = connection.execute_unprepared(statement).await.unwrap();
        connection.close().await.unwrap();
        result.rows_affected()
    }
}

async fn open(folder: &TempDir, clock: &FakeClock, entropy: Arc<dyn Entropy>) -> Store {
    let url = format!("sqlite:{}", folder.path().join("hayloft.db").display());
    let master_key = MasterKey::load_or_create(&folder.path().join("master-key"), &Random).unwrap();
    Store::open(Options { url, master_key, clock: Arc::new(clock.clone()), entropy }).await.unwrap()
}

/// Makes a test of each case for each backend.
macro_rules! on_every_backend {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            use $crate::backend::{Backend, Sqlite};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(Sqlite::fresh().await).await;
                }
            )+
        }
    };
}

pub(crate) use on_every_backend;
