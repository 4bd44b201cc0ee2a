//! The one key that everything else hangs on, and the file that it lives in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use hayloft_model::{Entropy, Secret};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Key, new_key};

const LENGTH: usize = 32;
const FINGERPRINT: usize = 8;

/// 256 random bits that open the vault of one installation. Losing them loses every stored secret.
#[derive(Clone, Debug)]
pub struct MasterKey {
    key: Key,
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read.
    #[error("failed to read the master key `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("failed to make the master key `{path}`")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "failed to trust the master key `{path}`: its mode is {mode:03o}, so others than its owner may use it"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no regular file.
    #[error("failed to use the master key `{path}`: it is not a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// It is not 32 bytes long.
    #[error("failed to use the master key `{path}`: it has {length} bytes instead of {LENGTH}")]
    Length {
        /// The file.
        path: PathBuf,
        /// How many bytes it has, counted no further than one too many.
        length: usize,
    },
}

impl MasterKeyError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooOpen { path, .. } => {
                Some(format!("run `chmod 600 {}`, and think about who may have copied it", path.display()))
            }
            Self::Length { .. } | Self::NotAFile { .. } => Some(String::from(
                "restore the file from a backup; a new key would not open what the old one sealed",
            )),
            Self::Read { .. } | Self::Create { .. } => None,
        }
    }
}

impl MasterKey {
    /// Reads the key file, or makes it with fresh random bytes if there is none. The file appears whole or not at
    /// all, whatever happens in between, and an existing one is never written to.
    ///
    /// # Errors
    /// When the file is not usable as it is. It is never replaced: that would lose what it sealed.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, MasterKeyError> {
        match Self::load(path) {
            Err(MasterKeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        match create(path, entropy) {
            Ok(()) => {}
            // Somebody else was faster; theirs counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(MasterKeyError::Create { path: path.to_owned(), source }),
        }
        Self::load(path)
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// When it is missing or not usable as it is.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::Read { path: path.to_owned(), source };
        // A pipe or a device in its place must not block the start.
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(MasterKeyError::NotAFile { path: path.to_owned() });
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::TooOpen { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH + 1));
        file.take(LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        match <[u8; LENGTH]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Self { key: Secret::new(bytes) }),
            Err(_) => Err(MasterKeyError::Length { path: path.to_owned(), length: bytes.len() }),
        }
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// A short name of the key that says nothing about its bytes. It tells a wrong key from a damaged record.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(self.key.expose());
        let mut bytes = [0; FINGERPRINT];
        // The only failure is an output of more than 8160 bytes.
        if let Ok(output) = pseudo_random.expand(&[b"hayloft fingerprint"], FingerprintLength) {
            let _ = output.fill(&mut bytes);
        }
        hex::encode(bytes)
    }
}

#[derive(Clone, Copy)]
struct FingerprintLength;

impl hkdf::KeyType for FingerprintLength {
    fn len(&self) -> usize {
        FINGERPRINT
    }
}

/// Writes the bytes beside the final name and then links them to it: the name is either absent or whole.
fn create(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut random = [0; 8];
    entropy.fill(&mut random);
    let draft = folder.join(format!(".master-key.{}", hex::encode(random)));
    let written = write_draft(&draft, &new_key(entropy)).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    written?;
    File::open(folder)?.sync_all()
}

fn write_draft(draft: &Path, key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(key.expose())?;
    file.sync_all()
}
