//! What a package needs before it can run: which programs, where, in which order.

use std::fs;
use std::path::{Path, PathBuf};

use hayloft_manifest::{Interface, interface};
use hayloft_model::plugin::{Command, Runtime};
use hayloft_model::{PluginDescriptor, Problems};
use serde_json::Value;

use crate::npm::{self, Scripts};
use crate::{ComponentCompiler, Phase, Provided, components};

/// Folders of a package that may have dependencies of their own: itself, and its server's.
const FOLDERS: [&str; 2] = ["", "mcp"];

/// Largest manifest of npm that is looked into, in bytes.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) command: Command,
    /// What it leaves undone, and the package is whole without.
    pub(crate) left_out: Problems,
}

impl Step {
    /// Whether the package is whole without it. What comes of its failure is a warning.
    pub(crate) fn is_optional(&self) -> bool {
        self.command.program == components::PROGRAM
    }

    /// What a person reads while it runs: `mcp: npm ci`.
    pub(crate) fn title(&self) -> String {
        let words: Vec<&str> = std::iter::once(&self.command.program)
            .chain(&self.command.arguments)
            .map(String::as_str)
            .collect();
        let line: String = words.join(" ").chars().flat_map(char::escape_debug).take(120).collect();
        match self.command.folder.as_os_str().is_empty() {
            true => line,
            false => format!("{}: {line}", self.command.folder.display()),
        }
    }
}

/// Everything that must run, in order. Nothing for a package that is whole. Without a compiler components stay as
/// they are: a plugin whose interface cannot be shown still works.
pub(crate) fn plan(
    root: &Path,
    descriptor: &PluginDescriptor,
    provided: &[Provided],
    compiler: Option<&ComponentCompiler>,
    scripts: Scripts,
) -> Vec<Step> {
    let interface = interface(root, descriptor);
    let build = build(root, descriptor, &interface);
    let install = install(root, descriptor, provided, !build.is_empty());
    let components = match interface {
        Interface::Source { paths, problems } => compiler.map(|compiler| Step {
            phase: Phase::Build,
            command: components::compile(compiler, paths),
            left_out: problems,
        }),
        Interface::None | Interface::Built | Interface::Unbuilt => None,
    };
    let of = |phase: Phase| {
        move |command: Command| {
            let commands = with_neighbours(root, command, scripts);
            commands.into_iter().map(move |command| Step { phase, command, left_out: Problems::default() })
        }
    };
    let install = install.into_iter().flat_map(of(Phase::Install));
    install.chain(build.into_iter().flat_map(of(Phase::Build))).chain(components).collect()
}

/// A command with the scripts before and after the one that it runs, where npm leaves those out.
fn with_neighbours(root: &Path, command: Command, scripts: Scripts) -> Vec<Command> {
    match scripts {
        Scripts::Granted => vec![command],
        Scripts::Ignored => {
            let manifest = manifest(&root.join(&command.folder)).unwrap_or_default();
            npm::with_neighbours(command, |name| manifest["scripts"][name].is_string())
        }
    }
}

fn install(root: &Path, descriptor: &PluginDescriptor, provided: &[Provided], builds: bool) -> Vec<Command> {
    let lacking = |folder: &Path| {
        let manifest = manifest(&root.join(folder))?;
        lacks(&root.join(folder), &manifest, provided, builds).then_some(folder.to_owned())
    };
    let said = &descriptor.setup.install;
    // A folder of which nothing is said is installed as npm would, before anything else: a server's own line speaks of
    // the server's folder alone.
    let unsaid = |folder: &&str| !said.iter().any(|command| command.folder == Path::new(folder));
    let folders = FOLDERS.iter().copied().filter(|folder| unsaid(folder)).map(Path::new);
    let usual = folders.filter_map(lacking).map(|folder| npm::install(&root.join(&folder), folder));
    if said.is_empty() {
        return usual.collect();
    }
    // A line that installs what is there already has nothing to do; what else it does is not known, so it runs.
    let folders: Vec<PathBuf> = descriptor
        .setup
        .install
        .iter()
        .map(|command| command.folder.clone())
        .chain(FOLDERS.map(PathBuf::from))
        .filter(|folder| manifest(&root.join(folder)).is_some())
        .collect();
    let is_npm = descriptor.setup.install.iter().all(|command| command.program == "npm");
    if is_npm && !folders.is_empty() && folders.iter().all(|folder| lacking(folder).is_none()) {
        return Vec::new();
    }
    usual.chain(said.iter().cloned()).collect()
}

fn build(root: &Path, descriptor: &PluginDescriptor, interface: &Interface) -> Vec<Command> {
    let said = &descriptor.setup.build;
    let has_entry = match &descriptor.runtime {
        Runtime::Node { entry } | Runtime::Isolate { entry, .. } => root.join(entry).is_file(),
        Runtime::Servers => true,
    };
    let has_script = || manifest(root).is_some_and(|manifest| manifest["scripts"]["build"].is_string());
    // A line for the folder itself says how the entry is made; others speak of a server's folder.
    let is_said = said.iter().any(|command| command.folder.as_os_str().is_empty());
    // What its own build makes of an interface may be missing beside an entry that is there.
    let is_whole = has_entry && *interface != Interface::Unbuilt;
    let usual = (!is_whole && !is_said && has_script()).then(npm::build);
    usual.into_iter().chain(said.iter().cloned()).collect()
}

/// Whether a folder has dependencies that are not installed in it.
fn lacks(folder: &Path, manifest: &Value, provided: &[Provided], builds: bool) -> bool {
    let sections: &[&str] = if builds { &["dependencies", "devDependencies"] } else { &["dependencies"] };
    let names = sections
        .iter()
        .filter_map(|section| manifest[*section].as_object())
        .flat_map(|section| section.keys());
    names
        .filter(|name| !provided.iter().any(|package| package.name == **name))
        .any(|name| !folder.join("node_modules").join(name).join("package.json").is_file())
}

