//! Archives from strangers, and plugins that organizations bring along, exchange, outgrow and remove.

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder, Response};
use http::Method;
use serde_json::{Value, json};
use tar::EntryType as Kind;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::harness::{PATIENCE, Setup, canary};

in_setups!(strongest Strongest, ordinary Ordinary:
    archives_that_lead_out_or_lie_are_refused,
    bombs_do_not_go_off,
    uploads_and_removals_at_the_same_time_leave_one_or_none,
    what_is_uninstalled_is_gone,
    what_a_newer_version_asks_for_is_withheld,
    keys_of_prototypes_are_inert
);
in_setups!(named Strongest: an_upload_takes_over_nothing);

const ID: &str = "hay-plugin-mine";

async fn upload(organization: &Organization, query: &str, archive: &[u8]) -> Response {
    let mut body = b"--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n".to_vec();
    body.extend(archive);
    body.extend(b"\r\n--x--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    organization.api.send(&Method::POST, &format!("/v1/plugins/upload{query}"), &headers, body).await
}

fn tgz(make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    make(&mut builder);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap()
}

/// An entry with a name as it is, whatever a careful library thinks of it.
fn entry(
    builder: &mut tar::Builder<Vec<u8>>,
    kind: Kind,
    name: &[u8],
    target: &[u8],
    mode: u32,
    text: &[u8],
) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(text.len() as u64);
    let raw = header.as_old_mut();
    raw.name[..name.len()].copy_from_slice(name);
    raw.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    builder.append(&header, text).unwrap();
}

fn manifest(id: &str, version: &str, more: &Value) -> String {
    let mut manifest = json!({
        "name": id, "version": version, "type": "module",
        "hay-plugin": {
            "entry": "./index.js", "displayName": "Mine", "category": "tool",
            "capabilities": ["mcp", "routes", "config"], "env": [],
        },
    });
    manifest["hay-plugin"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest.to_string()
}

/// A plugin whose tool `act` gives the value of an expression, and whose route `/` is there.
fn entry_of(expression: &str) -> String {
    format!(
        r#"import {{ defineHayPlugin }} from "@hay/plugin-sdk";
import dns from "node:dns/promises";
export default defineHayPlugin(({{ register }}) => ({{ name: "mine",
  onInitialize() {{
    register.config({{ any: {{ type: "json" }} }});
    register.route("POST", "/", (request, response) => response.json({{ polluted: String(({{}}).polluted) }}));
  }},
  async onStart({{ config, mcp }}) {{
    await mcp.startLocal("main", () => ({{
      listTools: () => [{{ name: "act", inputSchema: {{ type: "object" }} }}],
      callTool: async (_name, args) => ({{ content: [{{ type: "text", text: String(await ({expression})) }}] }}),
    }}));
  }},
}}));"#
    )
}

fn good(version: &str, more: &Value, expression: &str) -> Vec<u8> {
    tgz(|builder| {
        let manifest = manifest(ID, version, more);
        entry(builder, Kind::Regular, b"package/package.json", b"", 0o644, manifest.as_bytes());
        entry(builder, Kind::Regular, b"package/index.js", b"", 0o644, entry_of(expression).as_bytes());
    })
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => {
                    all.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
                }
                _ => all.push((entry.path().display().to_string(), Vec::new())),
            }
        }
    }
    all.sort();
    all
}

