//! What strangers' packages do while they are found, installed and built stays in a jail, and what came of it stays as
//! it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Setup};

in_setups!(strongest Strongest, ordinary Ordinary:
    scripts_run_in_a_jail_or_not_at_all,
    builds_that_fill_the_disk_end_in_their_own_room,
    what_a_build_plants_stays_inside,
    a_package_is_what_was_looked_at,
    changed_versions_do_not_start,
    what_is_removed_serves_no_more
);
in_setups!(named Strongest: names_and_entries_lead_nowhere);
in_setups!(full Strongest: a_full_disk_is_said_and_the_version_before_goes_on);

/// A plugin of the older format, which says itself what is run.
fn write_plugin(folder: &Path, id: &str, install: &str, build: &str, scripts: &Value) {
    let manifest = json!({
        "id": id, "name": "X", "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js",
        "capabilities": { "mcp": {
            "connection": { "type": "local" }, "transport": "stdio", "startCommand": "node dist/index.js", "tools": [],
            "installCommand": install, "buildCommand": build,
        } },
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let package = json!({ "name": id, "version": "1.0.0", "scripts": scripts });
    fs::write(folder.join("package.json"), package.to_string()).unwrap();
}

/// Asks for a plugin and waits until it is installed or refused.
async fn installation(organization: &Organization, plugin: &str) -> Value {
    let asked = organization.put(&format!("plugins/{plugin}"), &json!({ "enabled": true })).await;
    assert!([200, 202, 422].contains(&asked.status.as_u16()), "{}", asked.text());
    let wait = async {
        loop {
            let shown = organization.get(&format!("plugins/{plugin}")).await.expect(200).json();
            if shown["installation"]["state"] != "installing" && shown["state"] != "installing" {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(4 * PATIENCE, wait).await.expect("an end of the installation")
}

fn version_of(server: &TestServer, plugin: &str) -> PathBuf {
    let versions = fs::read_dir(server.data_folder().join("packages").join(plugin)).unwrap();
    versions.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).expect("a version")
}

/// A plugin that wants to run something by every way that npm knows, with a dependency that does too. Whatever runs
/// says so in `ran`.
fn write_scripted(folder: &Path, id: &str, install: &str, scripts: &Value) {
    write_plugin(folder, id, install, "npm run build", scripts);
    let package = json!({ "name": id, "version": "1.0.0", "scripts": scripts, "dependencies": { "dep": "file:./dep" } });
    let dependency = json!({
        "name": "dep", "version": "1.0.0", "scripts": { "postinstall": "echo dependency >> ../ran" },
        "bin": { "good": "index.js", "out": "../../../../x", "../../../../up": "index.js" },
    });
    fs::create_dir(folder.join("dep")).unwrap();
    for (name, text) in [
        ("package.json", package.to_string()),
        ("dep/package.json", dependency.to_string()),
        ("dep/index.js", String::new()),
        (".npmrc", "ignore-scripts=false\nscript-shell=/tmp/work/plugins/core/plugin/shell\nnode-options=--require ./evil.js\n".to_owned()),
        ("evil.js", "require('fs').appendFileSync('ran', 'evil\\n');\n".to_owned()),
        ("shell", "#!/bin/sh\necho shell >> ran\nexec /bin/sh \"$@\"\n".to_owned()),
        (
            "binding.gyp",
            r#"{ "variables": { "x": "<!(echo gyp >> ran)" }, "targets": [{ "target_name": "x", "type": "none", "actions": [
            { "action_name": "x", "inputs": [], "outputs": ["x"], "action": ["sh", "-c", "echo gyp >> ran"] }] }] }"#
                .to_owned(),
        ),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::set_permissions(folder.join("shell"), fs::Permissions::from_mode(0o755)).unwrap();
}

async fn scripts_run_in_a_jail_or_not_at_all(setup: Setup) {
    let plugins = PluginFolder::new();
    let outside = PluginFolder::new();
    let canary = outside.path().join("canary");
    fs::write(&canary, "precious").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o666)).unwrap();
    let touch = |name: &str| format!("echo {name} >> ran; echo stolen > {}; true", canary.display());
    let mut scripts = serde_json::Map::new();
    let build = format!("mkdir -p dist && touch dist/index.js; {}", touch("build"));
    scripts.insert("build".to_owned(), build.into());
    // Where a package says nothing of it, npm compiles what has such a file.
    let native = Value::from(scripts.clone());
    for name in
        ["preinstall", "install", "postinstall", "prepare", "prepublish", "preprepare", "dependencies"]
    {
        scripts.insert(name.to_owned(), touch(name).into());
    }
    let scripts = Value::from(scripts);
    let install = "npm install --ignore-scripts=false --foreground-scripts";
    let lines = [
        ("hay-plugin-scripted", install.to_owned(), &scripts),
        ("hay-plugin-native", install.to_owned(), &native),
        ("hay-plugin-spelled", install.replace("install", "ins"), &scripts),
        ("hay-plugin-ended", format!("{install} --"), &scripts),
        ("hay-plugin-taking", format!("{install} --otp"), &scripts),
    ];
    for (id, line, scripts) in &lines {
        write_scripted(&plugins.path().join(id), id, line, scripts);
    }
    for (id, scripts) in [("hay-plugin-granted", &scripts), ("hay-plugin-compiled", &native)] {
        write_scripted(&plugins.path().join(id), id, install, scripts);
    }
    let server = setup
        .server(&plugins)
        .environment("HAYLOFT_SCRIPT_GRANTS", "hay-plugin-granted,hay-plugin-compiled")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let log = async |id: &str| acme.get(&format!("plugins/{id}/installation/log")).await.expect(200).text();
    let ran = |id: &str| fs::read_to_string(version_of(&server, id).join("ran")).unwrap();
    for (id, ..) in lines {
        let shown = installation(&acme, id).await;
        let log = log(id).await;
        assert_eq!(shown["installation"]["state"], "installed", "{shown:#}\n{log}");
        assert!(log.contains("$ npm ins"), "{log}");
        // The package's own shell shows that npm reads what lies there.
        assert_eq!(
            ran(id),
            "shell\nbuild\n",
            "{id}: the build ran, and nothing that npm starts by itself\n{log}"
        );
        let version = version_of(&server, id).canonicalize().unwrap();
        let links = version.join("node_modules/.bin");
        assert!(links.join("good").is_file(), "{log}");
        for link in fs::read_dir(&links).unwrap() {
            let leads_to = link.unwrap().path().canonicalize().unwrap();
            assert!(leads_to.starts_with(&version), "{}", leads_to.display());
        }
        assert!(!plugins.path().join(id).join("ran").exists());
    }
    // What is granted runs, in the jail.
    let shown = installation(&acme, "hay-plugin-granted").await;
    assert_eq!(shown["installation"]["state"], "installed", "{shown:#}\n{}", log("hay-plugin-granted").await);
    let granted = ran("hay-plugin-granted");
    for name in ["shell", "preinstall", "install", "postinstall", "dependency", "build"] {
        assert!(granted.lines().any(|line| line == name), "{name}: {granted}");
    }
    installation(&acme, "hay-plugin-compiled").await;
    let compiled = log("hay-plugin-compiled").await;
    assert!(compiled.contains("node-gyp"), "{compiled}");
    assert_eq!(fs::read_to_string(canary).unwrap(), "precious");
}

