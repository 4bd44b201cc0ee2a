//! What an author saves while the host runs: it serves within a moment and nobody who calls feels it, or it is kept out
//! and the author reads why.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::{Value, json};

use crate::packages::{installed, server};
use crate::support::{mcp_plugin, one_tool, text_of, until};

const LIVE: &str = "plugins/hay-plugin-live";

/// An entry whose tool `act` gives what `words.js` beside it exports.
fn live_plugin(folder: &PluginFolder, words: &str) {
    mcp_plugin(folder, "hay-plugin-live", &one_tool("return words();"));
    let entry = folder.path().join("hay-plugin-live/index.js");
    let imported = fs::read_to_string(&entry).unwrap();
    fs::write(&entry, format!("import {{ words }} from './words.js';\n{imported}")).unwrap();
    save(folder.path(), words);
}

/// Saves as editors do: a new file takes the old one's name.
fn save(folder: &Path, words: &str) {
    let root = folder.join("hay-plugin-live");
    fs::write(root.join(".words.js~"), words).unwrap();
    fs::rename(root.join(".words.js~"), root.join("words.js")).unwrap();
}

fn saying(word: &str) -> String {
    format!("export const words = () => '{word}';\n")
}

async fn problems(acme: &Organization) -> Vec<Value> {
    acme.get(LIVE).await.expect(200).json()["problems"].as_array().unwrap().clone()
}

async fn logs(acme: &Organization) -> String {
    acme.get(&format!("{LIVE}/logs?tail=500")).await.expect(200).text()
}

#[tokio::test]
async fn saved_code_serves_and_no_call_is_lost() {
    let (plugins, work) = (PluginFolder::new(), PluginFolder::new());
    live_plugin(&work, &saying("0"));
    // Authors link what they work on into place.
    symlink(work.path().join("hay-plugin-live"), plugins.path().join("hay-plugin-live")).unwrap();
    let server = TestServer::start(plugins.path()).await;
    let organizations = [server.organization("One").await, server.organization("Two").await];
    for organization in &organizations {
        organization.enable("hay-plugin-live", json!({})).await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (organization, over) = (organizations[number % 2].clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut heard: Vec<u32> = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let answer = organization.call_tool("live__act", json!({})).await;
                    heard.push(text_of(answer).parse().unwrap());
                }
                heard
            })
        })
        .collect();
    for edit in 1..=3 {
        save(work.path(), &saying(&edit.to_string()));
        for organization in &organizations {
            until("the edit to serve", async || {
                text_of(organization.call_tool("live__act", json!({})).await) == edit.to_string()
            })
            .await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        let heard = caller.await.expect("every call was answered");
        assert!(heard.is_sorted(), "what was replaced came back: {heard:?}");
        assert_eq!((heard.first(), heard.last()), (Some(&0), Some(&3)), "{heard:?}");
    }
    for organization in &organizations {
        until("the last line about it", async || logs(organization).await.matches(" serves, ").count() == 3)
            .await;
        let logs = logs(organization).await;
        let told = logs.match_indices(" serves, ").map(|(at, _)| &logs[at..]).map(|rest| {
            let words: Vec<_> = rest.split_whitespace().take(13).collect();
            eprintln!("{}", words.join(" "));
            words[1].parse::<f64>().unwrap_or_else(|_| panic!("{rest}"))
        });
        let told: Vec<_> = told.collect();
        // How long it takes depends on the machine; what is told is no nonsense.
        assert!(told.iter().all(|seconds| (0.1..60.0).contains(seconds)), "{logs}");
    }
    until("the replaced workers to end", async || {
        server.admin().get("/v1/workers").await.json()["workers"].as_array().unwrap().len() == 2
    })
    .await;
}