/// What the tool says, once the plugin is there: on a busy machine switching it on is answered before it is.
async fn said(organization: &Organization) -> String {
    let mut answer = organization.call_tool("mine__act", json!({})).await;
    until("the tool", async || {
        if answer.status == 404 {
            answer = organization.call_tool("mine__act", json!({})).await;
        }
        answer.status != 404
    })
    .await;
    let answer = answer.expect(200).json();
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(4 * PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

async fn archives_that_lead_out_or_lie_are_refused(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let canary = server.folder().join("canary");
    fs::write(&canary, "precious").unwrap();
    let text = manifest(ID, "1.0.0", &json!({}));
    let code = entry_of("1");
    let with = |more: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        tgz(|builder| {
            entry(builder, Kind::Regular, b"package/package.json", b"", 0o644, text.as_bytes());
            entry(builder, Kind::Regular, b"package/index.js", b"", 0o644, code.as_bytes());
            more(builder);
        })
    };
    let mut evil: Vec<(String, Vec<u8>)> = Vec::new();
    let out = canary.display().to_string();
    let names: [&[u8]; 12] = [
        b"../../../../canary",
        b"package/../../../../../canary",
        out.as_bytes(),
        b"./..//canary",
        b"C:canary",
        b"..\\canary",
        b"package/x\ny",
        b"package/\x1b[2J",
        b"\xc0\xae\xc0\xae/canary",
        b"..\xc0\xaf..\xc0\xafcanary",
        b"package/x.",
        b"package/x ",
    ];
    for name in names {
        let shown = String::from_utf8_lossy(name).into_owned();
        evil.push((shown, with(&|builder| entry(builder, Kind::Regular, name, b"", 0o644, b"evil"))));
    }
    let links: [(Kind, &[u8], &[u8]); 7] = [
        (Kind::Symlink, b"package/x", b"/etc/passwd"),
        (Kind::Symlink, b"package/x", b"../../../../canary"),
        (Kind::Symlink, b"package/x", b""),
        (Kind::Link, b"package/x", b"/etc/passwd"),
        (Kind::Link, b"package/x", b"package/index.js"),
        (Kind::Char, b"package/x", b""),
        (Kind::Fifo, b"package/x", b""),
    ];
    for (kind, name, target) in links {
        let shown = format!("{kind:?} to {}", String::from_utf8_lossy(target));
        evil.push((shown, with(&|builder| entry(builder, kind, name, target, 0o777, b""))));
    }
    evil.push((
        "a file through a link".into(),
        with(&|builder| {
            entry(builder, Kind::Symlink, b"package/out", b"../../../..", 0o777, b"");
            entry(builder, Kind::Regular, b"package/out/canary", b"", 0o644, b"evil");
        }),
    ));
    for twin in ["package/package.json", "package/Package.json", "package/./package.json"] {
        let twice = with(&|builder| entry(builder, Kind::Regular, twin.as_bytes(), b"", 0o644, b"{}"));
        evil.push((format!("twice {twin}"), twice));
    }
    let whole = good("1.0.0", &json!({}), "1");
    evil.push(("an archive behind its end".into(), [&whole[..], &whole[..]].concat()));
    let zipped = zip(&[("package.json", text.as_bytes()), ("index.js", code.as_bytes())]);
    let mut differing = zipped.clone();
    differing[30] = b'q';
    evil.push(("two names in a zip".into(), differing));
    let mut two_ends = zipped.clone();
    let end = zipped.len() - 22;
    two_ends[end + 20] = 22;
    two_ends.extend(&zipped[end..]);
    evil.push(("two ends in a zip".into(), two_ends));
    evil.push(("a zip behind a zip".into(), [&zipped[..], &zipped[..]].concat()));
    evil.push(("a zip that leads out".into(), zip(&[("package.json", b"{}"), ("../../canary", b"evil")])));
    evil.push(("nothing".into(), Vec::new()));
    let before = tree(&server.data_folder().join("plugins"));
    for (what, archive) in evil {
        let refused = upload(&acme, "", &archive).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        assert!(!refused.text().contains(server.data_folder().to_str().unwrap()), "{}", refused.text());
        assert_eq!(fs::read_to_string(&canary).unwrap(), "precious", "{what}");
        assert_eq!(tree(&server.data_folder().join("plugins")), before, "{what}");
        assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0, "{what}");
    }
    // Special rights are no part of what is kept; the rest of such an archive is fine, and so are both kinds.
    let rights = with(&|builder| entry(builder, Kind::Regular, b"package/run", b"", 0o6777, b"#!/bin/sh"));
    upload(&acme, "", &rights).await.expect(201);
    let place = server.data_folder().join("plugins/custom").join(&acme.id).join(ID);
    assert_eq!(fs::metadata(place.join("run")).unwrap().permissions().mode() & 0o7777, 0o755);
    let other = server.organization("Other").await;
    upload(&other, "", &zipped).await.expect(201);
}

async fn bombs_do_not_go_off(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let zeros = vec![0_u8; 24 << 20];
    let large = {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_ustar();
        header.set_size(zeros.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, "package/zeros", &zeros[..]).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    };
    let zipped = zip(&[("zeros", &zeros)]);
    let nested = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&large).unwrap();
        encoder.finish().unwrap()
    };
    let many = tgz(|builder| {
        for number in 0..60_000 {
            entry(builder, Kind::Regular, format!("package/{number}").as_bytes(), b"", 0o644, b"");
        }
    });
    for (what, bomb) in [("large", large), ("zip", zipped), ("nested", nested), ("many", many)] {
        let refused = upload(&acme, "", &bomb).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0, "{what}");
    }
    upload(&acme, "", &good("1.0.0", &json!({}), "1")).await.expect(201);
}

