//! What the operator decided: flag over environment over `hayloft.toml` over default.
//!
//! One file per section. Each lists its settings and reads them into types; everything that is wrong is found in one
//! go, with its place. Nothing below the binary reads any of the three sources.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Value};
use hayloft_host::ResultCacheOptions;
use hayloft_model::{Problem, Problems};

mod cache;
mod layer;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod packages;
pub(crate) mod plugins;
mod reader;
pub(crate) mod runtime;
pub(crate) mod server;
mod setting;
pub(crate) mod storage;
pub(crate) mod telemetry;
mod units;

pub(crate) use layer::Flag;
pub(crate) use limits::Limits;
pub(crate) use network::Network;
pub(crate) use packages::Packages;
pub(crate) use plugins::Plugins;
pub(crate) use reader::ShownSetting;
pub(crate) use runtime::RuntimeFiles;
pub(crate) use server::{Server, listen_address};
pub(crate) use setting::Setting;
pub(crate) use storage::Storage;
pub(crate) use telemetry::{LogFormat, Telemetry};

use layer::Layer;
use reader::SettingsReader;

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "hayloft.toml";

/// Everything that was decided.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The web face.
    pub(crate) server: Server,
    /// Where things are remembered.
    pub(crate) storage: Storage,
    /// Where plugins come from, and what they may see.
    pub(crate) plugins: Plugins,
    /// How plugins become ready to run.
    pub(crate) packages: Packages,
    /// What plugins reach of the outside.
    pub(crate) network: Network,
    /// What is kept of tools' results.
    pub(crate) cache: ResultCacheOptions,
    /// The programs inside workers, and their jail.
    pub(crate) runtime: RuntimeFiles,
    /// Logs.
    pub(crate) telemetry: Telemetry,
    /// Limits and deadlines.
    pub(crate) limits: Limits,
}

/// The three sources, as values.
pub(crate) struct Sources<'a> {
    /// The file that was named.
    pub(crate) file: Option<&'a Path>,
    /// The environment.
    pub(crate) environment: &'a HashMap<String, String>,
    /// What was given on the command line.
    pub(crate) flags: Vec<Flag>,
}

/// What was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The decisions.
    pub(crate) config: Config,
    /// The same for people: every setting with its value and where that came from.
    pub(crate) shown: Vec<ShownSetting>,
    /// What may not be as its writer thinks, though it stops nothing.
    pub(crate) warnings: Problems,
}

/// All settings of all sections.
pub(crate) fn settings() -> impl Iterator<Item = &'static Setting> {
    [
        server::SETTINGS,
        storage::SETTINGS,
        plugins::SETTINGS,
        packages::SETTINGS,
        network::SETTINGS,
        cache::SETTINGS,
        runtime::SETTINGS,
        telemetry::SETTINGS,
        limits::SETTINGS,
    ]
    .into_iter()
    .flatten()
}

/// Reads the sources.
///
/// # Errors
/// Everything that is wrong with them, each with its place.
pub(crate) fn load(sources: Sources<'_>) -> Result<Loaded, Problems> {
    let file = file_of(&sources)?;
    let merged = merge(file.as_deref(), &sources)?;
    // Only the file has sections, and its values are the only ones that do not say where they came from.
    let file = file.map_or_else(String::new, |file| file.display().to_string());
    let mut problems = unknown_keys(&merged, &file);
    let warnings = unknown_variables(sources.environment);
    let mut reader = SettingsReader::new(merged, file, &mut problems);
    let limits = Limits::read(&mut reader);
    let config = Config {
        server: Server::read(&mut reader),
        storage: Storage::read(&mut reader),
        plugins: Plugins::read(&mut reader, &limits.maximum),
        packages: Packages::read(&mut reader),
        network: Network::read(&mut reader),
        cache: cache::read(&mut reader),
        runtime: RuntimeFiles::read(&mut reader),
        telemetry: Telemetry::read(&mut reader),
        limits,
    };
    let shown = reader.into_shown();
    if problems.is_empty() { Ok(Loaded { config, shown, warnings }) } else { Err(problems) }
}

/// The file to read, if there is one. One that was named must be there.
fn file_of(sources: &Sources<'_>) -> Result<Option<PathBuf>, Problems> {
    let variable = || sources.environment.get("HAYLOFT_CONFIG").map(PathBuf::from);
    match sources.file.map(Path::to_owned).or_else(variable) {
        Some(named) if named.is_file() => Ok(Some(named)),
        Some(named) => {
            Err(Problem::error(named.display().to_string(), "is not a file that can be read").into())
        }
        None => Ok(Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file())),
    }
}

fn merge(file: Option<&Path>, sources: &Sources<'_>) -> Result<Map<String, Value>, Problems> {
    let place = file.map_or_else(String::new, |file| file.display().to_string());
    let wrong = |error: String| Problems::from(Problem::error(&place, error.trim().replace('\n', "; ")));
    let mut builder = config::Config::builder();
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    builder
        .add_source(Layer::of_environment(settings(), sources.environment))
        .add_source(Layer::of_flags(&sources.flags))
        .build()
        .and_then(|merged| config::Source::collect(&merged))
        .map_err(|error| wrong(error.to_string()))
}

/// Keys of the file that are no settings.
fn unknown_keys(merged: &Map<String, Value>, file: &str) -> Problems {
    let known: BTreeSet<&str> = settings().map(|setting| setting.key).collect();
    let mut found = Vec::new();
    collect_unknown("", merged, &known, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|key| {
            suggest(Problem::error(format!("{file}: {key}"), "is not a setting"), &key, known.iter().copied())
        })
        .collect()
}

fn collect_unknown(
    prefix: &str,
    table: &Map<String, Value>,
    known: &BTreeSet<&str>,
    found: &mut Vec<String>,
) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let inner = format!("{key}.");
        let is_section = known.iter().any(|known| known.starts_with(&inner));
        match &value.kind {
            _ if known.contains(key.as_str()) => {}
            config::ValueKind::Table(table) if is_section => collect_unknown(&inner, table, known, found),
            _ => found.push(key),
        }
    }
}

/// Variables that look like settings and are none. Only a warning: they may be another program's.
fn unknown_variables(environment: &HashMap<String, String>) -> Problems {
    /// Read by the command line, not as a setting.
    const OTHERS: [&str; 4] = ["HAYLOFT_CONFIG", "HAYLOFT_URL", "HAYLOFT_TOKEN", "HAYLOFT_WORKER"];
    let known: BTreeSet<&str> = settings().map(|setting| setting.variable).chain(OTHERS).collect();
    let mut names: Vec<_> = environment
        .keys()
        .filter(|name| name.starts_with("HAYLOFT_") && !known.contains(name.as_str()))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let problem = Problem::warning(format!("environment: {name}"), "is not a setting and is ignored");
            suggest(problem, name, known.iter().copied())
        })
        .collect()
}

fn suggest<'k>(problem: Problem, name: &str, known: impl Iterator<Item = &'k str>) -> Problem {
    let nearest = known
        .filter_map(|candidate| {
            // The right name in the wrong place is nearer than any slip of the finger.
            let misplaced = candidate.rsplit('.').next() == Some(name);
            let distance = if misplaced { 0 } else { strsim::damerau_levenshtein(name, candidate) };
            (distance <= 1 + candidate.len() / 5).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, meant)) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint("`hayloft config show` lists all settings"),
    }
}

#[cfg(test)]
mod tests;
