//! Take in a plugin that an organization brings along.
//!
//! What is checked is what is put in its place. The package belongs to the organization: the same id elsewhere is
//! another package, and an id that everybody's plugin has cannot be taken. A version is one content for ever, and goes
//! back only when somebody says so.

use std::cmp::Ordering;
use std::path::PathBuf;

use hayloft_manifest::compare_versions;
use hayloft_model::plugin::{FastStart, Package};
use hayloft_model::{Caller, ContentHash, InstanceKey, OrganizationId, PluginId, Problem, Problems, Scope};
use hayloft_packages::Unpacked;
use hayloft_packages::archive::ArchiveError;
use hayloft_store::uploaded_versions::Upload;
use tempfile::NamedTempFile;

use super::disk::OverQuota;
use super::view::PluginDetail;
use crate::access::Denied;
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// How many plugins of its own an organization can have. Each takes room on the host's disk.
const MOST_PLUGINS: usize = 100;

/// What somebody uploads.
#[derive(Debug)]
pub struct UploadPlugin {
    /// The archive, received in full. It is removed afterwards.
    pub archive: NamedTempFile,
    /// Whether an older version may take the place of a newer one.
    pub downgrade: Downgrade,
}

/// What becomes of a version that is older than the one that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downgrade {
    /// It is refused.
    #[default]
    Refused,
    /// It is taken, and the audit trail says so.
    Wanted,
}

/// What came of an upload.
#[derive(Clone, Debug)]
pub struct UploadedPlugin {
    /// The version that was uploaded. An enabled plugin goes on with the one before until this one is ready.
    pub version: String,
    /// Which code it is.
    pub content_hash: ContentHash,
    /// The version that was there before.
    pub before: Option<String>,
    /// Whether it was there already.
    pub unchanged: bool,
    /// What is odd about the archive or the plugin.
    pub problems: Problems,
    /// The plugin as it is now.
    pub detail: PluginDetail,
}

/// Why an upload was not taken. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum UploadPluginError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The archive or the plugin in it cannot be used.
    #[error("the archive holds no plugin that can be used")]
    Invalid(Problems),
    /// A plugin of everybody's, or one that the operator put there, has this name.
    #[error("the id `{0}` is that of a plugin which is no organization's to replace")]
    IdTaken(PluginId),
    /// The operator granted something to a plugin of this id, and the organization has none of it yet.
    #[error("the operator's configuration speaks of a plugin with the id `{0}`")]
    IdReserved(PluginId),
    /// The version was uploaded before with another content.
    #[error("version {version} of `{plugin}` has another content")]
    VersionTaken {
        /// The plugin.
        plugin: PluginId,
        /// The version.
        version: String,
    },
    /// The version is older than the one that is there.
    #[error("version {version} of `{plugin}` is older than {current}, which is there")]
    Downgrade {
        /// The plugin.
        plugin: PluginId,
        /// The version.
        version: String,
        /// The one that is there.
        current: String,
    },
    /// The organization has as many plugins as it can have.
    #[error("the organization has {0} plugins of its own, and no more are possible")]
    TooMany(usize),
    /// The organization has as much on the disk as it may have.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// We broke.
    #[error("failed to {what}")]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ArchiveError> for UploadPluginError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Refused(problems) => Self::Invalid(problems),
            ArchiveError::Host { what, source } => Self::Host { what, source },
        }
    }
}

/// An archive whose plugin can be used.
struct Checked {
    unpacked: Unpacked,
    package: Package,
    /// What it takes on the disk.
    bytes: u64,
    problems: Problems,
}

impl Host {
    /// Whether the caller may upload plugins for an organization. Asked before anything is received.
    ///
    /// # Errors
    /// When not.
    pub fn may_upload(&self, caller: &Caller, organization: OrganizationId) -> Result<(), Denied> {
        self.authorize(caller, organization, Scope::PluginsWrite)
    }