async fn an_upload_takes_over_nothing(setup: Setup) {
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-shared", &[], "export default () => ({ name: 'shared' });");
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("hayloft.toml");
    let granted = "[network.private]\nhay-plugin-trusted = [\"db.internal:5432=10.0.0.5\"]\n";
    fs::write(&configuration, granted).unwrap();
    let server =
        setup.server(&plugins).environment("HAYLOFT_CONFIG", configuration.to_str().unwrap()).start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let named = |name: &str, version: &str| {
        let text = manifest(name, version, &json!({}));
        zip(&[("package.json", text.as_bytes()), ("index.js", entry_of("1").as_bytes())])
    };
    let long = "x".repeat(10_000);
    for name in [
        "../../x",
        "..",
        "",
        &long,
        "CON/../x",
        "hay-plugin-\u{445}",
        "ui",
        "upload",
        "public",
        "a/b/c",
        "x\u{0}y",
        "%2e%2e",
    ] {
        let refused = upload(&acme, "", &named(name, "1.0.0")).await;
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
    }
    for version in ["", "1", "../1", "1.0.0/../..", "latest"] {
        let refused = upload(&acme, "", &named(ID, version)).await;
        assert_eq!(refused.status, 422, "{version:?}: {}", refused.text());
    }
    upload(&acme, "", &named("hay-plugin-shared", "99.0.0")).await.expect(409);
    let reserved = upload(&acme, "", &named("hay-plugin-trusted", "1.0.0")).await.expect(409);
    assert!(reserved.text().contains("id-reserved"), "{}", reserved.text());
    upload(&acme, "", &good("2.0.0", &json!({}), "2")).await.expect(201);
    upload(&acme, "", &good("2.0.0", &json!({}), "'other content'")).await.expect(409);
    let older = good("1.0.0", &json!({}), "1");
    upload(&acme, "", &older).await.expect(409);
    upload(&acme, "?allowDowngrade=true", &older).await.expect(201);
    assert!(acme.get("audit").await.expect(200).text().contains(r#""downgrade":true"#));
    // Whatever others have under the name is theirs.
    upload(&other, "", &good("1.0.0", &json!({}), "'theirs'")).await.expect(201);
    acme.enable(ID, json!({})).await;
    other.enable(ID, json!({})).await;
    assert_eq!((said(&acme).await, said(&other).await), ("1".into(), "theirs".into()));
    other.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    assert_eq!(said(&acme).await, "1");
}

async fn uploads_and_removals_at_the_same_time_leave_one_or_none(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let versions: Vec<Vec<u8>> =
        (1..=3).map(|number| good(&format!("{number}.0.0"), &json!({}), &number.to_string())).collect();
    let id = format!("plugins/{ID}");
    let installation = format!("{id}/installation");
    let place = server.data_folder().join("plugins/custom").join(&acme.id).join(ID);
    for round in 0..100 {
        let query = "?allowDowngrade=true";
        let enable = json!({ "enabled": true });
        let (one, other, on, off) = tokio::join!(
            upload(&acme, query, &versions[round % 3]),
            upload(&acme, query, &versions[(round + 1) % 3]),
            async { if round % 10 == 0 { Some(acme.put(&id, &enable).await) } else { None } },
            acme.delete(&installation),
        );
        for uploaded in [one, other] {
            assert!([200, 201].contains(&uploaded.status.as_u16()), "{}", uploaded.text());
        }
        assert!(on.is_none_or(|on| [200, 202, 404, 422].contains(&on.status.as_u16())));
        assert!([204, 404].contains(&off.status.as_u16()), "{}", off.text());
        let shown = acme.get(&id).await;
        match shown.status.as_u16() {
            200 => {
                let manifest: Value =
                    serde_json::from_slice(&fs::read(place.join("package.json")).unwrap()).unwrap();
                let current =
                    async || acme.get(&id).await.expect(200).json()["version"] == manifest["version"];
                until("what is shown to be what is there", current).await;
            }
            404 => assert!(!place.exists()),
            status => panic!("{status}: {}", shown.text()),
        }
    }
    acme.delete(&installation).await;
    let kept = server.data_folder().join("packages").join(ID);
    until("all of it to be gone", async || !place.exists() && !kept.exists()).await;
    assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0);
}

async fn what_is_uninstalled_is_gone(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    // Its tool leaves processes behind that listen to nobody.
    let mark = canary("escaped");
    let escape = format!(
        r#"import("node:child_process").then(({{ spawn }}) => {{
          const code = "process.on('SIGTERM', () => {{}}); process.on('SIGHUP', () => {{}}); setInterval(() => {{}}, 1000)";
          for (const detached of [true, false])
            spawn(process.execPath, ["-e", code, "{mark}"], {{ detached, stdio: "ignore", env: {{}} }}).unref();
          return "here";
        }})"#
    );
    let escaped = || Process::all().into_iter().filter(|process| process.command.contains(&mark)).count();
    upload(&acme, "", &good("1.0.0", &json!({}), &escape)).await.expect(201);
    acme.enable(ID, json!({ "any": { "kept": true } })).await;
    assert_eq!(said(&acme).await, "here");
    until("both processes", async || escaped() >= 2).await;
    let route = async || acme.route(&Method::POST, ID, "/", &[], "").await;
    route().await.expect(200);
    let workers = async || server.admin().get("/v1/workers").await.expect(200).text();
    assert!(workers().await.contains(ID));

    acme.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    // It has answered, so all of that is so already.
    assert_eq!(escaped(), 0, "processes outlived the plugin");
    route().await.expect(404);
    acme.call_tool("mine__act", json!({})).await.expect(404);
    assert!(!acme.get("tools").await.expect(200).text().contains("mine__act"));
    assert!(!workers().await.contains(ID));
    for below in ["", "/logs", "/metadata", "/installation/log", "/installation/events"] {
        acme.get(&format!("plugins/{ID}{below}")).await.expect(404);
    }
    acme.put(&format!("plugins/{ID}"), &json!({ "enabled": true })).await.expect(404);
    acme.post(&format!("plugins/{ID}/permissions"), &json!({ "permissions": [] })).await.expect(404);
    let kept = server.data_folder().join("packages").join(ID);
    until("its versions to be gone", async || !kept.exists()).await;
    let own = server.data_folder().join("plugins/custom").join(&acme.id);
    assert_eq!(fs::read_dir(own).unwrap().count(), 0);

    // What was saved is kept, and what was granted is not.
    upload(&acme, "", &good("1.0.0", &json!({}), "'here'")).await.expect(201);
    let back = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    assert_eq!((&back["enabled"], &back["grantedPermissions"]), (&json!(false), &json!([])), "{back:#}");
    assert_eq!(acme.enable(ID, json!({})).await["config"]["any"], json!({ "kept": true }));
    acme.delete(&format!("plugins/{ID}/installation?purge=true")).await.expect(204);
    upload(&acme, "", &good("1.0.0", &json!({}), "'here'")).await.expect(201);
    assert_eq!(acme.enable(ID, json!({})).await["config"]["any"], json!(null));
}

