//! The trial of a folder by `plugin check --run` starts the plugin's code, in a jail, and tells what comes of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hayloft_testkit::{PluginFolder, workspace};
use serde_json::json;

fn check(folder: &Path, further: &[&str], strongest: Option<&str>) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the command line is what is tested")]
    let mut command = Command::new(workspace::hayloft_binary());
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").args(["plugin", "check", "--run"]);
    command.envs(strongest.map(|tier| ("HAYLOFT_STRONGEST_ISOLATION", tier)));
    command.args(further).arg(folder).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The words of each line, with one space between them and without the lines of tables.
fn rows(output: &Output) -> Vec<String> {
    let words = |line: &str| line.replace(['│', '┆'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    said(output).lines().map(words).collect()
}

#[test]
fn what_a_plugins_code_registers_is_printed() {
    let folder = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
        export default defineHayPlugin(({ register }) => ({ name: 'x',\n\
          onInitialize() { register.route('GET', '/hello', (request, response) => response.send('x')); } }));";
    let plugin = folder.hay_package("hay-plugin-route", &["routes"], entry);
    let output = check(plugin.root(), &[], None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(rows(&output).contains(&String::from("route GET /hello")), "{}", said(&output));
}

#[test]
fn what_a_plugins_code_throws_is_told() {
    let folder = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
        export default defineHayPlugin(() => ({ name: 'x', onInitialize() { throw new Error('the till ' + 'is locked'); } }));";
    let plugin = folder.hay_package("hay-plugin-throws", &["routes"], entry);
    let output = check(plugin.root(), &[], None);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the till is locked"), "{}", said(&output));
}

#[test]
fn a_plugin_that_is_tried_sees_its_own_files_alone() {
    let elsewhere = tempfile::Builder::new().prefix("hayloft-canary-").tempdir().unwrap();
    let canary = elsewhere.path().join("canary.txt");
    fs::write(&canary, "canary").unwrap();
    let folder = PluginFolder::new();
    // It tells what it finds by the routes that it registers.
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nimport {{ statSync }} from 'node:fs';\n\
         const find = (file) => {{ try {{ return statSync(file).isFile() ? 'there' : 'other'; }} catch (error) {{ return error.code; }} }};\n\
         export default defineHayPlugin(({{ register }}) => ({{ name: 'x', onInitialize() {{\n\
           register.route('GET', '/own/' + find(new URL('own.txt', import.meta.url)), () => {{}});\n\
           register.route('GET', '/canary/' + find({}), () => {{}});\n\
         }} }}));",
        json!(canary),
    );
    let plugin = folder.hay_package("hay-plugin-looks", &["routes"], &entry).file("own.txt", "x");
    let output = check(plugin.root(), &[], None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = rows(&output);
    for row in ["route GET /own/there", "route GET /canary/ENOENT"] {
        assert!(found.iter().any(|line| line == row), "{row}: {}", said(&output));
    }
    // Without a jail the file is where the plugin looks for it.
    let open = check(plugin.root(), &["--isolation", "off"], Some("off"));
    assert!(rows(&open).contains(&String::from("route GET /canary/there")), "{}", said(&open));
}

#[test]
fn a_component_that_does_not_compile_is_told_with_its_place() {
    let folder = PluginFolder::new();
    let entry = "import { defineHayPlugin } from '@hay/plugin-sdk';\n\
        export default defineHayPlugin(({ register }) => ({ name: 'x',\n\
          onInitialize() { register.ui({ slot: 'after-settings', component: 'components/A.vue' }); } }));";
    let plugin = folder
        .hay_package("hay-plugin-view", &["ui"], entry)
        .file("components/A.vue", "<template>\n  <div>\n    <b>never closed\n  </div>\n</template>\n");
    // The plugin works without what it shows, so that it is a warning.
    let output = check(plugin.root(), &[], None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("warning: components/A.vue:3:5: "), "{}", said(&output));
    // Of a component that compiles nothing is told.
    let mended = "<template>\n  <div>\n    <b>closed</b>\n  </div>\n</template>\n";
    let plugin = plugin.file("components/A.vue", mended);
    let output = check(plugin.root(), &[], None);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("warning: "), "{}", said(&output));
}
