//! A plugin that declares everything, rewritten as one that says it in TypeScript: what to write into its folder, and
//! what could not be carried over.
//!
//! Nothing is written here. What comes out is the text of `package.json`, of `src/index.ts` and of a `tsconfig.json`,
//! and a list of everything that the new format has no word for, so that nobody finds out later.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hayloft_model::plugin::{McpEndpoint, McpTransport, Runtime};
use hayloft_model::{PluginDescriptor, Problem, Problems};
use regex::Regex;

use crate::folder::{Folder, Modules};
use crate::{formats, probe, read_plugin};

mod literal;
mod package;
mod source;

/// Largest module that is looked into, in bytes.
const LARGEST_SOURCE: u64 = 4 * 1024 * 1024;

/// What a migration does to a plugin's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Files to write, in this order: the one that says which format the folder is in comes last.
    pub files: Vec<GeneratedFile>,
    /// Files that say nothing any more, relative to the folder.
    pub obsolete: Vec<PathBuf>,
    /// What could not be carried over, each with the place where the old manifest says it.
    pub left_behind: Problems,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it goes, relative to the folder.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// The migration of a folder, unless it is in another format or a problem is an error.
#[must_use]
pub fn migrate(folder: &Path) -> (Option<Migration>, Problems) {
    let (descriptor, mut problems) = read_plugin(folder);
    let Some(descriptor) = descriptor else { return (None, problems) };
    let Some(format) = formats::named(&descriptor.format) else { return (None, problems) };
    let Some(obsolete) = format.migrates_from else {
        let because = probe(folder).0.map(|evidence| evidence.because).unwrap_or_default();
        let message =
            format!("is in the format `{}`, because {because}: there is nothing to migrate", format.name);
        problems.push(Problem::error("folder", message));
        return (None, problems);
    };
    let folder = match Folder::open(folder, Modules::There) {
        Ok(folder) => folder,
        Err(problem) => {
            problems.push(problem);
            return (None, problems);
        }
    };
    let plan = Plan::new(&folder, &descriptor, obsolete);
    let mut left_behind = plan.left_behind();
    let mut files = Vec::new();
    if plan.kept_entry.is_none() {
        files.push(source::file(&plan));
        files.extend(package::compiler_options(&folder, &plan, &mut left_behind));
    }
    files.push(package::file(&folder, &plan, &mut left_behind));
    let replaced = PathBuf::from(format!("dist/{}.js", plan.module));
    let is_replaced = plan.kept_entry.is_none() && folder.locate(&replaced.to_string_lossy()).is_ok();
    // The package depends on more than before, and npm refuses what disagrees with its lockfile.
    let lockfiles = ["npm-shrinkwrap.json", "package-lock.json"];
    let stale = lockfiles.into_iter().filter(|name| folder.locate(name).is_ok());
    for name in stale.clone() {
        let problem = Problem::warning(name, "is put aside, since the package depends on more now");
        left_behind.push(problem.hint("`npm install` makes it anew"));
    }
    let obsolete = is_replaced
        .then_some(replaced)
        .into_iter()
        .chain(stale.map(PathBuf::from))
        .chain([PathBuf::from(obsolete)]);
    (Some(Migration { files, obsolete: obsolete.collect(), left_behind }), problems)
}

/// What is carried over, decided once for all files.
struct Plan<'d> {
    descriptor: &'d PluginDescriptor,
    manifest: &'static str,
    /// The name of the new module, without its extension.
    module: String,
    handlers: Vec<(usize, String)>,
    /// The entry, if it is a plugin of a newer format already: then it stays as it is.
    kept_entry: Option<PathBuf>,
}

impl<'d> Plan<'d> {
    fn new(folder: &Folder, descriptor: &'d PluginDescriptor, manifest: &'static str) -> Self {
        Self {
            descriptor,
            manifest,
            module: module(folder, descriptor),
            handlers: handlers(folder, manifest),
            kept_entry: kept_entry(folder, descriptor),
        }
    }

    /// The names of host variables that the new plugin lists.
    fn env(&self) -> Vec<String> {
        let mut names = self.descriptor.env.clone();
        for variable in source::client_settings(self.descriptor) {
            names.extend(variable.env.filter(|name| !self.descriptor.env.contains(name)));
        }
        names
    }

    fn note(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem::warning(format!("{}#{key}", self.manifest), message)
    }

