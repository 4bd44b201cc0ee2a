//! Ask a plugin's code what it registers, and find out on the way how it starts fastest.
//!
//! The plugin's own files are the measure: a bundle of them is used only when it registers the very same.

use hayloft_model::plugin::{FastStart, Package, Runtime};
use hayloft_packages::{CompiledCode, NewStart, Packages};
use hayloft_workers::{Compiled, ProbeError, Workers};
use serde_json::Value;
use serde_json::value::RawValue;

/// Asks the code of a package that is ready, and keeps how it starts fastest where packages are kept.
pub(crate) async fn ask(
    package: &Package,
    workers: &Workers,
    packages: &Packages,
) -> Result<Box<RawValue>, ProbeError> {
    let made_for = workers.compiles_for(&package.descriptor);
    let with = |bundle| Package { start: FastStart { bundle, compiled: None }, ..package.clone() };
    let files = with(None);
    // What runs elsewhere than in Node itself has nothing to keep.
    let runs_in_node = matches!(package.descriptor.runtime, Runtime::Node { .. });
    if !runs_in_node || !packages.lacks_start(package, &made_for) {
        return workers.probe(&files).await;
    }
    let (registration, compiled) = workers.probe_compiling(&files).await?;
    let mut new = NewStart { made_for, bundle: None, compiled: compiled.map(kept) };
    if let Some(bundle) = packages.bundle(package) {
        let plugin = &package.descriptor.id;
        match workers.probe_compiling(&with(Some(bundle.clone()))).await {
            Ok((bundled, compiled)) if is_same(&registration, &bundled) => {
                new = NewStart { bundle: Some(bundle), compiled: compiled.map(kept), ..new };
            }
            Ok(_) => {
                tracing::warn!(%plugin, "the plugin runs from its own files, which takes longer to start: its bundle registers something else");
            }
            Err(ProbeError::ShuttingDown) => return Err(ProbeError::ShuttingDown),
            Err(error) => {
                tracing::warn!(%plugin, %error, "the plugin runs from its own files, which takes longer to start: its bundle does not start");
            }
        }
    }
    if let Err(error) = packages.keep_start(package, new).await {
        tracing::error!(plugin = %package.descriptor.id, %error, "failed to keep how a plugin starts fastest");
    }
    Ok(registration)
}

fn kept(Compiled { folder, files }: Compiled) -> CompiledCode {
    CompiledCode { folder, files }
}

/// Whether two answers say the same, in whatever order.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    let read = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    one.get() == other.get() || read(one).zip(read(other)).is_some_and(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_what_they_say() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(is_same(&raw(r#"{"a":1,"b":[1,2]}"#), &raw(r#"{ "b": [1, 2], "a": 1 }"#)));
        assert!(!is_same(&raw(r#"{"a":1,"b":[1,2]}"#), &raw(r#"{"a":1,"b":[2,1]}"#)));
        assert!(!is_same(&raw(r#"{"a":1}"#), &raw(r#"{"a":1,"b":null}"#)));
    }
}
