//! A plugin that an organization uploads: made as an archive, sent, and asked what it says.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use hayloft_testkit::{Organization, Response};
use http::Method;
use serde_json::{Value, json};
use tar::EntryType as Kind;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::harness::PATIENCE;

/// The plugin's id.
pub(crate) const ID: &str = "hay-plugin-mine";

pub(crate) async fn upload(organization: &Organization, query: &str, archive: &[u8]) -> Response {
    let mut body = b"--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n".to_vec();
    body.extend(archive);
    body.extend(b"\r\n--x--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    organization.api.send(&Method::POST, &format!("/v1/plugins/upload{query}"), &headers, body).await
}

pub(crate) fn tgz(make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    make(&mut builder);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap()
}

/// An entry with a name as it is, whatever a careful library thinks of it.
pub(crate) fn entry(
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

pub(crate) fn manifest(id: &str, version: &str, more: &Value) -> String {
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
pub(crate) fn entry_of(expression: &str) -> String {
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

pub(crate) fn good(version: &str, more: &Value, expression: &str) -> Vec<u8> {
    tgz(|builder| {
        let manifest = manifest(ID, version, more);
        entry(builder, Kind::Regular, b"package/package.json", b"", 0o644, manifest.as_bytes());
        entry(builder, Kind::Regular, b"package/index.js", b"", 0o644, entry_of(expression).as_bytes());
    })
}

pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What the tool says, once the plugin is there: on a busy machine switching it on is answered before it is.
pub(crate) async fn said(organization: &Organization) -> String {
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

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(4 * PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
