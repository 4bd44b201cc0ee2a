//! Hot reload: from the last write to the folder of a plugin that is called all the time until its new code answers, without
//! dependencies and with those of the official MCP SDK in its folder, beside a Node process that does nothing.
//!
//! Plugins are not bundled here, as on a host where somebody works on them: each version lives for a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
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

/// A plugin whose answer is a word of a file of its own.
struct Edited {
    word: PathBuf,
    tool: String,
    edits: usize,
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

    /// Saves another word, as editors do, and gives how long it takes until that is what a call gets. No call is lost
    /// meanwhile.
    async fn edit(&mut self, organization: &Organization) -> anyhow::Result<Duration> {
        self.edits += 1;
        let expected = format!("word {}", self.edits);
        let draft = self.word.with_extension("js~");
        fs::write(&draft, text(self.edits))?;
        let saved = Instant::now();
        fs::rename(draft, &self.word)?;
        loop {
            let answer = organization.call_tool(&self.tool, json!({})).await.expect(200).json();
            if answer["content"][0]["text"] == expected.as_str() {
                return Ok(saved.elapsed());
            }
            ensure!(saved.elapsed() < PATIENCE, "what was saved does not serve: {answer}");
        }
    }

    /// The middle one of some edits.
    async fn edits(&mut self, organization: &Organization) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..EDITS {
            times.push(self.edit(organization).await?);
        }
        times.sort_unstable();
        Ok(times[EDITS / 2])
    }
}

fn text(number: usize) -> String {
    format!("export const word = 'word {number}';\n")
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let unjailed = Ground::start(options, Tier::Off)?;
    let plugins = PluginFolder::new();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/node_modules");
    ensure!(installed.exists(), "{} is missing (`npm ci` in its folder makes it)", installed.display());
    let mut plain = Edited::new(&plugins, "plain", PLAIN, None);
    let mut dependent = Edited::new(&plugins, "dependent", DEPENDENT, Some(&installed));
    let empty = unjailed.jail(plugins.path()).await?;
    let mut server = TestServer::builder()
        .binary(&options.hayloft)
        .plugins(plugins.path())
        .environment("HAYLOFT_BUNDLE", "false")
        .start()
        .await;
    let organization = server.organization("bench").await;
    for id in ["hay-plugin-plain", "hay-plugin-dependent"] {
        let detail = organization.enable(id, json!({})).await;
        ensure!(detail["state"] == "ready", "`{id}` is not ready: {detail:#}");
    }
    let (mut first, mut second, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds() {
        let took = (plain.edits(&organization).await?, dependent.edits(&organization).await?);
        let floor = start_nothing(&unjailed, &empty).await?;
        // The first one only warms up.
        if round > 0 {
            first.push(took.0);
            second.push(took.1);
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
    ])
}
