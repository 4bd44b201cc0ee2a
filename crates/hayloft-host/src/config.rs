//! What a worker is given when it is bound: values, credentials, and the environment that it may read.

pub(crate) mod credentials;
pub(crate) mod environment;
pub(crate) mod secrets;
