//! Settings and credentials of instances, by revision. They lie sealed; a revision number is never used twice, not
//! even after a purge, so that an old record has no row in which it would open.

use chrono::{DateTime, Utc};
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{Caller, InstanceKey, OrganizationId, Revision};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use serde_json::json;

use crate::audit::NewAuditEntry;
use crate::column::{Place as Column, milliseconds};
use crate::data_keys::DataKeyError;
use crate::entity::configurations;
use crate::instances::{self, Instance, InstanceChange, InstanceError};
use crate::vault::{self, DoesNotOpen, Key, Place};
use crate::write::{Act, Write};
use crate::{DatabaseError, Store, UnknownOrganization, WriteError};

mod purge;

pub use purge::PurgeError;

/// What an organization gave a plugin, as of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Counted from 1 for each instance.
    pub revision: Revision,
    /// The settings.
    pub values: ConfigValues,
    /// The chosen method of authentication and what it needs.
    pub credentials: Option<Credentials>,
    /// Who saved it, as a `Caller` prints itself.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What is to be saved as the next revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewConfiguration {
    /// All settings, already merged with those that stay.
    pub values: ConfigValues,
    /// The credentials, already merged.
    pub credentials: Option<Credentials>,
    /// What else becomes different in the same transaction: switched on, the next state, ….
    pub instance: InstanceChange,
}

/// What a save is decided by: the truth at that moment, which nobody else changes until the save is done.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// The instance. One that never was before is disabled and has no revision.
    pub instance: &'a Instance,
    /// What was saved last.
    pub configuration: Option<&'a Configuration>,
}

/// What a save led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The instance afterwards.
    pub instance: Instance,
    /// What was saved.
    pub configuration: Configuration,
}

