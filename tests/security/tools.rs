//! Tools beside tools: nobody answers under another plugin's name.

use std::collections::BTreeSet;

use hayloft_testkit::{Organization, PluginFolder};
use serde_json::json;

use crate::harness::Setup;

/// Adds a plugin whose tools say which plugin answered, and for which of its tools.
fn plugin(folder: &PluginFolder, id: &str, tools: &[&str]) {
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';
         export default defineHayPlugin(() => ({{ name: '{id}', onStart: ({{ mcp }}) => mcp.startLocal('main', () => ({{
           listTools: () => {tools}.map((name) => ({{ name, inputSchema: {{ type: 'object' }} }})),
           callTool: (name) => `{id}: ${{name}}`,
         }})) }}));",
        tools = json!(tools),
    );
    folder.hay_package(id, &["mcp"], &entry);
}

/// Every tool's public name, and what it answers.
async fn answers(organization: &Organization) -> Vec<(String, String)> {
    let listed =
        organization.api.get(&format!("/v1/orgs/{}/tools", organization.id)).await.expect(200).json();
    let names: Vec<String> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    let mut answers = Vec::new();
    for name in names {
        let result = organization.call_tool(&name, json!({})).await.expect(200).json();
        answers.push((name, result["content"][0]["text"].as_str().unwrap().to_owned()));
    }
    answers.sort();
    answers
}

#[tokio::test]
async fn a_name_stays_with_the_tool_that_had_it_first() {
    let plugins = PluginFolder::new();
    plugin(&plugins, "hay-plugin-shop", &["pay", "pay__now"]);
    // The same slug by another prefix, a slug that runs on into the tool's name, letters that look the same, names that
    // mean something to JavaScript, and one that looks like a name that was given because another was taken.
    plugin(&plugins, "hay-channel-shop", &["pay", "p\u{430}y", "pay_2"]);
    plugin(&plugins, "hay-plugin-shop--pay", &["now"]);
    plugin(&plugins, "hay-plugin-shop-", &["_pay", "__proto__", "constructor"]);
    let mut server = Setup::Strongest.server(&plugins).start().await;
    let organization = server.organization("acme").await;
    organization.enable("hay-plugin-shop", json!({})).await;
    let before = answers(&organization).await;
    let expected =
        ["pay", "pay__now"].map(|tool| (format!("shop__{tool}"), format!("hay-plugin-shop: {tool}")));
    assert_eq!(before, expected);

    for other in ["hay-channel-shop", "hay-plugin-shop--pay", "hay-plugin-shop-"] {
        organization.enable(other, json!({})).await;
    }
    let together = answers(&organization).await;
    assert!(before.iter().all(|answer| together.contains(answer)), "{together:?}");
    let names: BTreeSet<_> = together.iter().map(|(name, _)| name).collect();
    let owners: BTreeSet<_> = together.iter().map(|(_, answer)| answer).collect();
    assert_eq!((together.len(), names.len(), owners.len()), (9, 9, 9), "{together:?}");
    let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    assert!(names.into_iter().all(plain), "{together:?}");

    server.restart().await;
    assert_eq!(answers(&organization).await, together, "names are kept");
}
