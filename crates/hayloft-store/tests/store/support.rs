//! Time and chance for tests, and short ways to say common things.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use hayloft_model::config::{ConfigValues, Credentials};
use hayloft_model::{Caller, Clock, Entropy, InstanceKey, OrganizationId};
use hayloft_store::configurations::NewConfiguration;
use hayloft_store::organizations::Organization;
use hayloft_store::{MasterKey, Options, Store};
use serde_json::Value;

/// Time that passes when a test says so.
#[derive(Clone)]
pub(crate) struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_000_000_000)))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// The system's randomness.
pub(crate) struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}

/// A source that always says the same.
pub(crate) struct Constant(pub(crate) u8);

impl Entropy for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

pub(crate) const ADMINISTRATOR: Caller = Caller::Administrator;

pub(crate) fn options(url: String, master_key: MasterKey, clock: &FakeClock) -> Options {
    Options { url, master_key, clock: Arc::new(clock.clone()), entropy: Arc::new(Random) }
}

pub(crate) async fn organization(store: &Store, name: &str) -> Organization {
    store.organizations().create(name, &ADMINISTRATOR).await.unwrap()
}

pub(crate) fn key(organization: OrganizationId, plugin: &str) -> InstanceKey {
    InstanceKey { organization, plugin: plugin.parse().unwrap() }
}

pub(crate) fn values(value: Value) -> ConfigValues {
    match value {
        Value::Object(fields) => fields.into_iter().collect(),
        other => panic!("`{other}` is no object"),
    }
}

pub(crate) fn configuration(value: Value) -> NewConfiguration {
    NewConfiguration { values: values(value), ..NewConfiguration::default() }
}

pub(crate) fn credentials(method_id: &str, value: Value) -> Option<Credentials> {
    Some(Credentials { method_id: method_id.to_owned(), values: values(value) })
}

/// A whole error with its causes, as a log would show it.
pub(crate) fn shown(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error} {error:?}"));
        source = error.source();
    }
    text
}