/// Why a configuration was not read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// Its record does not open. The audit trail has a line about it.
    #[error("failed to open revision {revision} of the configuration of `{}`", key.plugin)]
    Sealed {
        /// Which instance.
        key: InstanceKey,
        /// Which revision.
        revision: Revision,
        /// That it does not open.
        #[source]
        source: DoesNotOpen,
    },
    /// The organization's data key does not open. The audit trail has a line about it.
    #[error("failed to open the data key of the organization")]
    DataKey {
        /// Whose key.
        organization: OrganizationId,
        /// That it does not open.
        #[source]
        source: DoesNotOpen,
    },
    /// There is no such organization.
    #[error(transparent)]
    UnknownOrganization(#[from] UnknownOrganization),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a configuration was not saved. `R` is the caller's own reason.
#[derive(Debug, thiserror::Error)]
pub enum SaveError<R> {
    /// The caller decided so.
    #[error("the change was refused")]
    Refused(R),
    /// The last revision, which the change builds on, is not readable.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The change of the instance that came along is not possible.
    #[error(transparent)]
    Instance(#[from] InstanceError),
}

impl<R> From<DatabaseError> for SaveError<R> {
    fn from(error: DatabaseError) -> Self {
        Self::Configuration(ConfigurationError::Database(error))
    }
}

impl<R> From<WriteError> for SaveError<R> {
    fn from(error: WriteError) -> Self {
        Self::Configuration(error.into())
    }
}

impl From<DataKeyError> for ConfigurationError {
    fn from(error: DataKeyError) -> Self {
        match error {
            DataKeyError::Sealed { organization, source } => Self::DataKey { organization, source },
            DataKeyError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            DataKeyError::Database(error) => Self::Database(error),
        }
    }
}

impl<R> From<DataKeyError> for SaveError<R> {
    fn from(error: DataKeyError) -> Self {
        Self::Configuration(error.into())
    }
}

impl From<WriteError> for ConfigurationError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownOrganization(unknown) => Self::UnknownOrganization(unknown),
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Somebody else saved in the meantime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration was changed in the meantime")]
pub struct Stale {
    /// The revision that is the last one now.
    pub latest: Option<Revision>,
}

/// Operations on configurations.
#[derive(Clone, Copy)]
pub struct Configurations<'a> {
    pub(crate) store: &'a Store,
}

impl Configurations<'_> {
    /// Saves the next revision: revision, instance, outbox and audit trail in one transaction. `decide` sees what is
    /// stored at that moment and gives what is to be stored, or a reason to store nothing; two saves at once get two
    /// revisions, the later one built on the earlier. It must be quick: all other writes wait for it.
    ///
    /// # Errors
    /// When `decide` refuses, the organization does not exist, or the database or the vault fails.
    pub async fn save<R: Send>(
        self,
        key: &InstanceKey,
        author: &Caller,
        decide: impl FnOnce(Current<'_>) -> Result<NewConfiguration, R> + Send,
    ) -> Result<Saved, SaveError<R>> {
        match self.try_save(key, author, decide).await {
            // The transaction is over by now; the line about it needs one of its own.
            Err(SaveError::Configuration(error)) => {
                self.audit(key, &error).await;
                Err(SaveError::Configuration(error))
            }
            result => result,
        }
    }

    async fn try_save<R: Send>(
        self,
        key: &InstanceKey,
        author: &Caller,
        decide: impl FnOnce(Current<'_>) -> Result<NewConfiguration, R> + Send,
    ) -> Result<Saved, SaveError<R>> {
        let store = self.store;
        let mut write = store.begin("save the configuration").await?;
        instances::ensure(&write, store, key).await?;
        let Some(mut row) = instances::lock(&write, key).await? else {
            return Err(InstanceError::NotFound(key.clone()).into());
        };
        let instance = Instance::try_from(row.clone())?;
        let data_key = store.data_key(&write.transaction, key.organization).await?;
        let latest = match instance.desired_revision {
            Some(revision) => self.read(&write.transaction, key, revision, &data_key).await?,
            None => None,
        };
        let new = decide(Current { instance: &instance, configuration: latest.as_ref() })
            .map_err(SaveError::Refused)?;

        row.last_revision += 1;
        row.desired_revision = Some(row.last_revision);
        row.updated_at = milliseconds(store.now());
        let configuration = Configuration {
            revision: Column("instances", "last_revision").revision(row.last_revision)?,
            values: new.values,
            credentials: new.credentials,
            author: author.to_string(),
            created_at: store.now(),
        };
        self.insert(&write, key, &configuration, &data_key).await?;
        instances::store_row(&write, row.clone()).await?;
        let row = instances::apply(&mut write, store, row, key, new.instance, Some(author)).await?;
        tell_saved(&mut write, key, &configuration, author).await?;
        write.commit().await?;
        Ok(Saved { instance: row.try_into()?, configuration })
    }

    /// Saves the next revision if the last one is still the one that the caller has seen.
    ///
    /// # Errors
    /// As [`Self::save`], and when somebody else saved in the meantime.
    pub async fn save_based_on(
        self,
        key: &InstanceKey,
        based_on: Option<Revision>,
        new: NewConfiguration,
        author: &Caller,
    ) -> Result<Saved, SaveError<Stale>> {
        self.save(key, author, |current| {
            let latest = current.instance.desired_revision;
            if latest == based_on { Ok(new) } else { Err(Stale { latest }) }
        })
        .await
    }

    /// One revision, if it is still kept.
    ///
    /// # Errors
    /// When it does not open or the database fails.
    pub async fn load(
        self,
        key: &InstanceKey,
        revision: Revision,
    ) -> Result<Option<Configuration>, ConfigurationError> {
        let result = self.try_load(key, revision).await;
        if let Err(error) = &result {
            self.audit(key, error).await;
        }
        result
    }

    async fn try_load(
        self,
        key: &InstanceKey,
        revision: Revision,
    ) -> Result<Option<Configuration>, ConfigurationError> {
        let reader = &self.store.database().reader;
        let data_key = self.store.data_key(reader, key.organization).await?;
        self.read(reader, key, revision, &data_key).await
    }

    /// What was saved last.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn latest(self, key: &InstanceKey) -> Result<Option<Configuration>, ConfigurationError> {
        match self.store.instances().get(key).await?.and_then(|instance| instance.desired_revision) {
            Some(revision) => self.load(key, revision).await,
            None => Ok(None),
        }
    }

    async fn insert(
        self,
        write: &Write<'_>,
        key: &InstanceKey,
        configuration: &Configuration,
        data_key: &Key,
    ) -> Result<(), ConfigurationError> {
        let revision = configuration.revision;
        let sealed = |field, plain: Result<zeroize::Zeroizing<Vec<u8>>, DoesNotOpen>| {
            plain
                .and_then(|plain| {
                    vault::seal(data_key, place(key, revision, field), &plain, self.store.entropy())
                })
                .map_err(|source| ConfigurationError::Sealed { key: key.clone(), revision, source })
        };
        let row = configurations::ActiveModel {
            organization_id: Set(key.organization.to_string()),
            plugin_id: Set(key.plugin.to_string()),
            revision: Set(i64::from(revision.0)),
            config_values: Set(sealed(VALUES, vault::write_values(&configuration.values))?),
            credentials: Set(sealed(
                CREDENTIALS,
                vault::write_credentials(configuration.credentials.as_ref()),
            )?),
            author: Set(configuration.author.clone()),
            created_at: Set(milliseconds(configuration.created_at)),
        };
        configurations::Entity::insert(row)
            .exec_without_returning(&write.transaction)
            .await
            .map_err(write.failed_for(key.organization))?;
        Ok(())
    }

    async fn read(
        self,
        connection: &impl ConnectionTrait,
        key: &InstanceKey,
        revision: Revision,
        data_key: &Key,
    ) -> Result<Option<Configuration>, ConfigurationError> {
        let id = (key.organization.to_string(), key.plugin.to_string(), i64::from(revision.0));
        let row = configurations::Entity::find_by_id(id)
            .one(connection)
            .await
            .map_err(DatabaseError::doing("read the configuration"))?;
        let Some(row) = row else { return Ok(None) };
        let opened = vault::open(data_key, place(key, revision, VALUES), &row.config_values)
            .and_then(|plain| vault::read_values(&plain))
            .and_then(|values| {
                vault::open(data_key, place(key, revision, CREDENTIALS), &row.credentials)
                    .and_then(|plain| vault::read_credentials(&plain))
                    .map(|credentials| (values, credentials))
            });
        match opened {
            Ok((values, credentials)) => Ok(Some(Configuration {
                revision,
                values,
                credentials,
                author: row.author,
                created_at: Column("configurations", "created_at").time(row.created_at)?,
            })),
            Err(source) => Err(ConfigurationError::Sealed { key: key.clone(), revision, source }),
        }
    }

    /// A record that does not open was tampered with, or the disk is failing: both are to be known.
    async fn audit(self, key: &InstanceKey, error: &ConfigurationError) {
        let revision = match error {
            ConfigurationError::Sealed { revision, .. } => Some(*revision),
            ConfigurationError::DataKey { .. } => None,
            ConfigurationError::UnknownOrganization(_) | ConfigurationError::Database(_) => return,
        };
        let entry = NewAuditEntry {
            actor: String::from("host"),
            action: String::from("vault.refused"),
            subject: Some(key.plugin.to_string()),
            detail: json!({ "revision": revision }),
        };
        if let Err(error) = self.store.audit().append(key.organization, entry).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(organization = %key.organization, plugin = %key.plugin, error, "a record that does not open could not be audited");
        }
    }
}

const VALUES: &str = "config_values";
const CREDENTIALS: &str = "credentials";

fn place<'a>(key: &'a InstanceKey, revision: Revision, field: &'static str) -> Place<'a> {
    Place {
        table: "configurations",
        organization: Some(key.organization),
        plugin: key.plugin.as_str(),
        field,
        revision: revision.0,
    }
}

async fn tell_saved(
    write: &mut Write<'_>,
    key: &InstanceKey,
    configuration: &Configuration,
    author: &Caller,
) -> Result<(), WriteError> {
    let told = json!({ "pluginId": key.plugin, "revision": configuration.revision });
    write.tell(key.organization, "configuration.saved", &told).await?;
    // Names only: every value may be a secret.
    let detail = json!({
        "revision": configuration.revision,
        "fields": configuration.values.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "authMethod": configuration.credentials.as_ref().map(|credentials| &credentials.method_id),
    });
    write
        .record(Act {
            organization: key.organization,
            author: Some(author),
            action: "configuration.saved",
            subject: key.plugin.to_string(),
            detail,
        })
        .await
}
