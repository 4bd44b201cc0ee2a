//! Hot reload: from the last write to the folder of a plugin that is called all the time until its new code answers, without
//! dependencies and with those of the official MCP SDK in its folder, beside a Node process that does nothing; and from
//! the end of a plugin's own build.
//!
//! Plugins are not bundled here, as on a host where somebody works on them: each version lives for a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use hayloft_sandbox::Tier;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::json;

use super::start::start_nothing;
use crate::ground::Ground;
use crate::metric::Metric;
use crate::options::Options;

/// Edits of each plugin in a round. The figure of a round is the middle one.
const EDITS: usize = 3;

/// What takes longer was never taken up.
const PATIENCE: Duration = Duration::from_secs(30);

const PLAIN: &str = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
import { word } from "./word.js";
export default defineHayPlugin(() => ({
  name: "edited",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "act", inputSchema: { type: "object" } }],
      callTool: () => word,
    }));
  },
}));
"#;

const DEPENDENT: &str = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { word } from "./word.js";
export default defineHayPlugin(() => ({
  name: "edited",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => {
      const server = new McpServer({ name: "edited", version: "1.0.0" });
      server.registerTool("act", {}, () => ({ content: [{ type: "text", text: word }] }));
      return server;
    });
  },
}));
"#;

/// What a build makes of the word: it says when that was, in milliseconds since 1970, so that what follows is known by itself.
const BUILD: &str = r#"import { cpSync, readFileSync, writeFileSync } from "node:fs";
cpSync("src", "dist", { recursive: true });
const word = readFileSync("src/word.js", "utf8").replace("';", ` at ${Date.now()}';`);
writeFileSync("dist/word.js", word);
"#;

/// A plugin whose answer is a word of a file of its own.
struct Edited {
    word: PathBuf,
    tool: String,
    edits: usize,
}

/// A saved word that is what a call gets.
struct Served {
    answer: String,
    after: Duration,
}

impl Edited {
    fn new(plugins: &PluginFolder, name: &str, entry: &str, installed: Option<&Path>) -> Self {
        let files = plugins.hay_package(&format!("hay-plugin-{name}"), &["mcp"], entry);
        let files = files.file("word.js", text(0));
        let files = match installed {
            Some(installed) => files.tree("node_modules", installed),
            None => files,
        };
        Self { word: files.root().join("word.js"), tool: format!("{name}__act"), edits: 0 }
    }

    /// The same plugin, whose folder holds its sources and a script that builds it.
    fn built(plugins: &PluginFolder, name: &str, entry: &str) -> Self {
        let files = plugins
            .plugin(&format!("hay-plugin-{name}"))
            .manifest(&json!({
                "name": format!("hay-plugin-{name}"),
                "version": "1.0.0",
                "type": "module",
                "scripts": { "build": "node build.js" },
                "hay-plugin": {
                    "entry": "./dist/index.js", "displayName": name, "category": "tool", "capabilities": ["mcp"],
                },
            }))
            .file("build.js", BUILD)
            .file("src/index.js", entry)
            .file("src/word.js", text(0));
        Self { word: files.root().join("src/word.js"), tool: format!("{name}__act"), edits: 0 }
    }

    /// Saves another word, as editors do, and waits until that is what a call gets. No call is lost meanwhile.
    async fn edit(&mut self, organization: &Organization) -> anyhow::Result<Served> {
        self.edits += 1;
        let expected = word(self.edits);
        let draft = self.word.with_extension("js~");
        fs::write(&draft, text(self.edits))?;
        let saved = Instant::now();
        fs::rename(draft, &self.word)?;
        loop {
            let answer = organization.call_tool(&self.tool, json!({})).await.expect(200).json();
            let told = answer["content"][0]["text"].as_str().context("a tool without an answer")?;
            if told.starts_with(&expected) {
                return Ok(Served { answer: told.to_owned(), after: saved.elapsed() });
            }
            ensure!(saved.elapsed() < PATIENCE, "what was saved does not serve: {answer}");
        }
    }

    /// The middle one of some edits.
    async fn edits(&mut self, organization: &Organization) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..EDITS {
            times.push(self.edit(organization).await?.after);
        }
        Ok(middle(times))
    }

    /// The same, without what the plugin's own build takes and what comes before it.
    #[expect(clippy::disallowed_methods, reason = "the build says when it ended by the clock of the machine")]
    async fn edits_after_build(&mut self, organization: &Organization) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..EDITS {
            let served = self.edit(organization).await?;
            let built = served.answer.rsplit_once(" at ").context("a build without a time")?.1;
            let built = SystemTime::UNIX_EPOCH + Duration::from_millis(built.parse()?);
            times.push(SystemTime::now().duration_since(built)?);
        }
        Ok(middle(times))
    }
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// None of them is how another one begins.
fn word(number: usize) -> String {
    format!("word {number:04}")
}

fn text(number: usize) -> String {
    format!("export const word = '{}';\n", word(number))
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let unjailed = Ground::start(options, Tier::Off)?;
    let plugins = PluginFolder::new();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/node_modules");
    ensure!(installed.exists(), "{} is missing (`npm ci` in its folder makes it)", installed.display());
    let mut plain = Edited::new(&plugins, "plain", PLAIN, None);
    let mut dependent = Edited::new(&plugins, "dependent", DEPENDENT, Some(&installed));
    let mut built = Edited::built(&plugins, "built", PLAIN);
    let empty = unjailed.jail(plugins.path()).await?;
    let mut server = TestServer::builder()
        .binary(&options.hayloft)
        .plugins(plugins.path())
        .environment("HAYLOFT_BUNDLE", "false")
        .start()
        .await;
    let organization = server.organization("bench").await;
    for id in ["hay-plugin-plain", "hay-plugin-dependent", "hay-plugin-built"] {
        let detail = organization.enable(id, json!({})).await;
        ensure!(detail["state"] == "ready", "`{id}` is not ready: {detail:#}");
    }
    let (mut first, mut second, mut third, mut nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds() {
        let took = (plain.edits(&organization).await?, dependent.edits(&organization).await?);
        let after_build = built.edits_after_build(&organization).await?;
        let floor = start_nothing(&unjailed, &empty).await?;
        // The first one only warms up.
        if round > 0 {
            first.push(took.0);
            second.push(took.1);
            third.push(after_build);
            nothing.push(floor);
        }
    }
    server.terminate().await;
    empty.end().await?;
    Ok(vec![
        Metric::time_of("reload.plain", "a saved file serves, no dependencies", &first),
        Metric::ratio_of("reload.plain-ratio", "the same ÷ `node -e 0`", &first, &nothing),
        Metric::time_of("reload.dependent", "a saved file serves, with the MCP SDK in the folder", &second),
        Metric::ratio_of("reload.dependent-ratio", "the same ÷ `node -e 0`", &second, &nothing),
        Metric::time_of(
            "reload.built",
            "a saved file serves, after the plugin's own build has ended",
            &third,
        ),
    ])
}
