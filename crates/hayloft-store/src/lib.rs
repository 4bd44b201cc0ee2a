//! What we remember: the only SQL, and the only place where secrets lie at rest.
//!
//! [`Store`] is a handle to one database; it is cheap to clone. What it can do is grouped by noun: `store.tokens()`,
//! `store.instances()`, … A write that was acknowledged is on the disk and survives any end of the process. What
//! belongs together is one transaction: saving a configuration writes the revision, the instance, the outbox and the
//! audit trail, or nothing.
//!
//! Every operation names an organization. The exceptions are the registry of plugins, which is the same for all; the
//! lookup of a token, which is how an organization is found; what is read once at the start to fill caches (`all…`);
//! and what the host does for everybody alike (the outbox's queue, stopping what ran before a restart, forgetting old
//! calls and values whose time is over).
//!
//! This crate must not know what a plugin means, HTTP, or workers. It stores descriptors and tool lists, and looks
//! into neither.
//!
//! # Adding a table
//! 1. A migration at the end of `migrations/` and of the list in `migrations.rs`. Only column types of
//!    `migrations/columns.rs`, so that every backend has them; `organization_id` with its foreign key unless the row
//!    is about no organization.
//! 2. Its entity in `entity/`.
//! 3. One file named after the noun with a handle (`pub struct Things<'a> { store: &'a Store }`), its records and its
//!    closed error enum; one line in `impl Store` below. Reads go to `database.reader`; writes begin with
//!    [`Store::begin`](crate::Store) and end with one commit. Lock a row before deciding by it (`lock_exclusive`).
//! 4. Its contract in `tests/store/contract/`, which every backend runs.
//! 5. A secret goes through `vault` under a place of its own, never into a column as it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hayloft_model::{Clock, Entropy};
use tokio::sync::watch;

pub mod audit;
pub mod calls;
pub mod capability_uses;
mod column;
pub mod configurations;
mod data_keys;
mod database;
#[expect(unreachable_pub, reason = "the derive makes an entity public, so its model has to be, too")]
mod entity;
mod folder;
pub mod instance_registrations;
pub mod instances;
pub mod journal;
mod migrations;
mod open;
pub mod organizations;
pub mod outbox;
pub mod packages;
pub mod permissions;
pub mod plugin_values;
pub mod pool_limits;
pub mod priorities;
pub mod registrations;
pub mod remote_servers;
pub mod removed_organizations;
pub mod result_caching;
pub mod tokens;
pub mod tool_names;
pub mod tools;
pub mod trials;
pub mod uploaded_versions;
mod vault;
pub mod wishes;
mod write;

pub use column::UnknownOrganization;
pub use database::DatabaseError;
pub use folder::{DataDir, DataDirError};
pub use vault::DoesNotOpen;
pub use vault::master_key::{MasterKey, MasterKeyError};
pub use write::WriteError;

use audit::AuditTrail;
use calls::Calls;
use capability_uses::CapabilityUses;
use configurations::Configurations;
use database::Database;
use instance_registrations::InstanceRegistrations;
use instances::Instances;
use organizations::Organizations;
use outbox::Outbox;
use packages::Packages;
use permissions::GrantedPermissions;
use plugin_values::PluginValues;
use pool_limits::PoolLimits;
use priorities::Priorities;
use registrations::Registrations;
use remote_servers::RemoteServers;
use removed_organizations::RemovedOrganizations;
use result_caching::ResultCaching;
use tokens::Tokens;
use tool_names::ToolNames;
use tools::Tools;
use trials::Trials;
use uploaded_versions::UploadedVersions;
use vault::Vault;
use wishes::Wishes;

/// What opening a store needs.
pub struct Options {
    /// Which database: `sqlite:` and the path of its file.
    pub url: String,
    /// What opens the vault.
    pub master_key: MasterKey,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives ids, tokens and keys.
    pub entropy: Arc<dyn Entropy>,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such kind of database, or not a lasting one.
    #[error("failed to use a database with an address of the form `{scheme}:…`")]
    UnsupportedAddress {
        /// The part before the colon.
        scheme: String,
    },
    /// The database's file cannot be made or closed to others.
    #[error("failed to prepare the database file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database was sealed with another master key.
    #[error(
        "failed to open the vault: the master key is `{given}`, but the database was sealed with `{sealed_with}`"
    )]
    WrongMasterKey {
        /// The fingerprint of the key that was given.
        given: String,
        /// The fingerprint of the key that sealed the database.
        sealed_with: String,
    },
    /// The record that tells whether a master key is the right one was changed.
    #[error("failed to open the vault: its check record is missing or was changed")]
    VaultCheck,
    /// A newer version of this program changed the database.
    #[error("failed to open the database: a newer version of Hayloft changed it (migration `{migration}`)")]
    Newer {
        /// The first change that this version does not know.
        migration: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl StoreError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnsupportedAddress { .. } => Some("write it as `sqlite:` and the path of a file"),
            Self::WrongMasterKey { .. } => {
                Some("put back the master key that belongs to this database; nothing was changed")
            }
            Self::VaultCheck => Some("restore the database from a backup"),
            Self::Newer { .. } => Some("run the newer version, or restore a backup from before the upgrade"),
            Self::File { .. } | Self::Database(_) => None,
        }
    }
}

