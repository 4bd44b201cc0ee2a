//! Code in one file where that behaves as the files do, and the files where it would not.

use std::fs;

use hayloft_packages::{CompiledCode, NewStart};

use crate::registry::TestRegistry;
use crate::support::{Fixture, Plugin};

/// A plugin with a dependency that came along.
fn plugin(name: &'static str, entry: &str) -> Plugin {
    Plugin::new(name)
        .package(r#""dependencies": { "dep": "1.0.0" }"#)
        .file("dist/index.js", entry)
        .file("dist/part.js", "exports.part = 'part';\n")
        .file("node_modules/dep/package.json", r#"{ "name": "dep", "version": "1.0.0" }"#)
        .file("node_modules/dep/index.js", "module.exports = 'dep';\n")
}

#[tokio::test]
async fn an_entry_with_what_it_imports_becomes_one_file_with_a_map() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let entry = "const { part } = require('./part.js');\nmodule.exports = [require('dep'), part, require('@hay/plugin-sdk')];\n";
    let plugin = plugin("bundled", entry)
        // What lies there is an author's, and no bundle.
        .file(".hayloft/entry.cjs", "stolen")
        .file(".hayloft/other", "stolen");
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    let log = fixture.packages.log(&plugin.read()).unwrap();
    assert!(log.contains("(its code is bundled: 3 files in one)"), "{log}");
    let bundle = fixture.packages.bundle(&installed).unwrap();
    let code = fs::read_to_string(installed.root.join(&bundle)).unwrap();
    assert!(code.contains("\"dep\"") && code.contains("\"part\""), "{code}");
    assert!(code.contains("require(\"@hay/plugin-sdk\")"), "the SDK is the host's own: {code}");
    let map = fs::read_to_string(installed.root.join(".hayloft/entry.cjs.map")).unwrap();
    assert!(map.contains("../dist/part.js") && !map.contains("sourcesContent"), "{map}");
    assert!(!installed.root.join(".hayloft/other").exists());
    assert_eq!(installed.start.bundle, None, "nobody compared it with the files yet");
    assert_eq!(fixture.registry.requests(), 0);
    assert_eq!(fixture.left_in_staging(), 0);
}

#[tokio::test]
async fn what_claims_to_have_no_effects_is_in_the_bundle_all_the_same() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = Plugin::new("effects")
        .package(r#""sideEffects": false, "type": "module", "dependencies": { "dep": "1.0.0" }"#)
        .file(
            "dist/index.js",
            "import './part.js';\nimport 'dep';\n/* @__PURE__ */ globalThis.called?.('pure');\n",
        )
        .file("dist/part.js", "globalThis.patched = 'part';\n")
        .file(
            "node_modules/dep/package.json",
            r#"{ "name": "dep", "version": "1.0.0", "sideEffects": false }"#,
        )
        .file("node_modules/dep/index.js", "globalThis.patched = 'dep';\n");
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    let bundle = fixture.packages.bundle(&installed).unwrap();
    let code = fs::read_to_string(installed.root.join(bundle)).unwrap();
    for effect in ["patched = \"part\"", "patched = \"dep\"", "(\"pure\")"] {
        assert!(code.contains(effect), "{effect}: {code}");
    }
}

#[tokio::test]
async fn what_a_bundle_would_change_runs_from_its_files() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    for (name, entry, reason) in [
        ("computed", "exports.load = (name) => require(name);", "loads a module whose name it computes"),
        ("imported", "exports.load = (name) => import(name);", "loads a module whose name it computes"),
        (
            "folder",
            "exports.read = () => __dirname; require('./part.js');",
            "asks for its own place (`__dirname`)",
        ),
        ("main", "require('./part.js'); if (require.main === module) process.exit();", "`require.main`"),
        ("resolve", "exports.at = require.resolve('dep');", "asks where a module lies"),
        ("handed", "require('./part.js'); const mine = require; exports.mine = mine;", "hands `require` on"),
        ("native", "exports.addon = require('./addon.node');", ".node"),
        ("lost", "require('./lost.js');", "./lost.js"),
        ("alone", "module.exports = 1;", "it is one file already"),
    ] {
        let plugin = plugin(name, entry).file("dist/addon.node", "\u{7f}ELF").file(".hayloft/entry.cjs", "x");
        let installed = fixture.packages.install(&plugin.read()).await.unwrap();
        let log = fixture.packages.log(&plugin.read()).unwrap_or_default();
        assert!(log.contains("(its code is not bundled: ") && log.contains(reason), "{name}: {log}");
        assert_eq!(fixture.packages.bundle(&installed), None, "{name}");
        assert!(!installed.root.join(".hayloft").exists(), "{name}");
    }
    // The same in a dependency counts as much.
    let plugin = plugin("deep", "module.exports = require('dep');")
        .file("node_modules/dep/index.js", "module.exports = (name) => require(name);\n");
    fixture.packages.install(&plugin.read()).await.unwrap();
    let log = fixture.packages.log(&plugin.read()).unwrap();
    assert!(log.contains("`node_modules/dep/index.js:1` loads a module whose name it computes"), "{log}");
    // What is missing and never asked for is no reason.
    let plugin = self::plugin(
        "lazy",
        "exports.native = () => require('not-installed');\nexports.part = require('./part.js');",
    );
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert!(fixture.packages.bundle(&installed).is_some(), "{:?}", fixture.packages.log(&plugin.read()));
}

