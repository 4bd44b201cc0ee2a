//! What making a plugin ready is worth: the first call to a stopped plugin that is built on the official MCP SDK, bundled
//! beside the same plugin from its own files. Both start from what Node compiled before.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use serde_json::json;

use crate::load::quantile;
use crate::metric::Metric;
use crate::options::Options;

const PLUGIN: &str = "hay-plugin-real";

/// Organizations that call it, one after the other.
const STARTS: usize = 5;

const ENTRY: &str = r#"import { defineHayPlugin } from "@hay/plugin-sdk";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
export default defineHayPlugin(() => ({
  name: "real",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => {
      const server = new McpServer({ name: "real", version: "1.0.0" });
      server.registerTool("act", { inputSchema: { word: z.string() } }, ({ word }) => ({ content: [{ type: "text", text: word }] }));
      return server;
    });
  },
}));
"#;

/// A server whose plugin starts in one way.
struct Subject {
    server: TestServer,
    organizations: Vec<Organization>,
}

impl Subject {
    async fn start(options: &Options, plugins: &PluginFolder, bundle: &str) -> anyhow::Result<Self> {
        let server = TestServer::builder()
            .binary(&options.hayloft)
            .plugins(plugins.path())
            .environment("HAYLOFT_BUNDLE", bundle)
            .start()
            .await;
        let mut organizations = Vec::new();
        for number in 0..STARTS {
            let organization = server.organization(&format!("organization {number}")).await;
            organization.enable(PLUGIN, json!({})).await;
            organizations.push(organization);
        }
        let shown = organizations[0].get(&format!("plugins/{PLUGIN}/installation/log")).await;
        let is_bundled = shown.text().contains("files in one");
        ensure!(is_bundled == (bundle == "true"), "the plugin is not what is measured: {}", shown.text());
        Ok(Self { server, organizations })
    }

    async fn first_call(&self, number: usize) -> Duration {
        let start = Instant::now();
        let answer = self.organizations[number].call_tool("real__act", json!({ "word": "x" })).await;
        let took = start.elapsed();
        answer.expect(200);
        took
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let plugins = PluginFolder::new();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/node_modules");
    plugins.hay_package(PLUGIN, &["mcp"], ENTRY).tree("node_modules", &installed);
    let mut bundled = Subject::start(options, &plugins, "true").await?;
    let mut files = Subject::start(options, &plugins, "false").await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=options.rounds() {
        // After a restart no plugin runs.
        bundled.server.restart().await;
        files.server.restart().await;
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for number in 0..STARTS {
            fast.push(bundled.first_call(number).await);
            slow.push(files.first_call(number).await);
        }
        fast.sort_unstable();
        slow.sort_unstable();
        // The first one only warms up.
        if round > 0 {
            ours.push(quantile(&fast, 0.5));
            theirs.push(quantile(&slow, 0.5));
        }
    }
    bundled.server.terminate().await;
    files.server.terminate().await;
    Ok(vec![Metric::ratio_of(
        "packages.bundle",
        "first tool call to a stopped plugin on the MCP SDK: bundled ÷ from its files",
        &ours,
        &theirs,
    )])
}