/// The memory of one installation.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

struct Inner {
    database: Database,
    vault: Vault,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Changes whenever the outbox got something.
    appended: watch::Sender<u64>,
}

impl Store {
    /// Opens the database, making it if it is missing, and brings its schema up to date. With a wrong master key
    /// nothing is changed and nothing is made anew.
    ///
    /// # Errors
    /// When the database, its file or the master key is not usable.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let database = Database::open(&options.url).await?;
        let vault = Vault::new(options.master_key);
        let store = Self {
            inner: Arc::new(Inner {
                database,
                vault,
                clock: options.clock,
                entropy: options.entropy,
                appended: watch::Sender::new(0),
            }),
        };
        store.refuse_newer_schema().await?;
        store.refuse_wrong_key().await?;
        store.migrate().await?;
        store.check_key().await?;
        Ok(store)
    }

    /// Waits for what is being written and closes the database. Further use fails.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close(&self) -> Result<(), DatabaseError> {
        self.inner.database.close().await.map_err(DatabaseError::doing("close the database"))
    }

    /// Tenants.
    #[must_use]
    pub const fn organizations(&self) -> Organizations<'_> {
        Organizations { store: self }
    }

    /// Bearer tokens.
    #[must_use]
    pub const fn tokens(&self) -> Tokens<'_> {
        Tokens { store: self }
    }

    /// Plugin folders that were read.
    #[must_use]
    pub const fn packages(&self) -> Packages<'_> {
        Packages { store: self }
    }

    /// What plugins' code registered.
    #[must_use]
    pub const fn registrations(&self) -> Registrations<'_> {
        Registrations { store: self }
    }

    /// What plugins' code registered for single organizations.
    #[must_use]
    pub const fn instance_registrations(&self) -> InstanceRegistrations<'_> {
        InstanceRegistrations { store: self }
    }

    /// What was wished for plugins that are still being made ready.
    #[must_use]
    pub const fn wishes(&self) -> Wishes<'_> {
        Wishes { store: self }
    }

    /// What organizations let plugins do.
    #[must_use]
    pub const fn permissions(&self) -> GrantedPermissions<'_> {
        GrantedPermissions { store: self }
    }

    /// The versions of plugins that organizations uploaded.
    #[must_use]
    pub const fn uploaded_versions(&self) -> UploadedVersions<'_> {
        UploadedVersions { store: self }
    }

    /// Values that plugins keep.
    #[must_use]
    pub const fn plugin_values(&self) -> PluginValues<'_> {
        PluginValues { store: self }
    }

    /// MCP servers elsewhere that plugins handed over.
    #[must_use]
    pub const fn remote_servers(&self) -> RemoteServers<'_> {
        RemoteServers { store: self }
    }

    /// Plugins in organizations.
    #[must_use]
    pub const fn instances(&self) -> Instances<'_> {
        Instances { store: self }
    }

    /// Settings and credentials of instances.
    #[must_use]
    pub const fn configurations(&self) -> Configurations<'_> {
        Configurations { store: self }
    }

    /// What MCP servers listed last.
    #[must_use]
    pub const fn tools(&self) -> Tools<'_> {
        Tools { store: self }
    }

    /// Public names of tools.
    #[must_use]
    pub const fn tool_names(&self) -> ToolNames<'_> {
        ToolNames { store: self }
    }

    /// Organizations that are removed.
    #[must_use]
    pub const fn removed_organizations(&self) -> RemovedOrganizations<'_> {
        RemovedOrganizations { store: self }
    }

    /// Whether organizations keep results of tools.
    #[must_use]
    pub const fn result_caching(&self) -> ResultCaching<'_> {
        ResultCaching { store: self }
    }

    /// How many workers plugins may have.
    #[must_use]
    pub const fn pool_limits(&self) -> PoolLimits<'_> {
        PoolLimits { store: self }
    }

    /// Which plugins start first.
    #[must_use]
    pub const fn priorities(&self) -> Priorities<'_> {
        Priorities { store: self }
    }

    /// Versions of plugins that have still to come up.
    #[must_use]
    pub const fn trials(&self) -> Trials<'_> {
        Trials { store: self }
    }

    /// Facts on their way out.
    #[must_use]
    pub const fn outbox(&self) -> Outbox<'_> {
        Outbox { store: self }
    }

    /// Who did what.
    #[must_use]
    pub const fn audit(&self) -> AuditTrail<'_> {
        AuditTrail { store: self }
    }

    /// What plugins used and is in no line of the audit trail yet.
    #[must_use]
    pub const fn capability_uses(&self) -> CapabilityUses<'_> {
        CapabilityUses { store: self }
    }

    /// Single calls and their sums, as far as the journal was replayed.
    #[must_use]
    pub const fn calls(&self) -> Calls<'_> {
        Calls { store: self }
    }

    fn database(&self) -> &Database {
        &self.inner.database
    }

    fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    fn entropy(&self) -> &dyn Entropy {
        &*self.inner.entropy
    }

    /// Now, as precise as a column.
    fn now(&self) -> DateTime<Utc> {
        column::stored_time(self.inner.clock.now())
    }

    fn new_id(&self) -> uuid::Uuid {
        hayloft_model::entropy::sortable_id(&*self.inner.clock, self.entropy())
    }
}