#[tokio::test]
async fn without_a_bundler_a_plugin_is_what_it_is() {
    let fixture =
        Fixture::with(TestRegistry::start().await, |options| options.toolchain.esbuild = None).await;
    let plugin = plugin("whole", "module.exports = [require('dep'), require('./part.js')];");
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert_eq!(fixture.packages.bundle(&installed), None);
    assert_eq!(fixture.packages.log(&plugin.read()), None, "nothing ran");
}

#[tokio::test]
async fn how_a_package_starts_fastest_is_kept_with_it() {
    let fixture = Fixture::new(TestRegistry::start().await).await;
    let plugin = plugin("fast", "module.exports = [require('dep'), require('./part.js')];");
    let installed = fixture.packages.install(&plugin.read()).await.unwrap();
    assert!(fixture.packages.lacks_start(&installed, "node 24"));
    let bundle = fixture.packages.bundle(&installed);
    let compiled =
        CompiledCode { folder: String::from("v24"), files: vec![(String::from("ab"), b"code".to_vec())] };
    let new = NewStart {
        made_for: String::from("node 24"),
        bundle: bundle.clone(),
        compiled: Some(compiled.clone()),
    };
    fixture.packages.keep_start(&installed, new.clone()).await.unwrap();
    assert!(!fixture.packages.lacks_start(&installed, "node 24"));
    assert!(fixture.packages.lacks_start(&installed, "node 25"));
    let ready = fixture.packages.ready(&plugin.read()).await.unwrap().unwrap();
    assert_eq!(ready.start.bundle, bundle);
    let file = ready.start.compiled.unwrap().join("v24/ab");
    assert_eq!(fs::read(&file).unwrap(), b"code");

    // A name that leads elsewhere is refused, and what was kept stays.
    let evil = CompiledCode { folder: String::from("../../evil"), ..compiled };
    fixture.packages.keep_start(&installed, NewStart { compiled: Some(evil), ..new }).await.unwrap_err();
    assert_eq!(fs::read(&file).unwrap(), b"code");
    assert_eq!(fixture.left_in_staging(), 0);

    // What Node compiled is code: whoever touches it touched the version.
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&file, "evil").unwrap();
    let tampered = fixture.packages.ready(&plugin.read()).await.unwrap_err();
    assert!(tampered.at.ends_with("v24/ab"), "{tampered}");
    let again = fixture.packages.install(&plugin.read()).await.unwrap();
    assert_eq!(again.start, Default::default());
}
