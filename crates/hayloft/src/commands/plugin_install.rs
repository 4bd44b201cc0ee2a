//! `hayloft plugin install`

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hayloft_packages::archive;
use http::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{Context, plugin_get};
use crate::cli::{FormatArgs, InstallArgs, ServerArgs};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::progress::{Progress, note};

/// How long to wait before a stream of events that broke off, or had nothing to tell yet, is asked for again, and between
/// two looks at the plugin's state.
const PAUSE: Duration = Duration::from_millis(300);

/// Uploads a plugin, and switches it on if that is asked for.
///
/// # Errors
/// When the plugin cannot be packed or used, or the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, args: InstallArgs) -> Result<ExitCode, Failure> {
    let packed = packed(&args.plugin)?;
    let archive = packed.as_ref().map_or(args.plugin.as_path(), |packed| packed.path());
    let unreadable = |error| Failure::caused(format!("failed to read `{}`", args.plugin.display()), &error);
    let size = archive.metadata().map_err(unreadable)?.len();
    let ServerArgs { connection, format } = args.within.server;
    let client = context.client(&connection).await?;
    let organization = client.organization(args.within.org.as_deref()).await?;
    let progress = Progress::of_bytes(size, "uploading", context.environment);
    let moved = progress.clone();
    let path = format!("/v1/plugins/upload?allowDowngrade={}", args.allow_downgrade);
    let uploaded = client.upload(&path, &organization, archive, move |bytes| moved.moved(bytes)).await;
    progress.end();
    let uploaded = uploaded?;
    for problem in uploaded["problems"].as_array().into_iter().flatten() {
        note(&format!(
            "{}: {}: {}",
            text(problem, "severity"),
            text(problem, "at"),
            text(problem, "message")
        ));
    }
    let plugin = text(&uploaded, "pluginId");
    let verb = if uploaded["unchanged"] == true { "is there already" } else { "was uploaded" };
    note(&format!("{plugin} {} {verb}", text(&uploaded, "version")));
    let place = Place::organization(client, &organization).plugin(&plugin);
    let was_enabled = uploaded["plugin"]["enabled"] == true;
    if !args.enable && !was_enabled {
        return shown(&uploaded["plugin"], &uploaded, format);
    }
    let progress = Progress::of_steps("installing", context.environment);
    let follower = Follower { place: &place, progress };
    // The installation is followed while the server is asked, and further on where its answer does not wait for it.
    let asked = async {
        match args.enable {
            true => place.ask(Method::PUT, "", Some(&json!({ "enabled": true }))).await.map(drop),
            false => Ok(()),
        }
    };
    let settled = follower.until_settled(asked, text(&uploaded, "version")).await?;
    let code = shown(&settled, &uploaded, format)?;
    match settled["state"].as_str() {
        Some("failed") => Err(Failure::new(format!(
            "the plugin was uploaded, and cannot be switched on: {}",
            text(&settled, "lastError")
        ))),
        _ => Ok(code),
    }
}

/// Packs a folder into a file that goes when it is dropped. An archive is taken as it is.
fn packed(plugin: &Path) -> Result<Option<NamedTempFile>, Failure> {
    if !plugin.is_dir() {
        return Ok(None);
    }
    let report = hayloft_manifest::check(plugin);
    if !report.is_usable() {
        output::line(output::plain(&report.to_string()))?;
        return Err(Failure::new(format!("the plugin in `{}` cannot be used", plugin.display())));
    }
    let made = NamedTempFile::new().and_then(|file| Ok((file.reopen()?, file)));
    let (writer, file): (File, _) =
        made.map_err(|error| Failure::caused("failed to make a file to pack into", &error))?;
    archive::pack(plugin, &mut BufWriter::new(writer))?;
    Ok(Some(file))
}

fn shown(plugin: &Value, uploaded: &Value, format: FormatArgs) -> Result<ExitCode, Failure> {
    if format.json {
        let mut answer = uploaded.clone();
        answer["plugin"] = plugin.clone();
        output::json(&answer)?;
    } else {
        plugin_get::print(plugin, format)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells how an installation goes.
struct Follower<'a> {
    place: &'a Place,
    progress: Progress,
}

impl Follower<'_> {
    /// Waits for the request and for what it set going, and gives the plugin as it is then.
    async fn until_settled(
        &self,
        asked: impl Future<Output = Result<(), Failure>>,
        version: String,
    ) -> Result<Value, Failure> {
        let told = async {
            let mut last = None;
            loop {
                if let Err(failure) = self.follow(&mut last).await {
                    return failure;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let asked = async {
            asked.await?;
            loop {
                let plugin = self.place.get("").await?;
                let is_waiting = matches!(plugin["state"].as_str(), Some("installing" | "starting"))
                    || !plugin["upgradingTo"].is_null();
                let is_old = text(&plugin, "version") != version && !is_refused(&plugin);
                if !is_waiting && !is_old {
                    return Ok(plugin);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let settled = tokio::select! {
            settled = asked => settled,
            failure = told => Err(failure),
        };
        self.progress.end();
        settled
    }

    /// Shows what a stream of events tells, from the last one on that was shown.
    async fn follow(&self, last: &mut Option<String>) -> Result<(), Failure> {
        let mut events = self.place.listen("/installation/events", last.as_deref()).await?;
        while let Some(event) = events.next().await? {
            *last = Some(event.id);
            match event.name.as_str() {
                "step" => {
                    let number = |name: &str| event.data[name].as_u64().unwrap_or_default();
                    let title = text(&event.data, "title");
                    self.progress.step(number("step"), number("steps"), number("percent"), &title);
                }
                "line" => self.progress.line(&text(&event.data, "text")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether the server said of a newer version that it is not used.
fn is_refused(plugin: &Value) -> bool {
    let mut problems = plugin["problems"].as_array().into_iter().flatten();
    problems.any(|problem| text(problem, "message").starts_with("its newer version is not used"))
}

fn text(value: &Value, name: &str) -> String {
    output::text(value, name)
}