async fn builds_that_fill_the_disk_end_in_their_own_room(setup: Setup) {
    let plugins = PluginFolder::new();
    for (id, fill) in [
        ("hay-plugin-large", "cat /dev/zero > large"),
        ("hay-plugin-many", "node -e 'for (let n = 0; ; n++) fs.mkdirSync(String(n))'"),
        ("hay-plugin-elsewhere", "cat /dev/zero > /tmp/large"),
        ("hay-plugin-quiet", "head -c 20000000 /dev/zero > ok && mkdir -p dist && touch dist/index.js"),
    ] {
        write_plugin(&plugins.path().join(id), id, "true", "npm run build", &json!({ "build": fill }));
    }
    let server = setup.server(&plugins).environment("HAYLOFT_INSTALL_DISK", "64MiB").start().await;
    let acme = server.organization("Acme").await;
    for id in ["hay-plugin-large", "hay-plugin-many", "hay-plugin-elsewhere"] {
        let shown = installation(&acme, id).await;
        assert_eq!(shown["installation"]["state"], "build_error", "{shown:#}");
        assert!(
            shown["lastError"].as_str().unwrap().contains("needs more room than the 64 MiB"),
            "{shown:#}"
        );
    }
    let control = installation(&acme, "hay-plugin-quiet").await;
    assert_eq!(control["installation"]["state"], "installed", "what fits is no attack: {control:#}");
    assert_eq!(fs::read_dir(server.data_folder().join("packages/.staging")).unwrap().count(), 0);
    server.organization("The host still writes").await;
}

