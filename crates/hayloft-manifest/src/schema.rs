//! JSON Schemas of manifests, generated from the types that the readers are built on: for editors and for authors.

use serde_json::Value;

use crate::formats;

/// A manifest's JSON Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaFile {
    /// The name of the format.
    pub format: &'static str,
    /// The name of the file that it describes.
    pub manifest: &'static str,
    /// Where it is kept, relative to the root of the repository.
    pub path: &'static str,
    /// The schema.
    pub schema: Value,
}

/// The schemas of all formats that have a manifest of their own.
pub fn all() -> impl Iterator<Item = SchemaFile> {
    formats::all().filter_map(|format| {
        let schema = format.schema.as_ref()?;
        let mut made = (schema.make)();
        made.insert(String::from("title"), Value::from(schema.title));
        Some(SchemaFile {
            format: format.name,
            manifest: schema.manifest,
            path: schema.path,
            schema: made.to_value(),
        })
    })
}
