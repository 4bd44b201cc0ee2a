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
    if !is_unknown(package, workers, packages) {
        return ask_files(package, workers).await;
    }
    let made_for = workers.compiles_for(&package.descriptor);
    let with = |bundle| Package { start: FastStart { bundle, compiled: None }, ..package.clone() };
    let (registration, compiled) = workers.probe_compiling(&with(None)).await?;
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

/// Asks the code of a package from its own files, and for nothing else.
pub(crate) async fn ask_files(package: &Package, workers: &Workers) -> Result<Box<RawValue>, ProbeError> {
    workers.probe(&Package { start: FastStart::default(), ..package.clone() }).await
}

/// Whether nobody found out yet how a package that is ready starts fastest. What runs elsewhere than in Node itself has
/// nothing to keep.
pub(crate) fn is_unknown(package: &Package, workers: &Workers, packages: &Packages) -> bool {
    matches!(package.descriptor.runtime, Runtime::Node { .. })
        && packages.lacks_start(package, &workers.compiles_for(&package.descriptor))
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
