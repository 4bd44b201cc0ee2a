//! What an organization may have on the disk, and what happens when it wants more.

use std::fs;
use std::path::Path;

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::support::{text_of, until};
use crate::uploads::{packed, upload, versioned};

const MIB: usize = 1 << 20;

/// An archive of a plugin whose tool says its version, and which takes so much.
fn sized(made: &PluginFolder, id: &str, version: &str, bytes: usize) -> Vec<u8> {
    packed(&versioned(made, id, version, "").file("data.bin", vec![7; bytes]))
}

async fn show(of: &Organization, id: &str) -> Value {
    of.get(&format!("plugins/{id}")).await.expect(200).json()
}

/// How many versions of a plugin lie on the shelf.
fn versions(server: &TestServer, id: &str) -> usize {
    let seals = |folder: &Path| {
        let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == "seal")).count()
    };
    seals(&server.data_folder().join("packages").join(id))
}

#[tokio::test]
async fn an_organization_has_so_much_room_and_is_told_what_takes_it() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::builder().plugins(folder.path());
    let server = server.environment("HAYLOFT_ORGANIZATION_DISK", "6MiB").start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    upload(&acme, &sized(&made, "hay-plugin-a", "1.0.0", MIB)).await.expect(201);
    acme.enable("hay-plugin-a", json!({})).await;
    upload(&acme, &sized(&made, "hay-plugin-b", "1.0.0", 2 * MIB)).await.expect(201);

    // Two of the one and two of the other: a build that adds two more is one too many.
    let refused = acme.put("plugins/hay-plugin-b", &json!({ "enabled": true })).await.expect(422).json();
    let problem = &refused["problems"][0];
    let said = |problem: &Value, name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    assert!(said(problem, "message").contains("of the 6 MiB that it may have on the disk"), "{refused:#}");
    assert!(said(problem, "hint").contains("`hay-plugin-a`"), "{refused:#}");
    let shown = show(&acme, "hay-plugin-b").await;
    assert_eq!(shown["installation"]["state"], "install_error", "{shown:#}");
    assert_eq!(versions(&server, "hay-plugin-b"), 0);

    // So is an upload that adds two more; nobody else has less for it.
    let large = sized(&made, "hay-plugin-c", "1.0.0", 2 * MIB);
    let refused = upload(&acme, &large).await.expect(413).json();
    assert_eq!(refused["type"], "urn:hayloft:problem:over-quota", "{refused:#}");
    assert!(said(&refused, "detail").contains("of the 6 MiB that it may have on the disk"), "{refused:#}");
    assert!(said(&refused["problems"][0], "hint").contains("`hay-plugin-a` ("), "{refused:#}");
    acme.get("plugins/hay-plugin-c").await.expect(404);
    upload(&other, &large).await.expect(201);
    assert_eq!(
        fs::read_dir(server.data_folder().join("uploads")).unwrap().count(),
        0,
        "nothing is left of it"
    );
    // What is smaller than what it replaces is no more.
    upload(&acme, &sized(&made, "hay-plugin-b", "1.1.0", MIB)).await.expect(201);

    // What is removed is free, in a moment.
    acme.delete("plugins/hay-plugin-a/installation").await.expect(204);
    until("the room of what was removed", async || versions(&server, "hay-plugin-a") == 0).await;
    upload(&acme, &sized(&made, "hay-plugin-b", "1.2.0", 2 * MIB)).await.expect(201);
    acme.enable("hay-plugin-b", json!({})).await;
    assert_eq!(text_of(acme.call_tool("b__act", json!({})).await), "1.2.0");
}

#[tokio::test]
async fn versions_that_nobody_goes_back_to_make_room_and_the_one_that_runs_stays() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    let server = TestServer::builder().plugins(folder.path());
    let server = server.environment("HAYLOFT_ORGANIZATION_DISK", "5MiB").start().await;
    let acme = server.organization("Acme").await;
    let id = "hay-plugin-a";
    let said = async || text_of(acme.call_tool("a__act", json!({})).await);
    upload(&acme, &sized(&made, id, "1.0.0", MIB)).await.expect(201);
    acme.enable(id, json!({})).await;
    // Each leaves a version behind; by the third there would be no room for all of them.
    for version in ["1.1.0", "1.2.0", "1.3.0", "1.4.0"] {
        upload(&acme, &sized(&made, id, version, MIB)).await.expect(201);
        until(version, async || said().await == version).await;
    }
    assert!(versions(&server, id) <= 3, "{}", versions(&server, id));

    // One that is too large beside what runs is not made, and what runs goes on.
    upload(&acme, &sized(&made, id, "2.0.0", 5 * MIB / 2)).await.expect(201);
    until("the refusal", async || {
        let problems = show(&acme, id).await["problems"].to_string();
        problems.contains("its newer version is not used") && problems.contains("may have on the disk")
    })
    .await;
    assert_eq!(said().await, "1.4.0");
}