async fn a_full_disk_is_said_and_the_version_before_goes_on(setup: Setup) {
    if !setup.server_is_root() {
        // Only root makes a disk of its own for this.
        return;
    }
    let plugins = PluginFolder::new();
    let entry = |version: &str| {
        format!(
            r#"import {{ defineHayPlugin }} from "@hay/plugin-sdk";
export default defineHayPlugin(() => ({{ name: "kept", async onStart(ctx) {{
  await ctx.mcp.startLocal("main", () => ({{
    listTools: () => [{{ name: "act", inputSchema: {{ type: "object" }} }}],
    callTool: async () => ({{ content: [{{ type: "text", text: "{version}" }}] }}),
  }}));
}} }}));"#
        )
    };
    plugins.hay_package("hay-plugin-kept", &["mcp"], &entry("one")).file("ballast", vec![b'x'; 256 << 10]);
    let write =
        |version: &str| fs::write(plugins.path().join("hay-plugin-kept/index.js"), entry(version)).unwrap();
    let mut server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    server.terminate().await;
    let shelf = server.data_folder().join("packages");
    let (flags, size) = (rustix::mount::MountFlags::empty(), Some(c"size=8m,mode=0700"));
    rustix::mount::mount("tmpfs", &shelf, "tmpfs", flags, size).unwrap();
    server.restart().await;
    let shown = installation(&acme, "hay-plugin-kept").await;
    assert_eq!(shown["installation"]["state"], "installed", "{shown:#}");
    let said = async || acme.call_tool("kept__act", json!({})).await.text();
    assert!(said().await.contains("one"));

    let ballast = shelf.join("ballast");
    let full = fs::write(&ballast, vec![b'x'; 16 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    write("two");
    let wait = async {
        while !acme
            .get("plugins/hay-plugin-kept")
            .await
            .expect(200)
            .text()
            .contains("no room left on the host")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the problem of the newer version");
    assert!(said().await.contains("one"), "what ran goes on");
    server.organization("The host still writes").await;

    fs::remove_file(&ballast).unwrap();
    write("three");
    let wait = async {
        while !said().await.contains("three") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the newest version, once there is room");
    server.terminate().await;
    rustix::mount::unmount(&shelf, rustix::mount::UnmountFlags::DETACH).unwrap();
}

async fn what_a_build_plants_stays_inside(setup: Setup) {
    let plugins = PluginFolder::new();
    let plant = [
        ("hay-plugin-link", "ln -s /etc/passwd dist/index.js", "dist/index.js"),
        ("hay-plugin-up", "touch dist/index.js; ln -s ../../../.. dist/up", "dist/up"),
        ("hay-plugin-pipe", "touch dist/index.js; mkfifo dist/pipe", "dist/pipe"),
        ("hay-plugin-good", "touch dist/index.js; ln -s index.js dist/link", ""),
    ];
    for (id, act, _) in plant {
        let build = json!({ "build": format!("mkdir -p dist; {act}") });
        write_plugin(&plugins.path().join(id), id, "true", "npm run build", &build);
    }
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    for (id, _, at) in plant {
        let shown = installation(&acme, id).await;
        if at.is_empty() {
            assert_eq!(shown["installation"]["state"], "installed", "{shown:#}");
        } else {
            assert_eq!(shown["installation"]["state"], "build_error", "{shown:#}");
            assert_eq!(shown["installation"]["problems"][0]["at"], at, "{shown:#}");
        }
    }
}

async fn a_package_is_what_was_looked_at(setup: Setup) {
    let plugins = PluginFolder::new();
    let folder = plugins.path().join("hay-plugin-flipping");
    let write = |side: &str| {
        fs::write(folder.join("one.txt"), side.repeat(4096)).unwrap();
        fs::write(folder.join("other.txt"), side.repeat(4096)).unwrap();
    };
    write_plugin(
        &folder,
        "hay-plugin-flipping",
        "true",
        "npm run build",
        &json!({ "build": "mkdir dist; touch dist/index.js" }),
    );
    write("a");
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let mut installed = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) || installed == 0 {
        let asking = tokio::spawn({
            let (api, path) = (acme.api.clone(), acme.path("plugins/hay-plugin-flipping"));
            async move { api.put(&path, &json!({ "enabled": true })).await }
        });
        // Somebody writes while it is looked at.
        for side in ["b", "a"] {
            write(side);
            tokio::task::yield_now().await;
        }
        asking.await.unwrap();
        let shown = installation(&acme, "hay-plugin-flipping").await;
        installed += usize::from(shown["installation"]["state"] == "installed");
    }
    for version in fs::read_dir(server.data_folder().join("packages/hay-plugin-flipping")).unwrap() {
        let version = version.unwrap().path();
        if version.is_dir() {
            let read = |name: &str| fs::read_to_string(version.join(name)).unwrap();
            assert_eq!(read("one.txt"), read("other.txt"), "half of one content and half of another");
        }
    }
}

async fn changed_versions_do_not_start(setup: Setup) {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(() => ({ name: "kept", async onStart(ctx) {
  await ctx.mcp.startLocal("main", () => ({
    listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
    callTool: async () => ({ content: [{ type: "text", text: "mine" }] }),
  }));
} }));"#;
    plugins.hay_package("hay-plugin-kept", &["mcp"], entry);
    let mut server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let shown = installation(&acme, "hay-plugin-kept").await;
    assert_eq!(shown["installation"]["state"], "installed", "{shown:#}");
    let said = async || acme.call_tool("kept__act", json!({})).await.text();
    assert!(said().await.contains("mine"));
    server.restart().await;
    assert!(said().await.contains("mine"), "a restart alone changes nothing");
    server.terminate().await;

    let file = version_of(&server, "hay-plugin-kept").join("index.js");
    let (text, times) =
        (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, text.replace("\"mine\"", "\"evil\"")).unwrap();
    // All that a program can set is as it was.
    fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();

    server.restart().await;
    let refused = said().await;
    assert!(!refused.contains("evil") && refused.contains("is not what was installed"), "{refused}");
    let shown = acme.get("plugins/hay-plugin-kept").await.expect(200).json();
    assert_eq!(shown["state"], "failed", "{shown:#}");
    let audit = acme.get("audit").await.expect(200).text();
    assert!(audit.contains("package.tampered") && audit.contains("index.js"), "{audit}");
    // Who switches it on has it installed anew, from the author's folder.
    assert_eq!(installation(&acme, "hay-plugin-kept").await["installation"]["state"], "installed");
    assert!(said().await.contains("mine"));
}

async fn what_is_removed_serves_no_more(setup: Setup) {
    let plugins = PluginFolder::new();
    let entry = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
export default defineHayPlugin(({ register }) => ({ name: "gone",
  onInitialize() { register.route("GET", "/", (_request, response) => response.send("here")); },
}));"#;
    let files = plugins.hay_package("hay-plugin-gone", &["routes"], entry);
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    assert_eq!(installation(&acme, "hay-plugin-gone").await["state"], "ready");
    let route = async || acme.route(&http::Method::GET, "hay-plugin-gone", "/", &[], "").await;
    assert_eq!(route().await.expect(200).text(), "here");

    fs::remove_dir_all(files.root()).unwrap();
    let gone = async {
        while acme.get("plugins/hay-plugin-gone").await.status != 404
            || route().await.status == 200
            || server.admin().get("/v1/workers").await.expect(200).text().contains("hay-plugin-gone")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("nothing of it serves");
    acme.put("plugins/hay-plugin-gone", &json!({ "enabled": true })).await.expect(404);
}

async fn names_and_entries_lead_nowhere(setup: Setup) {
    let plugins = PluginFolder::new();
    let good = "export default () => ({ name: 'x' });";
    plugins.hay_package("hay-plugin-first", &[], good);
    let manifest = |name: &str, entry: &str| {
        json!({
            "name": name, "version": "1.0.0", "type": "module",
            "hay-plugin": { "entry": entry, "displayName": "X", "category": "tool", "capabilities": [] },
        })
    };
    let long = "x".repeat(10_000);
    let names = [
        "../../x",
        "..",
        "",
        &long,
        "CON/../x",
        "hay-plugin-\u{0445}",
        "ui",
        "upload",
        "public",
        "a/b/c",
        "x\u{0}y",
        "%2e%2e",
    ];
    for (number, name) in names.into_iter().enumerate() {
        plugins
            .plugin(&format!("named-{number}"))
            .manifest(&manifest(name, "./index.js"))
            .file("index.js", good);
    }
    let entries = [
        "../hay-plugin-first/index.js",
        "/etc/passwd",
        "data:text/javascript,1",
        "https://example.com/x.js",
        "./out.js",
        "..\\x.js",
    ];
    for (number, entry) in entries.into_iter().enumerate() {
        let files = plugins
            .plugin(&format!("entered-{number}"))
            .manifest(&manifest(&format!("hay-plugin-entered-{number}"), entry));
        symlink("/etc/passwd", files.root().join("out.js")).unwrap();
    }
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    // Somebody else's name, in an organization's own folder.
    let stolen = plugins.path().join("custom").join(&acme.id);
    fs::create_dir_all(&stolen).unwrap();
    let other = PluginFolder::new();
    let files = other.hay_package("hay-plugin-first", &[], "export default () => ({ name: 'stolen' });");
    fs::create_dir(stolen.join("first")).unwrap();
    for name in ["package.json", "index.js"] {
        fs::copy(files.root().join(name), stolen.join("first").join(name)).unwrap();
    }
    // What is written behind it is found with it, or later.
    let own = format!("hay-plugin-{}-last", acme.id);
    let last = PluginFolder::new();
    let files = last.hay_package(&own, &[], good);
    let place = stolen.join("last");
    fs::create_dir(&place).unwrap();
    for name in ["index.js", "package.json"] {
        fs::copy(files.root().join(name), place.join(name)).unwrap();
    }
    let seen = async {
        while acme.get(&format!("plugins/{own}")).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("what lies beside it is found");
    let listed = acme.get("plugins").await.expect(200).json();
    for plugin in listed["plugins"].as_array().unwrap() {
        let id = plugin["id"].as_str().unwrap();
        let broken =
            plugin["problems"].as_array().unwrap().iter().any(|problem| problem["severity"] == "error");
        assert_eq!(broken, id != "hay-plugin-first" && id != own, "{plugin:#}");
    }
    assert_eq!(installation(&acme, "hay-plugin-first").await["isCustom"], false);
    for number in 0..entries.len() {
        let answer = acme.put(&format!("plugins/entered-{number}"), &json!({ "enabled": true })).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let kept: Vec<_> = fs::read_dir(server.data_folder().join("packages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    // Beside it the places where versions are made, and where what starts them fast lies.
    let expected = [".staging", ".starts", "hay-plugin-first", &own];
    assert!(kept.iter().all(|name| expected.iter().any(|expected| name == expected)), "{kept:?}");
}
