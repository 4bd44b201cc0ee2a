//! "We broke": what a use case says when the memory of the host fails it.

use std::error::Error;

/// The store failed. People learn only that it happened; the cause is for the log of whoever handles it.
#[derive(Debug, thiserror::Error)]
#[error("the host could not read or write what it remembers")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

macro_rules! from {
    ($($error:path),+ $(,)?) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self(Box::new(error))
            }
        })+
    };
}

from!(
    hayloft_store::DatabaseError,
    hayloft_store::StoreError,
    hayloft_store::WriteError,
    hayloft_store::configurations::ConfigurationError,
    hayloft_store::configurations::PurgeError,
    hayloft_store::instances::InstanceError,
    hayloft_store::packages::PackageError,
    hayloft_store::remote_servers::RemoteServerError,
    hayloft_store::tokens::TokenError,
    std::io::Error,
);