    /// A new file for an archive that arrives.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn receive_upload(&self) -> std::io::Result<NamedTempFile> {
        self.uploads.receive()
    }

    /// Takes a plugin in. Where it is enabled already, the newer version takes over once it is ready.
    ///
    /// # Errors
    /// See [`UploadPluginError`].
    pub async fn upload_plugin(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        upload: UploadPlugin,
    ) -> Result<UploadedPlugin, UploadPluginError> {
        self.may_upload(caller, organization)?;
        let UploadPlugin { archive, downgrade } = upload;
        let host = self.clone();
        let checked = tokio::task::spawn_blocking(move || host.check_upload(archive)).await;
        let checked = checked.map_err(|error| internal("read the archive", error))??;
        let (host, caller) = (self.clone(), caller.clone());
        uninterrupted(async move { host.take_in(&caller, organization, checked, downgrade).await }).await
    }

    /// Unpacks an archive and reads the plugin in it, with all that is wrong with it.
    fn check_upload(&self, archive: NamedTempFile) -> Result<Checked, UploadPluginError> {
        let unpacked = self.uploads.unpack(archive.path())?;
        let (descriptor, mut problems) = hayloft_manifest::read_source(unpacked.root());
        problems.extend(unpacked.problems.clone());
        if let Some(descriptor) = &descriptor {
            problems.extend(self.plugins.limit_problems(descriptor));
        }
        let measured = self.plugins.measure(unpacked.root());
        let measured =
            measured.map_err(|error| problems.push(Problem::error("package", error.to_string()))).ok();
        let (Some(descriptor), Some(measured), false) = (descriptor, measured, problems.has_errors()) else {
            return Err(UploadPluginError::Invalid(problems));
        };
        let root: PathBuf = unpacked.root().to_owned();
        Ok(Checked {
            package: Package { root, content_hash: measured.hash, descriptor, start: FastStart::default() },
            bytes: measured.bytes,
            unpacked,
            problems,
        })
    }

    async fn take_in(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        checked: Checked,
        downgrade: Downgrade,
    ) -> Result<UploadedPlugin, UploadPluginError> {
        let Checked { unpacked, package, bytes, problems } = checked;
        let Package { content_hash, descriptor, .. } = package;
        let key = InstanceKey { organization, plugin: descriptor.id.clone() };
        let version = descriptor.version;
        let _placing = self.placing.take(&key).await;
        self.may_have_id(&key)?;
        let current = self.current(&key).await?;
        let unchanged =
            current.as_ref().is_some_and(|current| *current == (version.clone(), Some(content_hash)));
        if !unchanged {
            self.may_follow(&key, &version, content_hash, current.as_ref(), downgrade).await?;
            let _filling = self.filling.take(&organization).await;
            self.room_for(organization, bytes, self.uploaded_bytes(&key)).await??;
            let before = current.as_ref().map(|(version, _)| version.as_str());
            let is_back = before.filter(|before| is_older(&version, before));
            let kind = match is_back {
                Some(before) => Upload::Back { before },
                None => Upload::Forward { before },
            };
            let versions = self.store.uploaded_versions();
            let noted = versions.record(&key, &version, content_hash, kind, caller).await;
            noted.map_err(StoreError::from)?;
            let (uploads, plugin) = (self.uploads.clone(), key.plugin.clone());
            let placed =
                tokio::task::spawn_blocking(move || uploads.place(unpacked, organization, &plugin)).await;
            placed
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(|error| internal("put the plugin in its place", error))?;
        }
        // What was there already is tried again, if it could not be used.
        self.try_uploaded(&key).await;
        let plugin = self.plugins.get(organization, &key.plugin);
        let plugin = plugin.ok_or_else(|| {
            let missing = std::io::Error::other("it is not found where it was put");
            internal("read the plugin that was uploaded", missing)
        })?;
        let instance = self.instances.get(&key);
        Ok(UploadedPlugin {
            detail: self.plugin_detail(organization, &plugin, instance.as_deref()).await?,
            before: current.map(|(version, _)| version),
            version,
            content_hash,
            unchanged,
            problems,
        })
    }

    /// Whether an organization can have a plugin of its own under this id.
    fn may_have_id(&self, key: &InstanceKey) -> Result<(), UploadPluginError> {
        let plugins = self.plugins.all();
        let own = plugins.get(&(key.plugin.clone(), Some(key.organization)));
        // What leads to everybody's plugin, whether it is its id or another name of it, leads there for good.
        let is_everybodys = plugins.values().any(|plugin| {
            plugin.owner.is_none() && (plugin.id == key.plugin || plugin.answers_to(&key.plugin))
        });
        let is_elsewhere = own
            .and_then(|own| own.package.as_ref())
            .is_some_and(|package| !package.root.starts_with(self.uploads.folder()));
        if is_everybodys || is_elsewhere {
            return Err(UploadPluginError::IdTaken(key.plugin.clone()));
        }
        if own.is_none() {
            // What the operator granted by id was meant for somebody in particular.
            if self.reserved_ids.contains(&key.plugin) {
                return Err(UploadPluginError::IdReserved(key.plugin.clone()));
            }
            let have = plugins.values().filter(|plugin| plugin.owner == Some(key.organization)).count();
            if have >= MOST_PLUGINS {
                return Err(UploadPluginError::TooMany(MOST_PLUGINS));
            }
        }
        Ok(())
    }

    /// The version that is in the organization's folder, and its content if it can be used.
    async fn current(
        &self,
        key: &InstanceKey,
    ) -> Result<Option<(String, Option<ContentHash>)>, UploadPluginError> {
        let place = self.uploads.place_of(key.organization, &key.plugin);
        let host = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            place.exists().then(|| {
                let version = hayloft_manifest::read_source(&place).0.map(|descriptor| descriptor.version);
                let hash = host.plugins.measure(&place).ok().map(|measured| measured.hash);
                (version.unwrap_or_default(), hash)
            })
        });
        read.await.map_err(|error| internal("read the plugin that is there", std::io::Error::other(error)))
    }

    /// Whether a version may come after the one that is there.
    async fn may_follow(
        &self,
        key: &InstanceKey,
        version: &str,
        content_hash: ContentHash,
        current: Option<&(String, Option<ContentHash>)>,
        downgrade: Downgrade,
    ) -> Result<(), UploadPluginError> {
        let (plugin, version) = (key.plugin.clone(), version.to_owned());
        let noted = self.store.uploaded_versions().of(key).await.map_err(StoreError::from)?;
        let noted = noted.iter().map(|noted| (&noted.version, Some(noted.content_hash)));
        let known = noted.chain(current.iter().map(|(version, hash)| (version, *hash)));
        let mut same = known.filter(|(known, _)| **known == version);
        if same.any(|(_, hash)| hash != Some(content_hash)) {
            return Err(UploadPluginError::VersionTaken { plugin, version });
        }
        match current {
            Some((current, _)) if downgrade == Downgrade::Refused && is_older(&version, current) => {
                Err(UploadPluginError::Downgrade { plugin, version, current: current.clone() })
            }
            _ => Ok(()),
        }
    }
}

fn is_older(version: &str, than: &str) -> bool {
    compare_versions(version, than) == Some(Ordering::Less)
}

fn internal(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> UploadPluginError {
    UploadPluginError::Host { what: what.to_owned(), source: std::io::Error::other(error) }
}
