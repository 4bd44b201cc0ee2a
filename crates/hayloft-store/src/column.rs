//! From values of this program to values of a column and back.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SubsecRound, Utc};
use hayloft_model::{OrganizationId, Revision};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DatabaseError;

/// A column of a table, named when its value is not readable.
#[derive(Clone, Copy)]
pub(crate) struct Place(pub(crate) &'static str, pub(crate) &'static str);

impl Place {
    fn unreadable(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> DatabaseError {
        DatabaseError::Unreadable { table: self.0, column: self.1, source: source.into() }
    }

    /// An id, a state, a role, …
    pub(crate) fn parse<T>(self, text: &str) -> Result<T, DatabaseError>
    where
        T: FromStr<Err: Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|error| self.unreadable(error))
    }

    pub(crate) fn json<T: DeserializeOwned>(self, text: &str) -> Result<T, DatabaseError> {
        serde_json::from_str(text).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn write_json<T: Serialize>(self, value: &T) -> Result<String, DatabaseError> {
        serde_json::to_string(value).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn time(self, milliseconds: i64) -> Result<DateTime<Utc>, DatabaseError> {
        DateTime::from_timestamp_millis(milliseconds).ok_or_else(|| self.unreadable("not a time"))
    }

    pub(crate) fn revision(self, number: i64) -> Result<Revision, DatabaseError> {
        u32::try_from(number).map(Revision).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn digest(self, bytes: Vec<u8>) -> Result<[u8; 32], DatabaseError> {
        bytes.try_into().map_err(|_| self.unreadable("not a digest"))
    }

    /// A number as what it stands for.
    pub(crate) fn convert<T, N>(self, number: N) -> Result<T, DatabaseError>
    where
        T: TryFrom<N, Error: Error + Send + Sync + 'static>,
    {
        T::try_from(number).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn count(self, number: i64) -> Result<u64, DatabaseError> {
        u64::try_from(number).map_err(|error| self.unreadable(error))
    }
}

/// A time as a column holds it.
pub(crate) fn milliseconds(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

/// A time as precise as a column holds it, so that a new record equals the one that is read later.
pub(crate) fn stored_time(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// The organization that a row was to belong to does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownOrganization(pub OrganizationId);

impl fmt::Display for UnknownOrganization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no organization `{}`", self.0)
    }
}

impl Error for UnknownOrganization {}
