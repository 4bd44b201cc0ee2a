//! The texts that plugins keep for organizations, for code that has no other place to keep anything.

use chrono::TimeDelta;
use hayloft_model::plugin::Service;
use hayloft_model::{InstanceKey, Secret};
use hayloft_store::DatabaseError;
use hayloft_store::plugin_values::PluginValueError;
use hayloft_workers::Refusal;
use hayloft_workers::protocol::{FailureReason, KvOperation};

use crate::Host;

/// The longest name of a value, in bytes.
const LONGEST_NAME: usize = 512;

/// The largest value, in bytes.
const LARGEST_VALUE: usize = 1 << 20;

impl Host {
    /// Does what a worker asks for with the values of its plugin and organization. Operations of one instance come one
    /// after the other: whoever asks for many waits for its own, and nobody else does.
    pub(crate) async fn operate_on_value(
        &self,
        key: &InstanceKey,
        operation: KvOperation,
    ) -> Result<Option<String>, Refusal> {
        let services = self.permitted_of(key).and_then(|permitted| permitted.services);
        if !services.is_some_and(|services| services.contains(&Service::Kv)) {
            return Err(Refusal::new(
                FailureReason::Refused,
                format!("the plugin does not declare the capability `{}`", Service::Kv),
            ));
        }
        let operation = Operation::read(operation)?;
        let _turn = self.keeping.take(key).await;
        let values = self.store.plugin_values();
        match operation {
            Operation::Get { name } => match values.get(key, &name).await {
                Ok(value) => Ok(value.map(|value| value.expose().clone())),
                Err(error) => Err(refusal(key, error)),
            },
            Operation::Set { name, value, lives } => {
                let kept = values.set(key, &name, &value, lives, self.value_quota).await;
                kept.map(|()| None).map_err(|error| refusal(key, error))
            }
            Operation::Delete { name } => {
                let deleted = values.delete(key, &name).await;
                deleted.map(|()| None).map_err(|error: DatabaseError| refusal(key, error.into()))
            }
        }
    }
}

/// What a worker asked for, checked.
enum Operation {
    Get { name: String },
    Set { name: String, value: Secret<String>, lives: Option<TimeDelta> },
    Delete { name: String },
}

impl Operation {
    fn read(operation: KvOperation) -> Result<Self, Refusal> {
        match operation {
            KvOperation::Get { key } => Ok(Self::Get { name: checked(key)? }),
            KvOperation::Delete { key } => Ok(Self::Delete { name: checked(key)? }),
            KvOperation::Set { key, value, ttl_seconds } => {
                let name = checked(key)?;
                if value.len() > LARGEST_VALUE {
                    let message =
                        format!("the value has {} bytes; at most {LARGEST_VALUE} are kept", value.len());
                    return Err(wrong(message));
                }
                if ttl_seconds == Some(0) {
                    return Err(wrong("a value must live for one second at least"));
                }
                // What cannot be counted in milliseconds lives longer than anybody will ask for it.
                let lives = ttl_seconds
                    .and_then(|seconds| TimeDelta::try_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
                Ok(Self::Set { name, value: Secret::new(value), lives })
            }
        }
    }
}

fn checked(name: String) -> Result<String, Refusal> {
    if name.is_empty() {
        return Err(wrong("a key must be a text that is not empty"));
    }
    if name.len() > LONGEST_NAME {
        return Err(wrong(format!("a key has at most {LONGEST_NAME} bytes")));
    }
    // Not every database takes it.
    if name.contains('\0') {
        return Err(wrong("a key must not contain the character U+0000"));
    }
    Ok(name)
}

fn wrong(message: impl Into<String>) -> Refusal {
    Refusal::new(FailureReason::Configuration, message)
}

fn refusal(key: &InstanceKey, error: PluginValueError) -> Refusal {
    match error {
        PluginValueError::TooMany { .. } | PluginValueError::TooMuch { .. } => {
            Refusal::new(FailureReason::Refused, format!("the plugin {error}"))
        }
        PluginValueError::NotFound(_)
        | PluginValueError::Sealed { .. }
        | PluginValueError::DataKey { .. }
        | PluginValueError::UnknownOrganization(_)
        | PluginValueError::Database(_) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(instance = %key, error, "failed to read or write what a plugin keeps");
            Refusal::new(FailureReason::Refused, "the host could not read or write what it keeps")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: KvOperation) -> Option<String> {
        Operation::read(operation).err().map(|refusal| refusal.message)
    }

    fn set(key: String, value: String, ttl_seconds: Option<u64>) -> KvOperation {
        KvOperation::Set { key, value, ttl_seconds }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        let long = "é".repeat(LONGEST_NAME / 2);
        let large = "x".repeat(LARGEST_VALUE);
        for good in [
            KvOperation::Get { key: long.clone() },
            KvOperation::Delete { key: " ".into() },
            set("a".into(), large.clone(), Some(1)),
            set("a".into(), String::from("\0"), Some(u64::MAX)),
            set("a".into(), String::new(), None),
        ] {
            assert_eq!(refused(good), None);
        }
        for (bad, message) in [
            (KvOperation::Get { key: String::new() }, "not empty"),
            (KvOperation::Delete { key: format!("{long}x") }, "at most 512 bytes"),
            (KvOperation::Get { key: "a\0b".into() }, "U+0000"),
            (set("a".into(), format!("{large}x"), None), "1048577 bytes"),
            (set("a".into(), "b".into(), Some(0)), "one second"),
        ] {
            let refused = refused(bad).unwrap_or_default();
            assert!(refused.contains(message), "{refused}");
        }
    }
}