#[tokio::test]
async fn what_is_away_for_a_moment_is_not_gone() {
    let folder = PluginFolder::new();
    live_plugin(&folder, &saying("before"));
    let server = TestServer::start(folder.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-live", json!({})).await;
    let said = async || text_of(acme.call_tool("live__act", json!({})).await);
    assert_eq!(said().await, "before");
    // As a checkout does: what it writes anew is away first.
    let manifest = folder.path().join("hay-plugin-live/package.json");
    let away = folder.path().join("package.json");
    fs::rename(&manifest, &away).unwrap();
    server.logged("it is looked for").await;
    assert_eq!(said().await, "before");
    save(folder.path(), &saying("after"));
    fs::rename(&away, &manifest).unwrap();
    until("the newer one to serve", async || said().await == "after").await;

    // What stays away is gone.
    fs::rename(&manifest, &away).unwrap();
    until("the plugin to be gone", async || {
        acme.call_tool("live__act", json!({})).await.status != 200 && server.processes().is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_edit_that_cannot_be_used_is_kept_out_and_says_where() {
    let plugins = PluginFolder::new();
    live_plugin(&plugins, &saying("good"));
    let server = TestServer::start(plugins.path()).await;
    let acme = server.organization("Acme").await;
    acme.enable("hay-plugin-live", json!({})).await;
    let said = async || text_of(acme.call_tool("live__act", json!({})).await);
    let worker = async || server.admin().get("/v1/workers").await.json()["workers"][0]["workerId"].clone();
    let before = worker().await;
    for (broken, place, words) in [
        ("export const words =\n\n  {{{;\n", "words.js:3", "syntax error"),
        ("\nthrow new Error('no moon tonight');\nexport const words = 1;\n", "words.js:2", "no moon tonight"),
        ("export const other = 1;\n", "plugin", "./words.js"),
    ] {
        save(plugins.path(), broken);
        until("the problem to be told", async || {
            problems(&acme)
                .await
                .iter()
                .any(|problem| problem["at"] == place && problem["message"].as_str().unwrap().contains(words))
        })
        .await;
        let told = problems(&acme).await;
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_eq!(told[0]["severity"], "warning");
        assert!(told[0]["message"].as_str().unwrap().starts_with("its newer version is not used: "));
        assert!(logs(&acme).await.contains(&format!("{place}: its newer version is not used")), "{place}");
        assert_eq!(said().await, "good");
    }
    // Whoever takes an edit back has nothing to mend any more.
    save(plugins.path(), &saying("good"));
    until("the problem to go", async || problems(&acme).await.is_empty()).await;
    assert_eq!(worker().await, before, "nothing was replaced");

    // A manifest that is half written does not take the plugin away.
    let manifest = plugins.path().join("hay-plugin-live/package.json");
    let whole = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    until("the torn manifest to be told", async || {
        problems(&acme).await.iter().any(|problem| problem["at"].as_str().unwrap().contains("package.json"))
    })
    .await;
    assert_eq!(said().await, "good");
    fs::write(&manifest, whole).unwrap();
    save(plugins.path(), &saying("better"));
    until("the mended version to serve", async || said().await == "better").await;
    assert!(problems(&acme).await.is_empty(), "{:?}", problems(&acme).await);
}

#[tokio::test]
async fn a_source_folder_is_built_and_what_does_not_build_holds_up_nobody() {
    let plugins = PluginFolder::new();
    live_plugin(&plugins, &saying("0"));
    let entry = format!(
        "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'made', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }} }}));",
        one_tool("return 'WORD';")
    );
    let write = |word: &str, script: &str| {
        let manifest = json!({
            "name": "hay-plugin-made", "version": "1.0.0", "type": "module",
            "hay-plugin": { "entry": "./dist/index.js", "displayName": "Made", "category": "tool", "capabilities": ["mcp"] },
            "scripts": { "build": script },
        });
        let root = plugins.path().join("hay-plugin-made");
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/index.js"), entry.replace("WORD", word)).unwrap();
        fs::write(root.join("package.json"), manifest.to_string()).unwrap();
    };
    let build = "mkdir -p dist && cp src/index.js dist/index.js";
    write("1", build);
    let server = server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    assert_eq!(installed(&acme, "hay-plugin-made").await["state"], "ready");
    acme.enable("hay-plugin-live", json!({})).await;
    let said = async |tool: &str| text_of(acme.call_tool(tool, json!({})).await);
    assert_eq!(said("made__act").await, "1");

    // A build that goes on keeps no other plugin from being replaced, and a later edit of its own folder neither.
    write("2", &format!("sleep 600; {build}"));
    until("the build to go on", async || {
        let shown = acme.get("plugins/hay-plugin-made").await.expect(200).json();
        shown["upgradingTo"].is_string()
    })
    .await;
    save(plugins.path(), &saying("1"));
    until("the other plugin's edit to serve", async || said("live__act").await == "1").await;
    assert_eq!(said("made__act").await, "1");
    write("3", build);
    until("the later edit to serve", async || said("made__act").await == "3").await;
}
