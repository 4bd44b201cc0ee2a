//! Encryption at rest. What is sealed here opens only with the master key and only in the place it was sealed for.
//!
//! Each organization has a data key, itself sealed under the master key. Each record is sealed with AES-256-GCM under
//! a subkey of its own: HKDF-SHA256 of the data key with 256 random bits as salt. The nonce is random too, so nothing
//! counts and nothing repeats when a backup is restored. The place (table, organization, plugin, field, revision) is
//! additional data: a record that was moved to another row, column or revision does not open.
//!
//! Putting back a record where it once was is not detected by this alone; revisions are never used twice, so all that
//! can be put back is what a revision held from the start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hkdf;
use hayloft_model::{Entropy, OrganizationId, Secret};
use zeroize::Zeroizing;

pub(crate) mod master_key;
mod plain;

pub(crate) use plain::{read_credentials, read_values, write_credentials, write_values};

use master_key::MasterKey;

/// The first byte of each sealed record: how the rest is to be read.
const VERSION: u8 = 1;
const SALT: usize = 32;
const NONCE: usize = aead::NONCE_LEN;
const TAG: usize = 16;
const HEADER: usize = 1 + SALT + NONCE;

/// A sealed record does not open where it was found: it was changed, moved, or is not of this key.
///
/// It says no more on purpose; whoever may tamper with rows shall not learn how close it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed record does not open: it was changed or moved, or another key sealed it")]
pub struct DoesNotOpen;

/// Where a record belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) plugin: &'a str,
    pub(crate) field: &'a str,
    pub(crate) revision: u32,
}

impl Place<'_> {
    /// The parts one after the other, each after its length, so that no two places read the same.
    fn additional_data(&self) -> Vec<u8> {
        let organization = self.organization.map(|id| id.to_string()).unwrap_or_default();
        let revision = self.revision.to_be_bytes();
        let parts: [&[u8]; 6] = [
            b"hayloft vault",
            self.table.as_bytes(),
            organization.as_bytes(),
            self.plugin.as_bytes(),
            self.field.as_bytes(),
            &revision,
        ];
        let mut bytes = Vec::with_capacity(160);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// A key that records are sealed under.
pub(crate) type Key = Secret<[u8; 32]>;

/// Draws a new key.
pub(crate) fn new_key(entropy: &dyn Entropy) -> Key {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new(*bytes)
}

/// Seals a text for one place.
pub(crate) fn seal(
    key: &Key,
    place: Place<'_>,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, DoesNotOpen> {
    let mut header = [0; HEADER];
    header[0] = VERSION;
    entropy.fill(&mut header[1..]);
    let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
    body.extend_from_slice(plain);
    record_key(key, &header)?
        .seal_in_place_append_tag(nonce(&header)?, aead::Aad::from(place.additional_data()), &mut *body)
        .map_err(|_| DoesNotOpen)?;
    let mut sealed = Vec::with_capacity(HEADER + body.len());
    sealed.extend_from_slice(&header);
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what was sealed for that place.
pub(crate) fn open(key: &Key, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (header, body) = sealed.split_first_chunk::<HEADER>().ok_or(DoesNotOpen)?;
    if header[0] != VERSION {
        return Err(DoesNotOpen);
    }
    let mut plain = Zeroizing::new(body.to_vec());
    let length = record_key(key, header)?
        .open_in_place(nonce(header)?, aead::Aad::from(place.additional_data()), &mut plain)
        .map_err(|_| DoesNotOpen)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

/// The subkey of one record. Its bytes never leave the cryptographic library.
fn record_key(key: &Key, header: &[u8; HEADER]) -> Result<LessSafeKey, DoesNotOpen> {
    let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, &header[1..=SALT]).extract(key.expose());
    let output = pseudo_random.expand(&[b"hayloft record"], &AES_256_GCM).map_err(|_| DoesNotOpen)?;
    Ok(LessSafeKey::new(UnboundKey::from(output)))
}

fn nonce(header: &[u8; HEADER]) -> Result<aead::Nonce, DoesNotOpen> {
    aead::Nonce::try_assume_unique_for_key(&header[1 + SALT..]).map_err(|_| DoesNotOpen)
}

/// The master key and the data keys that were opened with it since the start.
pub(crate) struct Vault {
    master: MasterKey,
    opened: Mutex<HashMap<OrganizationId, Arc<Key>>>,
}

impl Vault {
    pub(crate) fn new(master: MasterKey) -> Self {
        Self { master, opened: Mutex::default() }
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    /// A new data key and how its row is to hold it.
    pub(crate) fn make_data_key(
        &self,
        organization: OrganizationId,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, DoesNotOpen> {
        let key = new_key(entropy);
        seal(self.master.key(), data_key_place(organization), key.expose(), entropy)
    }

    /// An organization's data key, if it was opened before.
    pub(crate) fn opened(&self, organization: OrganizationId) -> Option<Arc<Key>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&organization).cloned()
    }

    /// Lets go of an organization's data key.
    pub(crate) fn forget(&self, organization: OrganizationId) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(&organization);
    }

    /// Opens an organization's data key and keeps it at hand.
    pub(crate) fn open_data_key(
        &self,
        organization: OrganizationId,
        sealed: &[u8],
    ) -> Result<Arc<Key>, DoesNotOpen> {
        let plain = open(self.master.key(), data_key_place(organization), sealed)?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).map_err(|_| DoesNotOpen)?);
        let key = Arc::new(Secret::new(*bytes));
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(organization, Arc::clone(&key));
        Ok(key)
    }
}

fn data_key_place(organization: OrganizationId) -> Place<'static> {
    Place {
        table: "organization_keys",
        organization: Some(organization),
        plugin: "",
        field: "sealed",
        revision: 0,
    }
}
