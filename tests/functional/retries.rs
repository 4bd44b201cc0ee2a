//! A newer version that could not be brought into service for a reason of the host, or because the registry was down, is
//! tried again by itself; what is its own fault is not, until somebody wants that.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::packages::{PATIENCE, installed, with_registry};
use crate::support::{listed, one_tool, text_of, until_within};
use crate::uploads::{packed, upload, versioned};

const ID: &str = "hay-plugin-mine";

async fn said(of: &Organization) -> String {
    listed(of, "mine__act").await;
    text_of(of.call_tool("mine__act", json!({})).await)
}

async fn problems(of: &Organization) -> String {
    of.get(&format!("plugins/{ID}")).await.expect(200).json()["problems"].to_string()
}

/// Puts a version into a folder that is watched, in one step.
fn place(plugins: &PluginFolder, made: &PluginFolder, id: &str, version: &str, dependencies: &Value) {
    let server = one_tool(&format!("return {{ content: [{{ type: 'text', text: '{version}' }}] }};"));
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\n\
         export default defineHayPlugin(() => ({{ name: 'mine', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({server})); }} }}));"
    );
    let files = made.plugin(version).file("index.js", entry).manifest(&json!({
        "name": id, "version": version, "type": "module", "dependencies": dependencies,
        "hay-plugin": { "entry": "./index.js", "displayName": "Mine", "category": "tool", "capabilities": ["mcp"] },
    }));
    let place = plugins.path().join(id);
    if place.exists() {
        fs::rename(&place, made.path().join(format!("before-{version}"))).unwrap();
    }
    fs::rename(files.root(), place).unwrap();
}

/// A registry that has one package, `dep`.
fn serve(address: SocketAddr) {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in [("package.json", r#"{"name":"dep","version":"1.0.0"}"#), ("index.js", "")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("package/{name}"), text.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let tarball = format!("http://registry.test:{}/dep/-/dep-1.0.0.tgz", address.port());
    let version = json!({ "name": "dep", "version": "1.0.0", "dist": { "tarball": tarball } });
    let packument =
        json!({ "name": "dep", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version } });
    let packument = packument.to_string().into_bytes();
    let listener = TcpListener::bind(address).unwrap();
    // It ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (archive, packument) = (archive.clone(), packument.clone());
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let body = if head.windows(4).any(|window| window == b".tgz") { archive } else { packument };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let written = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&body));
                // npm may have gone away.
                drop(written);
            });
        }
    });
}

#[tokio::test]
async fn a_newer_version_is_fetched_when_the_registry_is_back() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    place(&plugins, &made, ID, "1.0.0", &json!({}));
    // Nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = with_registry()
        .environment("HAYLOFT_REGISTRY", &format!("http://registry.test:{}/", address.port()))
        .environment("HAYLOFT_REGISTRY_ADDRESS", &format!("registry.test:{}={address}", address.port()))
        .plugins(plugins.path())
        .start()
        .await;
    let acme = server.organization("Acme").await;
    installed(&acme, ID).await;
    assert_eq!(said(&acme).await, "1.0.0");
    place(&plugins, &made, ID, "2.0.0", &json!({ "dep": "1.0.0" }));
    until_within(PATIENCE, "what is said of the registry", async || {
        let problems = problems(&acme).await;
        problems.contains("is tried again by itself") && problems.contains("cannot be reached")
    })
    .await;
    assert_eq!(said(&acme).await, "1.0.0");

    serve(address);
    until_within(PATIENCE, "the newer version", async || said(&acme).await == "2.0.0").await;
    assert!(!problems(&acme).await.contains("newer version"));
}

/// Where the host makes the folders of workers.
fn scratch(server: &TestServer) -> std::path::PathBuf {
    server.data_folder().join("scratch")
}

fn exchange(one: &Path, other: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
}

#[tokio::test]
async fn a_newer_version_that_the_host_could_not_start_is_tried_again() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::builder().plugins(plugins.path()).warm_pool("0").start().await;
    let acme = server.organization("Acme").await;
    upload(&acme, &packed(&versioned(&made, ID, "1.0.0", ""))).await.expect(201);
    acme.enable(ID, json!({})).await;
    assert_eq!(said(&acme).await, "1.0.0");

    // Where workers' folders are made there is a file now.
    let aside = server.data_folder().join("scratch-aside");
    fs::write(&aside, "").unwrap();
    exchange(&scratch(&server), &aside);
    upload(&acme, &packed(&versioned(&made, ID, "2.0.0", ""))).await.expect(201);
    until_within(PATIENCE, "what is said of the host", async || {
        problems(&acme).await.contains("is tried again by itself")
    })
    .await;
    assert_eq!(said(&acme).await, "1.0.0");
    exchange(&scratch(&server), &aside);
    until_within(PATIENCE, "the newer version", async || said(&acme).await == "2.0.0").await;
    assert!(!problems(&acme).await.contains("newer version"));
}

#[tokio::test]
async fn what_is_its_own_fault_is_tried_again_when_somebody_wants_it() {
    let (plugins, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::builder().plugins(plugins.path()).start().await;
    let acme = server.organization("Acme").await;
    upload(&acme, &packed(&versioned(&made, ID, "1.0.0", ""))).await.expect(201);
    acme.enable(ID, json!({})).await;
    let bad = versioned(&made, ID, "2.0.0", "").file("index.js", "throw new Error('broken for good');");
    let bad = packed(&bad);
    upload(&acme, &bad).await.expect(201);
    let is_said = async || problems(&acme).await.contains("its newer version is not used: ");
    until_within(PATIENCE, "what is wrong with it", is_said).await;
    let asked = || server.stderr().matches("a newer version of the plugin cannot be used").count();
    let before = asked();

    // Nobody asks it again because something else changes …
    upload(&acme, &packed(&versioned(&made, "hay-plugin-other", "1.0.0", ""))).await.expect(201);
    place(&plugins, &made, "hay-plugin-shared", "7.0.0", &json!({}));
    until_within(PATIENCE, "the change in the folder", async || {
        acme.get("plugins/hay-plugin-shared").await.status == 200
    })
    .await;
    assert_eq!(asked(), before);
    // … and it is when it is uploaded once more.
    assert_eq!(upload(&acme, &bad).await.expect(200).json()["unchanged"], true);
    until_within(PATIENCE, "another attempt", async || asked() > before).await;
    assert_eq!(said(&acme).await, "1.0.0");
}