    /// Everything that the new format has no word for.
    fn left_behind(&self) -> Problems {
        let mut left = Problems::new();
        let descriptor = self.descriptor;
        let listing = &descriptor.listing;
        let flags = [
            (
                "enabled",
                descriptor.enabled_by_default,
                "the plugin is no longer switched on for new organizations",
            ),
            ("autoActivate", descriptor.auto_activate, "the plugin starts when it is first needed"),
            ("invisible", descriptor.invisible, "the plugin shows in listings"),
            ("icon", listing.icon.is_some(), "the icon is not carried over"),
            ("marketplace.featured", listing.featured, "the plugin is no longer featured"),
            ("marketplace.tags", !listing.tags.is_empty(), "the tags are not carried over"),
            (
                "marketplace.screenshots",
                !listing.screenshots.is_empty(),
                "the screenshots are not carried over",
            ),
            ("ui.auth", descriptor.default_auth_method.is_some(), "no auth method is offered first"),
            ("ui.settings", descriptor.without_settings_page, "the page of settings shows"),
            ("permissions.scopes", descriptor.requirements.scopes.is_some(), "no rights are asked for"),
        ];
        for (key, says, message) in flags {
            if says {
                left.push(self.note(key, message));
            }
        }
        if descriptor.procedures.is_some() {
            left.push(
                self.note("trpcRouter", format!("`src/{}.ts` answers no procedures", self.module))
                    .hint("answer them as routes: `register.route(\"POST\", \"/…\", handler)`"),
            );
        }
        match (&self.kept_entry, &descriptor.runtime) {
            (Some(entry), _) => self.left_beside(entry, &mut left),
            (None, Runtime::Node { entry })
                if descriptor.declared.routes.is_empty() && descriptor.procedures.is_none() =>
            {
                left.push(
                    self.note("entry", format!("what `{}` does is not carried over", entry.display())).hint(
                        format!("call it from `src/{}.ts`, in `onInitialize` or `onStart`", self.module),
                    ),
                );
            }
            (None, _) => {}
        }
        if !descriptor.requirements.env.is_empty() {
            let names = descriptor.requirements.env.join("`, `");
            left.push(self.note(
                "permissions.env",
                format!("`{names}` may be read, and the plugin starts without a value too"),
            ));
        }
        let types: Vec<&str> = listing.types.iter().map(|kind| kind.as_str()).collect();
        left.push(self.note("type", format!("the types ({}) are not carried over", types.join(", "))));
        if self.kept_entry.is_some() {
            return left;
        }
        if self.module != MODULES[0] {
            left.push(self.note(
                "entry",
                format!(
                    "the new module is `src/{}.ts`: `src/index` or `dist/index.js` is something else's",
                    self.module
                ),
            ));
        }
        self.left_of_servers(&mut left);
        self.left_of_auth(&mut left);
        self.left_of_dashboard(&mut left);
        left
    }

    fn left_of_servers(&self, left: &mut Problems) {
        for server in &self.descriptor.servers {
            match &server.endpoint {
                McpEndpoint::Process { .. }
                    if server.transports.len() > 1 && server.transports.contains(&McpTransport::Stdio) =>
                {
                    left.push(
                        self.note("capabilities.mcp.transport", "the server is spoken to over stdio alone"),
                    );
                }
                McpEndpoint::Remote { .. } if !server.transports.contains(&McpTransport::Http) => {
                    left.push(self.note("capabilities.mcp.transport", "the transport is the host's choice"));
                }
                McpEndpoint::Process { .. } | McpEndpoint::Remote { .. } => {}
            }
        }
        let mcp = &self.descriptor.declared.mcp;
        let is_told = |id: &hayloft_model::ServerId| {
            let server = self.descriptor.servers.iter().find(|server| server.id == *id);
            server.is_some_and(source::is_registered)
        };
        let mut servers = mcp.local.iter().chain(&mcp.external);
        if servers.any(|server| !server.tools.is_empty() && !is_told(&server.id)) {
            left.push(
                self.note("capabilities.mcp.tools", "tools are listed once the server ran, as it lists them"),
            );
        }
    }

    /// What the manifest says beside an entry that is a plugin itself, and that the entry must say from now on.
    fn left_beside(&self, entry: &Path, left: &mut Problems) {
        let declared = &self.descriptor.declared;
        let said = [
            ("configSchema", !declared.config_schema.fields.is_empty()),
            ("capabilities.mcp", !self.descriptor.servers.is_empty()),
            ("capabilities.ui", !declared.pages.is_empty() || !declared.ui_components.is_empty()),
            ("settingsExtensions", !declared.ui_extensions.is_empty()),
        ];
        for (key, says) in said {
            if says {
                left.push(
                    self.note(key, format!("is not carried over: `{}` is a plugin already", entry.display()))
                        .hint("register in it what it does not register yet"),
                );
            }
        }
    }

