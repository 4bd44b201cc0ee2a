//! Requests to a plugin's route: a signed webhook of 2 KiB.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hayloft_sandbox::Tier;
use hayloft_testkit::{PluginFolder, workspace};
use http::Method;
use serde_json::json;

use crate::callers::Target;
use crate::direct_worker::{DirectWorker, Plugin};
use crate::forwarder::{Forwarder, Kind};
use crate::ground::Ground;
use crate::load::{Burst, Subject, interleaved};
use crate::metric::Metric;
use crate::options::Options;
use crate::programs::{Baseline, Hayloft, WEBHOOK_PLUGIN, baseline_file, webhook_plugin};

const BODY_BYTES: usize = 2048;

/// Places in the list of subjects.
const HAYLOFT: usize = 0;
const WORKER: usize = 1;
const NODE_HTTP: usize = 2;
const EXPRESS: usize = 3;
const FORWARDER: usize = 4;

pub(super) async fn run(options: &Options) -> anyhow::Result<Vec<Metric>> {
    let hayloft = Hayloft::start(options).await?;
    hayloft.enable(WEBHOOK_PLUGIN).await;
    let folder = PluginFolder::new();
    let plugin = Plugin { root: webhook_plugin(&folder).root().to_owned(), entry: "index.js" };
    let mut worker = DirectWorker::start(&Ground::start(options, Tier::Off)?, &plugin).await?;
    worker.bind().await?;
    let node_http = Baseline::start("webhook-node.mjs")?;
    let express = Baseline::start("webhook-express.mjs")?;
    let forwarder = Forwarder::start(worker.routes).await?;

    let body = body();
    let headers = vec![("x-signature", signature(&body)?)];
    let baseline = |name, baseline: &Baseline| Subject {
        name,
        target: Target::Route {
            address: baseline.address,
            method: Method::POST,
            path: baseline.path.clone(),
            headers: headers.clone(),
            body: body.clone(),
        },
        pid: Some(baseline.pid()),
    };
    let mut with_organization = headers.clone();
    with_organization.push(("x-organization-id", hayloft.organization.id.clone()));
    let subjects = [
        Subject {
            name: "a route through Hayloft",
            target: Target::Route {
                address: hayloft.address,
                method: Method::POST,
                path: format!("/v1/plugins/{WEBHOOK_PLUGIN}/webhook"),
                headers: with_organization,
                body: body.clone(),
            },
            pid: Some(hayloft.server.pid()),
        },
        Subject {
            name: "the worker itself",
            target: Target::Route {
                address: worker.routes,
                method: Method::POST,
                path: "/webhook".to_owned(),
                headers: headers.clone(),
                body: body.clone(),
            },
            pid: worker.pid(),
        },
        baseline("a bare HTTP server", &node_http),
        baseline("Express", &express),
        Subject {
            name: "the worker behind another server",
            target: Target::Route {
                address: forwarder.address,
                method: Method::POST,
                path: "/webhook".to_owned(),
                headers: headers.clone(),
                body: body.clone(),
            },
            pid: None,
        },
    ];
    let alone = interleaved(&subjects, 1, options.calls(1_500), options.rounds()).await?;
    let crowd = interleaved(&subjects, 64, options.calls(8_000), options.rounds()).await?;
    worker.stop().await?;
    let half = |burst: &Burst| burst.quantile(0.5);
    let (alone_title, crowd_title) = match forwarder.kind {
        Kind::Nginx => (
            "webhook 2 KiB, 1 caller: ÷ nginx before the same worker",
            "webhook 2 KiB, 64 callers, time per request: ÷ nginx before the same worker",
        ),
        Kind::Bytes => (
            "webhook 2 KiB, 1 caller: ÷ a forwarder of bytes before the same worker",
            "webhook 2 KiB, 64 callers, time per request: ÷ a forwarder of bytes before the same worker",
        ),
    };
    Ok(vec![
        Metric::ratio("route.forwarder", alone_title, &alone[HAYLOFT], &alone[FORWARDER], half),
        Metric::ratio(
            "route.forwarder-throughput",
            crowd_title,
            &crowd[HAYLOFT],
            &crowd[FORWARDER],
            Burst::time_per_call,
        ),
        Metric::ratio(
            "route.worker",
            "webhook 2 KiB, 1 caller: ÷ the same worker directly",
            &alone[HAYLOFT],
            &alone[WORKER],
            half,
        ),
        Metric::ratio(
            "route.node-http",
            "webhook 2 KiB, 1 caller: ÷ a bare `node:http` server directly",
            &alone[HAYLOFT],
            &alone[NODE_HTTP],
            half,
        ),
        Metric::ratio(
            "route.express",
            "webhook 2 KiB, 1 caller: ÷ an Express 5 server directly",
            &alone[HAYLOFT],
            &alone[EXPRESS],
            half,
        ),
        Metric::ratio(
            "route.throughput",
            "webhook 2 KiB, 64 callers, time per request: ÷ the same worker directly",
            &crowd[HAYLOFT],
            &crowd[WORKER],
            Burst::time_per_call,
        ),
        Metric::time(
            "route.cpu",
            "processor time of the host per request, 64 callers",
            &crowd[HAYLOFT],
            Burst::cpu_per_call,
        ),
    ])
}

fn body() -> Bytes {
    let event = json!({ "id": "evt_1", "type": "payment.created", "payment": { "id": "pay_1" }, "note": "" });
    let filler = BODY_BYTES.saturating_sub(event.to_string().len());
    let mut event = event;
    event["note"] = "x".repeat(filler).into();
    event.to_string().into()
}

/// The signature as the baselines' own function makes it.
fn signature(body: &Bytes) -> anyhow::Result<String> {
    let program = format!(
        "import {{ sign }} from {}; process.stdout.write(sign(process.argv[1]));",
        json!(baseline_file("webhook-answer.mjs"))
    );
    #[expect(clippy::disallowed_methods, reason = "a baseline runs without Hayloft")]
    let output = Command::new(workspace::node())
        .args(["--input-type=module", "-e", &program, std::str::from_utf8(body)?])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start Node")?;
    ensure!(output.status.success(), "the body could not be signed");
    Ok(String::from_utf8(output.stdout)?)
}
