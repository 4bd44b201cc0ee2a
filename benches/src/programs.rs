//! The programs that are measured: Hayloft with its plugins, and the baselines beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream};
use hayloft_testkit::{
    NodeService, Organization, PluginFiles, PluginFolder, TestServer, TestServerBuilder, workspace,
};
use serde_json::json;

use crate::callers::mcp::USUAL_REVISION;
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

/// A call of a tool of the reference server.
pub(crate) const ECHO: Tool =
    Tool { name: "echo", arguments: r#"{"message":"hello"}"#, expected: "Echo: hello" };

/// The same by the name that the organization's endpoint gives it.
pub(crate) const ECHO_THROUGH_HAYLOFT: Tool = Tool { name: "everything__echo", ..ECHO };

/// The smallest plugin as a worker is told of it.
pub(crate) fn hello_tool() -> Plugin {
    Plugin { root: workspace::example_plugins().join("hello-tool"), entry: "index.js" }
}

/// The id of the plugin that attacks its neighbours.
pub(crate) const HOSTILE_PLUGIN: &str = "hay-plugin-hostile";

/// A plugin whose event loop stands still for a second in every hook and in every call.
pub(crate) const BLOCKING_PLUGIN: &str = "hay-plugin-blocks";

/// The smallest plugin under another id, so that there can be many.
pub(crate) fn hello_again(folder: &PluginFolder, id: &str) {
    folder.hay_package(id, &["mcp"], include_str!("../../plugins/examples/hello-tool/index.js"));
}

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
        self.mcp_in(USUAL_REVISION, name, tool)
    }

    /// The same in a revision of the protocol.
    pub(crate) fn mcp_in(&self, revision: &'static str, name: &'static str, tool: Tool) -> Subject {
        let target =
            Target::Mcp { address: self.address, path: self.path.clone(), token: None, revision, tool };
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
        Self::start_with(options, |server| server).await
    }

    /// The same, with what else the server is told.
    pub(crate) async fn start_with(
        options: &Options,
        also: impl FnOnce(TestServerBuilder) -> TestServerBuilder,
    ) -> anyhow::Result<Self> {
        let plugins = PluginFolder::new();
        webhook_plugin(&plugins);
        plugins.hay_package(HOSTILE_PLUGIN, &["mcp"], include_str!("../hostile/plugin.mjs"));
        plugins.hay_package(BLOCKING_PLUGIN, &["config", "mcp"], include_str!("../hostile/blocks.mjs"));
        let server = TestServer::builder()
            .binary(&options.hayloft)
            .plugins(plugins.path())
            .plugins(workspace::example_plugins())
            // What is measured here is not how organizations make way for each other.
            .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1000");
        let server = also(server).start().await;
        let organization = server.organization("bench").await;
        let address = address_of(&server)?;
        Ok(Self { organization, address, server, _plugins: plugins })
    }

    /// Starts it again in order, on the same data. No plugin runs afterwards.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.server.restart().await;
        self.address = address_of(&self.server)?;
        Ok(())
    }

    /// Enables a plugin without settings.
    pub(crate) async fn enable(&self, plugin: &str) {
        self.organization.enable(plugin, json!({})).await;
    }

    /// One of its tools as something to be called by MCP.
    pub(crate) fn mcp(&self, name: &'static str, tool: Tool) -> Subject {
        let token = Some(self.organization.token.clone());
        let target = Target::Mcp {
            address: self.address,
            path: "/v1/mcp".to_owned(),
            token,
            revision: USUAL_REVISION,
            tool,
        };
        Subject { name, target, pid: Some(self.server.pid()) }
    }
}

/// Where a server listens since its last start.
pub(crate) fn address_of(server: &TestServer) -> anyhow::Result<SocketAddr> {
    Ok(server.url().trim_start_matches("http://").parse()?)
}

/// A tool of an organization as something to be called by MCP.
pub(crate) fn tool_of(
    server: &TestServer,
    organization: &Organization,
    tool: Tool,
) -> anyhow::Result<Target> {
    let (address, token) = (address_of(server)?, Some(organization.token.clone()));
    Ok(Target::Mcp { address, path: "/v1/mcp".to_owned(), token, revision: USUAL_REVISION, tool })
}

/// A Hayloft with the sample plugins that lets organizations have as many workers of one as they ask for.
pub(crate) async fn serve_examples(options: &Options) -> TestServer {
    TestServer::builder()
        .binary(&options.hayloft)
        .plugins(workspace::example_plugins())
        // What is measured is not how organizations make way for each other.
        .environment("HAYLOFT_LIMITS_WORKERS_PER_PLUGIN", "1000")
        .start()
        .await
}

/// How many organizations are made at once.
const MADE_AT_ONCE: usize = 4;

/// So many organizations, each with these plugins switched on and ready.
pub(crate) async fn organizations(
    server: &TestServer,
    count: usize,
    plugins: &[String],
) -> anyhow::Result<Vec<Organization>> {
    let made = stream::iter(0..count).map(async |number| {
        let organization = server.organization(&format!("organization {number}")).await;
        for plugin in plugins {
            let detail = organization.enable(plugin, json!({})).await;
            ensure!(detail["state"] == "ready", "`{plugin}` is not ready: {detail:#}");
        }
        anyhow::Ok(organization)
    });
    let made: Vec<_> = made.buffered(MADE_AT_ONCE).collect().await;
    made.into_iter().collect()
}