async fn what_a_newer_version_asks_for_is_withheld(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup
        .server(&plugins)
        .environment("FIRST_NAME", "first")
        .environment("SECOND_NAME", "second")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let has = "[process.env.FIRST_NAME, process.env.SECOND_NAME, ...(await Promise.all(['one.test', 'two.test'].map(\
        (name) => dns.lookup(name).then(() => name, (error) => error.code))))].join()";
    let asking = |env: &[&str], hosts: &[&str]| json!({ "env": env, "network": hosts });
    let first = good("1.0.0", &asking(&["FIRST_NAME"], &["one.test"]), &format!("(async () => {has})()"));
    let answer = upload(&acme, "", &first).await.expect(201).json();
    let pending = |of: &Value| -> Vec<String> {
        let list = of["pendingPermissions"].as_array().unwrap().iter();
        list.map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["name"].as_str().unwrap()))
            .collect()
    };
    assert!(pending(&answer["plugin"]).contains(&"network one.test:443".to_owned()), "{answer:#}");
    let enabled = acme.enable(ID, json!({})).await;
    assert!(pending(&enabled).is_empty(), "who switches it on grants what it asks for: {enabled:#}");
    assert!(enabled["grantedPermissions"].to_string().contains("one.test:80"), "{enabled:#}");
    let before = "first,,one.test,ENOTFOUND";
    assert_eq!(said(&acme).await, before);

    let more = asking(&["FIRST_NAME", "SECOND_NAME"], &["one.test", "two.test"]);
    let second = good("2.0.0", &more, &format!("(async () => {has})()"));
    upload(&acme, "", &second).await.expect(201);
    let shown = async || acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    until("the newer version", async || shown().await["version"] == "2.0.0").await;
    until("its worker", async || shown().await["state"] == "ready").await;
    assert_eq!(said(&acme).await, before, "the newer version has what the older one was granted");
    let expected =
        ["environment SECOND_NAME", "network two.test:443", "network two.test:80"].map(String::from);
    assert_eq!(pending(&shown().await), expected);
    // It is shown before all organizations that have it were told.
    until("the question in the trail", async || {
        let trail = acme.get("audit").await.expect(200).json();
        let mut entries = trail["entries"].as_array().unwrap().iter();
        entries.any(|entry| {
            entry["action"] == "permissions.asked" && entry["detail"].to_string().contains("two.test")
        })
    })
    .await;
    // Neither saving settings nor a restart of the worker grants anything.
    acme.enable(ID, json!({ "any": 1 })).await;
    assert_eq!(said(&acme).await, before);

    let grant = async |organization: &Organization, permissions: Value| {
        let body = json!({ "permissions": permissions });
        organization.post(&format!("plugins/{ID}/permissions"), &body).await
    };
    let member = acme.create_token("member").await;
    let as_member = Organization { api: server.api(Some(&member)), ..acme.clone() };
    let name = json!([{ "kind": "environment", "name": "SECOND_NAME" }]);
    grant(&as_member, name.clone()).await.expect(403);
    let stranger = json!([{ "kind": "network", "name": "three.test:443" }]);
    let refused = grant(&acme, stranger).await.expect(422).json();
    assert_eq!(refused["problems"][0]["at"], "permissions.0", "{refused:#}");
    assert_eq!(said(&acme).await, before);
    let granted = grant(&acme, name).await.expect(200).json();
    assert_eq!(pending(&granted), expected[1..]);
    assert_eq!(said(&acme).await, "first,second,one.test,ENOTFOUND");
    grant(&acme, granted["pendingPermissions"].clone()).await.expect(200);
    assert_eq!(said(&acme).await, "first,second,one.test,two.test");
}