fn manifest(folder: &Path) -> Option<Value> {
    let path = folder.join(npm::MANIFEST);
    let facts =
        fs::metadata(&path).ok().filter(|facts| facts.is_file() && facts.len() <= LARGEST_MANIFEST)?;
    debug_assert!(facts.len() <= LARGEST_MANIFEST);
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(files: &[(&str, &str)]) -> Vec<String> {
        titles_with(Scripts::Ignored, files)
    }

    fn titles_with(scripts: Scripts, files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (descriptor, problems) = hayloft_manifest::read_source(folder.path());
        let descriptor = descriptor.unwrap_or_else(|| panic!("{problems}"));
        let sdk = Provided { name: String::from("@hay/plugin-sdk"), path: PathBuf::from("/sdk") };
        let compiler = ComponentCompiler { program: "/compiler".into(), esbuild: "/esbuild".into() };
        let steps = plan(folder.path(), &descriptor, &[sdk], Some(&compiler), scripts);
        steps.iter().map(|step| format!("{:?} {}", step.phase, step.title())).collect()
    }

    fn package(rest: &str) -> String {
        format!(
            r#"{{ "name": "x", "version": "1.0.0", "hay-plugin": {{ "entry": "./dist/index.js" }}, {rest} }}"#
        )
    }

    #[test]
    fn a_package_gets_what_it_lacks_and_no_more() {
        let built = ("dist/index.js", "");
        let sdk = package(r#""dependencies": { "@hay/plugin-sdk": "workspace:*" }"#);
        assert_eq!(titles(&[("package.json", &sdk), built]), [""; 0], "the host has the SDK");

        let stripe =
            package(r#""dependencies": { "stripe": "^1" }, "devDependencies": { "typescript": "^5" }"#);
        assert_eq!(titles(&[("package.json", &stripe), built]), ["Install npm install"]);
        let locked = [("package.json", &*stripe), built, ("package-lock.json", "{}")];
        assert_eq!(titles(&locked), ["Install npm ci"]);
        let there = [("package.json", &*stripe), built, ("node_modules/stripe/package.json", "{}")];
        assert_eq!(titles(&there), [""; 0], "a folder that was installed by hand is whole");

        let script = package(r#""devDependencies": { "typescript": "^5" }, "scripts": { "build": "tsc" }"#);
        assert_eq!(titles(&[("package.json", &script), built]), [""; 0], "what was built is not built again");
        assert_eq!(titles(&[("package.json", &script)]), ["Install npm install", "Build npm run build"]);

        let faced = r#"{ "name": "x", "version": "1.0.0", "hay-plugin": { "entry": "./dist/index.js", "capabilities": ["ui"] },
            "devDependencies": { "vite": "^7" }, "scripts": { "build": "vite build && tsc" } }"#;
        let shown = ("dist/ui.js", "");
        assert_eq!(
            titles(&[("package.json", faced), built]),
            ["Install npm install", "Build npm run build"],
            "an entry that is there is not the whole of it"
        );
        assert_eq!(titles(&[("package.json", faced), built, shown]), [""; 0]);
        let source_alone = faced.replace("vite build && tsc", "tsc");
        let component = ("components/X.vue", "");
        assert_eq!(
            titles(&[("package.json", &source_alone), built, component]),
            ["Build compile-components components/X.vue"],
            "only a build of the plugin's own needs what it is developed with"
        );

        let server = [
            ("package.json", &*package(r#""dependencies": {}"#)),
            built,
            ("mcp/package.json", r#"{ "dependencies": { "zod": "4" } }"#),
            ("mcp/package-lock.json", "{}"),
        ];
        assert_eq!(titles(&server), ["Install mcp: npm ci"]);
    }

    #[test]
    fn what_a_manifest_says_itself_is_done_as_it_says() {
        let manifest = |mcp: &str| {
            format!(
                r#"{{ "id": "hay-plugin-x", "name": "X", "version": "1.0.0", "description": "X", "author": "X", "type": ["mcp-connector"], "entry": "./dist/index.js",
                "capabilities": {{ "mcp": {{ "connection": {{ "type": "local" }}, "transport": "stdio",
                "startCommand": "node mcp/index.js", {mcp} }} }} }}"#
            )
        };
        let mcp = ("mcp/package.json", r#"{ "dependencies": { "zod": "4" } }"#);
        let lines = manifest(
            r#""installCommand": "cd mcp && npm ci --ignore-scripts", "buildCommand": "npm run build""#,
        );
        assert_eq!(
            titles(&[("manifest.json", &lines), mcp, ("mcp/index.js", "")]),
            ["Install mcp: npm ci --ignore-scripts", "Build npm run build"]
        );
        let line = manifest(r#""installCommand": "cd mcp && npm ci""#);
        let there = ("mcp/node_modules/zod/package.json", "{}");
        assert_eq!(titles(&[("manifest.json", &line), mcp, ("mcp/index.js", ""), there]), [""; 0]);
    }

    #[test]
    fn what_surrounds_a_script_runs_with_it() {
        let build = package(r#""scripts": { "prebuild": "a", "build": "b", "postbuild": "c" }"#);
        let files = [("package.json", &*build)];
        assert_eq!(
            titles(&files),
            ["Build npm run prebuild", "Build npm run build", "Build npm run postbuild"]
        );
        // npm runs them itself where it may.
        assert_eq!(titles_with(Scripts::Granted, &files), ["Build npm run build"]);
    }
}
