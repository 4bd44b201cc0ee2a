//! The `package.json` of a migrated plugin, and how it is compiled.

use hayloft_model::plugin::network::WEB_PORTS;
use hayloft_model::plugin::{Command, NetworkTarget};
use hayloft_model::{Problem, Problems};
use serde_json::{Map, Value, json};

use super::{GeneratedFile, Plan};
use crate::folder::Folder;

const FILE: &str = "package.json";
const COMPILER_FILE: &str = "tsconfig.json";

/// Largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The plugin's package: what it has already stays, unless the manifest says it too.
pub(super) fn file(folder: &Folder, plan: &Plan<'_>, left: &mut Problems) -> GeneratedFile {
    let descriptor = plan.descriptor;
    let before = read(folder);
    let mut package = Map::new();
    let main = match &plan.kept_entry {
        Some(entry) => entry.to_string_lossy().into_owned(),
        None => format!("dist/{}.js", plan.module),
    };
    package.insert("name".into(), descriptor.id.as_str().into());
    package.insert("version".into(), descriptor.version.as_str().into());
    if let Some(description) = &descriptor.description {
        package.insert("description".into(), description.as_str().into());
    }
    if let Some(author) = &descriptor.listing.author {
        package.insert("author".into(), author.as_str().into());
    }
    package.insert("private".into(), true.into());
    package.insert("main".into(), main.as_str().into());
    if let Some(name) = before.get("name").and_then(Value::as_str)
        && name != descriptor.id.as_str()
    {
        let message =
            format!("the package `{name}` is called `{}` now: the name is the plugin's id", descriptor.id);
        left.push(Problem::warning(format!("{FILE}#name"), message));
    }
    for (key, value) in &before {
        if !package.contains_key(key) {
            package.insert(key.clone(), value.clone());
        }
    }
    if let Some(private) = before.get("private") {
        package.insert("private".into(), private.clone());
    }
    package.insert(super::source::KEY.into(), manifest(plan, &main));
    let build = build(plan, &before);
    if !build.is_empty() {
        set(&mut package, "scripts", "build", Value::from(build));
    }
    if !has_dependency(&package, super::source::SDK) {
        set(&mut package, "dependencies", super::source::SDK, Value::from("*"));
    }
    if plan.kept_entry.is_none() && !has_dependency(&package, "typescript") {
        set(&mut package, "devDependencies", "typescript", Value::from("^5.0.0"));
    }
    GeneratedFile { path: FILE.into(), text: pretty(&Value::Object(package)) }
}

/// What the host must know before it runs the plugin.
fn manifest(plan: &Plan<'_>, main: &str) -> Value {
    let descriptor = plan.descriptor;
    let mut manifest = Map::new();
    manifest.insert("entry".into(), format!("./{main}").into());
    manifest.insert("displayName".into(), descriptor.display_name.as_str().into());
    if let Some(category) = &descriptor.category {
        manifest.insert("category".into(), category.as_str().into());
    }
    let capabilities = descriptor.capabilities.iter().map(|capability| Value::from(capability.as_str()));
    manifest.insert("capabilities".into(), capabilities.collect());
    let env = plan.env();
    if !env.is_empty() {
        manifest.insert("env".into(), env.into());
    }
    if let Some(network) = &descriptor.network {
        let mut targets = Vec::new();
        for NetworkTarget { host, ports } in network {
            match ports.iter().eq(&WEB_PORTS) {
                true => targets.push(Value::from(host.as_str())),
                false => targets.extend(ports.iter().map(|port| Value::from(format!("{host}:{port}")))),
            }
        }
        manifest.insert("network".into(), targets.into());
    }
    if let Some(channel) = &descriptor.channel {
        manifest.insert("channel".into(), channel.as_str().into());
    }
    Value::Object(manifest)
}

/// One line that makes everything: the server's own steps first, then the plugin's module.
fn build(plan: &Plan<'_>, before: &Map<String, Value>) -> String {
    let setup = &plan.descriptor.setup;
    let existing = before.get("scripts").and_then(|scripts| scripts.get("build")).and_then(Value::as_str);
    // What npm does anyway when it installs or builds the package itself would only run in circles here.
    let is_implied = |command: &Command| {
        let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        command.folder.as_os_str().is_empty()
            && command.program == "npm"
            && (matches!(words.first(), Some(&("install" | "ci" | "i")))
                || words.starts_with(&["run", "build"]))
    };
    let commands = setup.install.iter().chain(&setup.build).filter(|command| !is_implied(command));
    let mut steps: Vec<String> = commands.map(line).collect();
    steps.extend(existing.map(ToOwned::to_owned));
    if plan.kept_entry.is_none()
        && !steps.iter().any(|step| step.split_whitespace().any(|word| word == "tsc"))
    {
        steps.push(String::from("tsc"));
    }
    steps.join(" && ")
}

/// A command as npm's shell reads it.
fn line(command: &Command) -> String {
    let words = words(command);
    if command.folder.as_os_str().is_empty() {
        return words;
    }
    format!("(cd {} && {words})", word(&command.folder.to_string_lossy()))
}

/// A command's words alone, wherever it runs.
pub(super) fn words(command: &Command) -> String {
    let words = command.environment.iter().map(|(name, value)| format!("{name}={}", word(value)));
    let words: Vec<String> = words
        .chain([&command.program].into_iter().chain(&command.arguments).map(|text| word(text)))
        .collect();
    words.join(" ")
}

fn word(text: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'=' | b'@' | b':' | b',' | b'+' | b'%')
    };
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How the new module is compiled, where nothing says so yet.
pub(super) fn compiler_options(
    folder: &Folder,
    plan: &Plan<'_>,
    left: &mut Problems,
) -> Option<GeneratedFile> {
    if folder.locate(COMPILER_FILE).is_ok() {
        let message = format!("stays as it is: it must compile `src/{0}.ts` to `dist/{0}.js`", plan.module);
        left.push(
            Problem::warning(COMPILER_FILE, message).hint("set `rootDir` to `src` and `outDir` to `dist`"),
        );
        return None;
    }
    let options = json!({
        "compilerOptions": {
            "target": "es2022",
            "module": "nodenext",
            "moduleResolution": "nodenext",
            "rootDir": "src",
            "outDir": "dist",
            "strict": true,
            "skipLibCheck": true
        },
        "include": ["src"]
    });
    Some(GeneratedFile { path: COMPILER_FILE.into(), text: pretty(&options) })
}

fn read(folder: &Folder) -> Map<String, Value> {
    let text = folder.read_text(FILE, LARGEST_FILE).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str(text) {
        Ok(Value::Object(package)) => package,
        _ => Map::new(),
    }
}

fn set(package: &mut Map<String, Value>, section: &str, key: &str, value: Value) {
    let entry = package.entry(section).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    if let Some(object) = entry.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn has_dependency(package: &Map<String, Value>, name: &str) -> bool {
    let sections = ["dependencies", "devDependencies", "peerDependencies"];
    sections.iter().any(|section| package.get(*section).is_some_and(|section| section.get(name).is_some()))
}

fn pretty(value: &Value) -> String {
    // A value that was just made always has a text.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