async fn keys_of_prototypes_are_inert(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let polluting = r#"{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}"#;
    // In the manifest.
    for place in [r#""hay-plugin":{"#, r#"{"name""#] {
        let text = manifest(ID, "1.0.0", &json!({}));
        let (before, after) = text.split_once(place).unwrap();
        let key = r#""__proto__":{"polluted":"yes"},"#;
        let evil = match place.strip_prefix('{') {
            Some(rest) => format!("{before}{{{key}{rest}{after}"),
            None => format!("{before}{place}{key}{after}"),
        };
        let archive = zip(&[("package.json", evil.as_bytes()), ("index.js", entry_of("1").as_bytes())]);
        let refused = upload(&acme, "", &archive).await;
        assert_eq!(refused.status, 422, "{evil}: {}", refused.text());
        assert!(refused.text().contains("__proto__"), "{}", refused.text());
    }
    let expression =
        "[typeof ({}).polluted, typeof [].polluted, JSON.stringify(args ?? null).length > 0].join()";
    upload(&acme, "", &good("1.0.0", &json!({}), expression)).await.expect(201);
    acme.enable(ID, json!({})).await;
    // In settings, at the top and inside.
    for config in
        [polluting.to_owned(), format!(r#"{{"any":{polluting}}}"#), format!(r#"{{"any":[{polluting}]}}"#)]
    {
        let body = format!(r#"{{"config":{config}}}"#);
        let headers = [("content-type", "application/json")];
        let path = acme.path(&format!("plugins/{ID}"));
        let refused = acme.api.send(&Method::PUT, &path, &headers, body).await;
        assert_eq!(refused.status, 422, "{config}: {}", refused.text());
    }
    // A name that is only odd is a name: it does nothing in the worker.
    acme.enable(ID, json!({ "any": { "constructor": { "prototype": { "polluted": "yes" } } } })).await;
    assert_eq!(said(&acme).await, "undefined,undefined,true");
    // In what a tool is given, and in what a provider sends.
    let headers = [("content-type", "application/json")];
    let body = format!(r#"{{"arguments":{polluting}}}"#);
    let path = acme.path("tools/mine__act/call");
    let called = acme.api.send(&Method::POST, &path, &headers, body).await;
    assert!(!called.text().contains("string"), "{}", called.text());
    let answered = acme.route(&Method::POST, ID, "/", &headers, polluting.to_owned()).await.expect(200);
    assert_eq!(answered.json()["polluted"], "undefined");
    assert_eq!(said(&acme).await, "undefined,undefined,true");
}
