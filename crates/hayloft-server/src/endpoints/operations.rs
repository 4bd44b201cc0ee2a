//! For those who run this Hayloft: what it is, whether it serves, what it counted, what runs.

pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod ready;
pub(crate) mod workers;
