//! The programs that are measured: Hayloft with its plugins, and the baselines beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use hayloft_testkit::{NodeService, Organization, PluginFiles, PluginFolder, TestServer, workspace};
use serde_json::json;

use crate::callers::{Target, Tool};
use crate::direct_worker::Plugin;
use crate::load::Subject;
use crate::options::Options;

/// The id of the plugin with the route that is measured.
pub(crate) const WEBHOOK_PLUGIN: &str = "hay-plugin-bench-webhook";

/// The smallest plugin: one tool, served in its own process.
pub(crate) const HELLO_PLUGIN: &str = "hay-plugin-hello-tool";

/// A call of its tool.
pub(crate) const HELLO: Tool =
    Tool { name: "hello", arguments: r#"{"name":"Ada"}"#, expected: "Hello, Ada!" };

/// The same by the name that the organization's endpoint gives it.
pub(crate) const HELLO_THROUGH_HAYLOFT: Tool = Tool { name: "hello_tool__hello", ..HELLO };

/// The smallest plugin as a worker is told of it.
pub(crate) fn hello_tool() -> Plugin {
    Plugin { root: workspace::example_plugins().join("hello-tool"), entry: "index.js" }
}

/// The id of the plugin that attacks its neighbours.
pub(crate) const HOSTILE_PLUGIN: &str = "hay-plugin-hostile";

/// A file of the baselines.
pub(crate) fn baseline_file(name: &str) -> PathBuf {
    workspace::root().join("benches/baselines").join(name)
}

/// Writes the plugin with the route that is measured.
pub(crate) fn webhook_plugin(folder: &PluginFolder) -> PluginFiles {
    folder
        .hay_package(WEBHOOK_PLUGIN, &["routes"], include_str!("../baselines/webhook-plugin.mjs"))
        .file("webhook-answer.mjs", include_str!("../baselines/webhook-answer.mjs"))
}

/// A baseline that serves HTTP.
#[derive(Debug)]
pub(crate) struct Baseline {
    service: NodeService,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The path that it serves.
    pub(crate) path: String,
}

impl Baseline {
    pub(crate) fn start(script: &str) -> anyhow::Result<Self> {
        let packages = baseline_file("node_modules");
        ensure!(packages.exists(), "{} is missing (`npm ci` in its folder makes it)", packages.display());
        let service = NodeService::start::<&str>(&baseline_file(script), &[], &[("NODE_ENV", "production")]);
        let text = |field: &str| {
            service.announcement()[field]
                .as_str()
                .with_context(|| format!("{script} did not say its {field}"))
        };
        let (address, path) = (text("address")?.parse()?, text("path")?.to_owned());
        Ok(Self { service, address, path })
    }

    /// As something to be called by MCP.
    pub(crate) fn mcp(&self, name: &'static str, tool: Tool) -> Subject {
        let target = Target::Mcp { address: self.address, path: self.path.clone(), token: None, tool };
        Subject { name, target, pid: Some(self.service.pid()) }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.service.pid()
    }
}

/// A running Hayloft with one organization.
#[derive(Debug)]
pub(crate) struct Hayloft {
    /// The organization.
    pub(crate) organization: Organization,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) server: TestServer,
    _plugins: PluginFolder,
}

impl Hayloft {
    /// Starts it with the sample plugins and the bench's own, none of them enabled. No worker is ready before somebody
    /// needs one, so that each start is one.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        Self::start_with(options, "0").await
    }

    /// The same with workers ready, within so much memory.
    pub(crate) async fn start_with(options: &Options, warm_pool: &str) -> anyhow::Result<Self> {
        let plugins = PluginFolder::new();
        webhook_plugin(&plugins);
        plugins.hay_package(HOSTILE_PLUGIN, &["mcp"], include_str!("../hostile/plugin.mjs"));
        let server = TestServer::builder()
            .binary(&options.hayloft)
            .plugins(plugins.path())
            .plugins(workspace::example_plugins())
            .warm_pool(warm_pool)
            // What is measured here is not how organizations make way for each other.
            .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1000")
            .start()
            .await;
        let organization = server.organization("bench").await;
        let address = server.url().trim_start_matches("http://").parse()?;
        Ok(Self { organization, address, server, _plugins: plugins })
    }

    /// Enables a plugin without settings.
    pub(crate) async fn enable(&self, plugin: &str) {
        self.organization.enable(plugin, json!({})).await;
    }

    /// One of its tools as something to be called by MCP.
    pub(crate) fn mcp(&self, name: &'static str, tool: Tool) -> Subject {
        let token = Some(self.organization.token.clone());
        let target = Target::Mcp { address: self.address, path: "/v1/mcp".to_owned(), token, tool };
        Subject { name, target, pid: Some(self.server.pid()) }
    }
}
