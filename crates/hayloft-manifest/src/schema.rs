//! JSON Schemas of manifests, generated from the types that the readers are built on: for editors and for authors.

use serde_json::Value;

/// The JSON Schema of a `package.json` in the canonical format.
#[must_use]
pub fn hay_package_schema() -> Value {
    let mut schema = crate::formats::manifest_schema();
    schema.insert(String::from("title"), Value::from("package.json of a Hay-format plugin"));
    schema.to_value()
}
