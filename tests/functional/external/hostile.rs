//! Where no plugin leads the host, and servers that lead it elsewhere.

use serde_json::json;

use super::world::World;
use crate::support::{text_of, until};

#[tokio::test]
async fn hostile_addresses_and_servers_get_nowhere() {
    // Where nobody ever is told to go.
    let refused = [
        "file:///etc/passwd",
        "gopher://simple.outside.test/",
        "ftp://simple.outside.test/",
        "http://user@simple.outside.test/",
        "http://user:secret@simple.outside.test/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "https://*.outside.test/",
        "https://simple.outside.test./",
        "javascript:alert(1)",
    ];
    // Where the plugin may not go.
    let denied = [
        ("host", "https://other.outside.test/", "may not be reached"),
        ("port", "http://simple.outside.test:22/", "not at this port"),
        ("metadata", "http://metadata.google.internal/", "may not be reached"),
    ];
    // Servers that lead elsewhere, or drown who listens.
    let metadata = "http%3A%2F%2F169.254.169.254%2Flatest";
    let own = "http%3A%2F%2Fapi.outside.test%2F";
    let served = [
        ("meta", format!("http://simple.outside.test/redirect/{metadata}"), "redirects to"),
        ("granted", format!("http://simple.outside.test/redirect/{own}"), "redirects to"),
        ("huge", String::from("http://simple.outside.test/huge"), "longer than"),
    ];
    let external: Vec<_> = denied
        .iter()
        .map(|(id, url, _)| (*id, (*url).to_owned()))
        .chain(served.iter().map(|(id, url, _)| (*id, url.clone())))
        .chain([("good", String::from("http://simple.outside.test/mcp"))])
        .collect();
    let world = World::start(&format!(
        "const said = [];
         for (const url of {}) await mcp.startExternal({{ id: 'hostile', url }}).then(() => said.push(url), () => undefined);
         logger.info('taken: ' + JSON.stringify(said));
         for (const [id, url] of {}) await mcp.startExternal({{ id, url }});",
        json!(refused),
        json!(external)
    ))
    .await;
    let detail = world.enable().await;
    assert_eq!(detail["state"], "ready", "{detail:#}");
    assert!(world.logs().await.contains("taken: []"), "{}", world.logs().await);
    world.until_listed("headers").await;
    text_of(world.call("headers", json!({})).await);
    let reasons = denied
        .iter()
        .map(|(id, _, reason)| (*id, *reason))
        .chain(served.iter().map(|(id, _, reason)| (*id, *reason)));
    for (id, reason) in reasons {
        let wanted = format!("the reason of `{id}`: {reason}");
        until(&wanted, async || world.last_error(id).await.contains(reason)).await;
    }
    let trail = world.acme.get("audit?limit=1000").await.expect(200).json();
    let told = |host: &str| {
        trail["entries"].as_array().unwrap().iter().any(|entry| {
            entry["action"] == "network.refused"
                && entry["detail"]["host"] == host
                && entry["detail"]["server"].is_string()
        })
    };
    assert!(told("other.outside.test") && told("metadata.google.internal"), "{trail:#}");
}
