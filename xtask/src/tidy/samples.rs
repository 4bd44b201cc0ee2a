//! At least one sample plugin for every format that can be read: a format without one is tested by nobody.

use std::path::Path;

use super::Finding;

/// The formats that no plugin in the folder is in.
pub(super) fn check(folder: &Path) -> Vec<Finding> {
    let present: Vec<String> = hayloft_manifest::discover(folder)
        .iter()
        // Whether it is built yet does not matter here, only what it is written in.
        .filter_map(|found| hayloft_manifest::probe(&found.root).0)
        .map(|evidence| evidence.format.0)
        .collect();
    missing(&present, hayloft_manifest::formats::names())
        .map(|format| {
            Finding::new("plugins/examples", format!("has no sample plugin in the format `{format}`"))
        })
        .collect()
}

fn missing<'a>(present: &[String], formats: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    formats.filter(|format| !present.iter().any(|present| present == format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_without_a_sample_is_found() {
        let present = [String::from("one")];
        assert_eq!(missing(&present, ["one", "two"].into_iter()).collect::<Vec<_>>(), ["two"]);
    }
}
