//! The class plugins of the specification's documents, installed and built as they are printed.

use std::fs;
use std::path::Path;

use hayloft_testkit::PluginFolder;
use serde_json::json;

use super::{installed, server};
use crate::support::text_of;

/// A plugin of the specification's documents, as its author ships it: the source and nothing that was made of it.
fn document_plugin(folder: &PluginFolder, case: &str) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            match from.is_dir() {
                true if entry.file_name() == "dist" => {}
                true => copy(&from, &to),
                false => drop(fs::copy(from, to).unwrap()),
            }
        }
    }
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/hayloft-manifest/tests/golden/hay_class");
    copy(&golden.join(case), &folder.path().join(case));
}

#[tokio::test]
async fn the_class_plugins_of_the_documents_are_built_as_they_are_printed() {
    let folder = PluginFolder::new();
    for case in ["document_plugin_class", "document_hubspot", "document_stripe", "document_whatsapp"] {
        document_plugin(&folder, case);
    }
    let server = server(&folder).start().await;
    let acme = server.organization("Acme").await;
    for plugin in ["attio", "hay-plugin-hubspot", "hay-plugin-stripe", "whatsapp"] {
        let shown = installed(&acme, plugin).await;
        let log = acme.get(&format!("plugins/{plugin}/installation/log")).await.expect(200).json();
        assert_eq!(
            shown["installation"]["state"],
            "installed",
            "{shown:#}\n{}",
            log["text"].as_str().unwrap()
        );
    }
    // Its server is a folder below the plugin's, and its tools were data in a JSON file that the code imports.
    let answer = acme.call_tool("attio__attio_find_record", json!({ "name": "Ada" })).await;
    assert_eq!(text_of(answer), "found Ada");
    // Nothing but `typescript` is its own: the types of Node were there to build with, and are not there to run with.
    let whatsapp = acme.get("plugins/whatsapp").await.expect(200).json();
    assert_eq!(whatsapp["state"], "unconfigured", "{whatsapp:#}");
}