    fn left_of_auth(&self, left: &mut Problems) {
        use hayloft_model::plugin::AuthMethod;
        for method in &self.descriptor.declared.auth_methods {
            match method {
                AuthMethod::ApiKey(_) => {}
                AuthMethod::Jwt(method) => left.push(self.note(
                    "capabilities.mcp.auth",
                    format!("`{}` is registered as an API key: a token that a person pastes", method.id),
                )),
                AuthMethod::Oauth2(oauth) if oauth.authorization_url.is_none() => left.push(
                    self.note("capabilities.mcp.auth", "`oauth2` is left out: it names no authorization server")
                        .hint("register it with its addresses: `register.auth.oauth2({ … })` in `onInitialize`"),
                ),
                AuthMethod::Oauth2(_) => left.push(
                    self.note(
                        "capabilities.mcp.auth.oauth",
                        "client id and client secret are settings now, which fall back on the host's variables",
                    )
                    .hint("an operator must grant the secret's name to the plugin"),
                ),
            }
        }
    }

    fn left_of_dashboard(&self, left: &mut Problems) {
        let declared = &self.descriptor.declared;
        for (index, extension) in declared.ui_extensions.iter().enumerate() {
            if extension.tab_name.is_some() || extension.tab_order.is_some() || !extension.props.is_empty() {
                left.push(self.note(
                    &format!("settingsExtensions[{index}]"),
                    format!("name, order and properties of `{}` are not carried over", extension.component),
                ));
            }
        }
        for (index, page) in declared.pages.iter().enumerate() {
            let requirement =
                if page.requires_session == Some(false) { ", and needs a session now" } else { "" };
            left.push(self.note(
                &format!("capabilities.ui.routes[{index}]"),
                format!("the page `{}` gets a path of the host's choice{requirement}", page.id),
            ));
        }
        if !declared.ui_components.is_empty() {
            left.push(
                self.note(
                    "capabilities.ui.components",
                    "components without a page or a place are not carried over",
                )
                .hint("import them in the components that use them"),
            );
        }
    }
}

/// Names for the new module, the usual one first.
const MODULES: [&str; 3] = ["index", "plugin", "hay-plugin-entry"];

/// The endings of files that a compiler makes a module of that name from.
const SOURCES: [&str; 7] = ["ts", "tsx", "mts", "cts", "js", "mjs", "cjs"];

/// The entry, if it is what a newer format's entry is and the host ran it as that: it names no code of its own.
fn kept_entry(folder: &Folder, descriptor: &PluginDescriptor) -> Option<PathBuf> {
    static PLUGIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"\bdefineHayPlugin\b|\bextends\s*\(?(?:[\w$]+\s*[.,]\s*)*HayPlugin\b|\bstartPluginWorker\b",
        )
        .ok()
    });
    let Runtime::Node { entry } = &descriptor.runtime else { return None };
    if !descriptor.declared.routes.is_empty() || descriptor.procedures.is_some() {
        return None;
    }
    let source = folder.read_text(&entry.to_string_lossy(), LARGEST_SOURCE).ok()?;
    PLUGIN.as_ref()?.is_match(&source).then(|| entry.clone())
}

/// The name of the new module: one that overwrites nothing, neither as a source nor when it is built.
fn module(folder: &Folder, descriptor: &PluginDescriptor) -> String {
    let is_used = |name: &str| {
        let built = format!("dist/{name}.js");
        let has = |path: String| folder.locate(&path).is_ok();
        let by_server = descriptor.servers.iter().any(|server| match &server.endpoint {
            McpEndpoint::Process { command } => command.arguments.iter().any(|argument| {
                let path = command.folder.join(argument.trim_start_matches("./"));
                path == Path::new(&built)
            }),
            McpEndpoint::Remote { .. } => false,
        });
        // What nothing but the old entry was is built anew.
        let is_entry = matches!(&descriptor.runtime, Runtime::Node { entry } if *entry == Path::new(&built))
            || descriptor.runtime == Runtime::Servers && *name == *MODULES[0];
        by_server
            || SOURCES.into_iter().any(|ending| has(format!("src/{name}.{ending}")))
            || (!is_entry && has(built))
    };
    let numbered = (2..).map(|number| format!("{}-{number}", MODULES[2]));
    let names = MODULES.into_iter().map(str::to_owned).chain(numbered);
    // Numbers do not end before a name is free.
    names.into_iter().find(|name| !is_used(name)).unwrap_or_default()
}

/// The handler files of the routes, by the index of the route among the declared ones.
fn handlers(folder: &Folder, manifest: &str) -> Vec<(usize, String)> {
    let Ok(text) = folder.read_text(manifest, 1024 * 1024) else { return Vec::new() };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let Ok(manifest) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let routes = manifest.pointer("/capabilities/api/routes").and_then(|routes| routes.as_array());
    let file = |route: &serde_json::Value| Some(route.get("handler")?.as_str()?.to_owned());
    routes
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, route)| Some((index, file(route)?)))
        .collect()
}
