//! What the way out of a jail costs: a new connection, and a long answer, by name through Hayloft beside the same by
//! address from a process that is in no jail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::metric::Metric;
use crate::options::Options;

const PLUGIN: &str = "hay-plugin-network";

/// Connections in a round.
const CONNECTIONS: usize = 400;

/// Length of the long answer, in bytes.
const LONG: usize = 64 << 20;

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let address = serve().await?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("hayloft.toml");
    // The limits are there to be out of the way of what is measured.
    let text = format!(
        "[network]\nconnections_per_second = 1000000\nlookups_per_second = 1000000\nbytes_per_second = \"64GiB\"\n\
         [network.private]\n{PLUGIN} = [\"echo.bench.test:7000={address}\"]\n"
    );
    std::fs::write(&config, text)?;
    let plugins = PluginFolder::new();
    let read = |name: &str| std::fs::read_to_string(script(name));
    plugins.hay_package(PLUGIN, &["mcp"], &read("plugin.mjs")?).file("measure.mjs", read("measure.mjs")?);
    let mut server = TestServer::builder()
        .binary(&options.hayloft)
        .plugins(plugins.path())
        .environment("HAYLOFT_CONFIG", config.to_str().context("a path in UTF-8")?)
        .start()
        .await;
    let organization = server.organization("Bench").await;
    organization.enable(PLUGIN, json!({})).await;
    let connections = options.calls(CONNECTIONS);
    let [mut connect, mut direct_connect, mut stream, mut direct_stream] = [const { Vec::new() }; 4];
    for round in 0..=options.rounds() {
        let arguments = [address.ip().to_string(), address.port().to_string(), connections.to_string()];
        let direct = NodeService::start(&script("measure.mjs"), &arguments, &[]);
        let answer = organization.call_tool("network__measure", json!({ "connections": connections })).await;
        let answer = answer.expect(200).json();
        let text = answer["content"][0]["text"].as_str().context("a text from the plugin")?;
        let jailed: Value = serde_json::from_str(text)?;
        // The first one only warms up.
        if round > 0 {
            connect.push(time(&jailed, "connect")?);
            direct_connect.push(time(direct.announcement(), "connect")?);
            stream.push(time(&jailed, "stream")?);
            direct_stream.push(time(direct.announcement(), "stream")?);
        }
    }
    server.terminate().await;
    Ok(vec![
        Metric::difference_of(
            "egress.connection",
            "new connection by name from a jail − by address without one",
            &connect,
            &direct_connect,
        ),
        Metric::ratio_of(
            "egress.throughput",
            "64 MiB received through the way out ÷ directly",
            &stream,
            &direct_stream,
        ),
    ])
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("network").join(name)
}

fn time(measured: &Value, name: &str) -> anyhow::Result<Duration> {
    measured[name].as_u64().map(Duration::from_nanos).with_context(|| format!("no `{name}` in {measured}"))
}

/// A service on this machine: to `e` it says one letter, to `s` many.
async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // Of its own thread, so that what drives the measurement does not stand in its way.
    let listener = listener.into_std()?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    match stream.read_u8().await? {
        b's' => {
            let piece = vec![b'x'; 256 << 10];
            for _ in 0..LONG / piece.len() {
                stream.write_all(&piece).await?;
            }
        }
        _ => stream.write_u8(b'e').await?,
    }
    stream.shutdown().await
}
