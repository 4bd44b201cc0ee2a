//! What a running worker says that its plugin registered: read without trust.
//!
//! A worker runs code that nobody vouches for, so nothing in its message counts before it was checked here: shapes,
//! names, sizes, references between the parts, and environment names against the manifest's list. A part with an error
//! is left out of the result; the rest stands.

use hayloft_model::config::ConfigSchema;
use hayloft_model::plugin::{
    Capability, HookName, McpDeclarations, McpServerDeclaration, ProcedureDeclaration, ProcedureKind,
};
use hayloft_model::{PluginDescriptor, Problem, Problems, Registration, ServerId};
use serde_json::value::RawValue;

use crate::document::{Document, Naming, Object, View};
use crate::formats::{self, SettingEnv};
use crate::tool;
use crate::words::{listed, meant, quoted};

mod auth;
pub(crate) mod config;
mod cron_syntax;
pub(crate) mod routes;
mod schedule;
pub mod server;
mod ui;
mod webhook;

pub(crate) use ui::{component, page_path, ui_component, ui_extension};

/// Most entries of any one kind.
const MOST_ENTRIES: usize = 500;

/// Longest id of anything that a plugin registers, in bytes.
const LONGEST_ID: usize = 128;

const KEYS: [&str; 13] = [
    "name",
    "configSchema",
    "authMethods",
    "mcp",
    "uiExtensions",
    "uiComponents",
    "pages",
    "routes",
    "crons",
    "procedures",
    "webhookRouting",
    "hooks",
    "readsOrganizationEarly",
];

/// What a worker's message registers beside what its folder declared, and everything that is wrong with it. Places
/// begin with `metadata`, as the message is called.
#[must_use]
pub fn read(raw: &RawValue, descriptor: &PluginDescriptor) -> (Registration, Problems) {
    let declared = &descriptor.declared;
    let unnamed = || Registration { name: descriptor.display_name.clone(), ..declared.clone() };
    let mut problems = Problems::new();
    let document = match Document::parse(raw.get(), Naming::Message("metadata")) {
        Ok(document) => document,
        Err(problem) => return (unnamed(), problem.into()),
    };
    let Some(message) = document.root().object(&mut problems) else {
        return (unnamed(), problems);
    };
    message.check_keys(&KEYS, &mut problems);

    let format = formats::named(&descriptor.format);
    let mut env = EnvReferences {
        allowed: &descriptor.env,
        meaning: format.map_or(SettingEnv::StandsIn, |format| format.setting_env),
        refused: Vec::new(),
    };
    let name = message.required("name", &mut problems).and_then(|name| name.label(&mut problems));
    let mut config_schema = declared.config_schema.clone();
    config::read(&message, &mut config_schema, &mut env, &mut problems);
    let registration = Registration {
        name: name.unwrap_or_else(|| unnamed().name),
        auth_methods: auth::read(&message, &config_schema, &descriptor.env, &mut problems),
        mcp: mcp(&message, &mut problems),
        ui_extensions: ui::ui_extensions(&message, &mut problems),
        ui_components: ui::ui_components(&message, &mut problems),
        pages: ui::pages(&message, &mut problems),
        routes: routes::read(&message, &mut problems),
        crons: schedule::read(&message, &mut problems),
        procedures: procedures(&message, &mut problems),
        webhook_routing: webhook::read(&message, &config_schema, &mut env, &mut problems),
        hooks: hooks(&message, &mut problems),
        reads_organization_early: message
            .boolean("readsOrganizationEarly", &mut problems)
            .unwrap_or_default(),
        config_schema,
    };
    env.report(descriptor, &mut problems);
    let registration = registration.with_declared(declared);
    check_capabilities(&registration, descriptor, &mut problems);
    (registration, problems)
}

/// References to environment variables, gathered so that one hint can name the whole line to write.
struct EnvReferences<'d> {
    allowed: &'d [String],
    meaning: SettingEnv,
    refused: Vec<(String, String)>,
}

impl EnvReferences<'_> {
    /// A reference to an environment variable, if the manifest lists it.
    fn resolve(&mut self, view: &View<'_>, problems: &mut Problems) -> Option<String> {
        let name = view.text(problems)?;
        if self.allowed.iter().any(|allowed| allowed == name) {
            return Some(name.to_owned());
        }
        if crate::normalize::is_env_name(name) {
            self.refused.push((view.at(), name.to_owned()));
        } else {
            let message = format!("{} cannot be the name of an environment variable", quoted(name));
            problems.push(Problem::error(view.at(), message).hint("use letters, digits and `_`"));
        }
        None
    }

    fn report(self, descriptor: &PluginDescriptor, problems: &mut Problems) {
        let mut names: Vec<&str> = self.refused.iter().map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let hint = match formats::named(&descriptor.format) {
            Some(format) => (format.allow_env)(descriptor, &names),
            None => format!("list {} in the plugin's manifest", listed(names.iter().copied())),
        };
        for (at, name) in &self.refused {
            let message =
                format!("the environment variable `{name}` is not in the plugin's list of variables");
            problems.push(Problem::error(at, message).hint(&hint));
        }
    }
}

impl config::Variables for EnvReferences<'_> {
    fn read(&mut self, field: &Object<'_>, problems: &mut Problems) -> (Option<String>, Option<String>) {
        let exported = |key, problems: &mut Problems| {
            field.get(key).and_then(|name| config::exported_name(&name, problems))
        };
        let exported_as = exported("exportedAs", problems);
        match self.meaning {
            SettingEnv::StandsIn => {
                (field.get("env").and_then(|name| self.resolve(&name, problems)), exported_as)
            }
            SettingEnv::Exported => {
                let name = exported("env", problems);
                let listed = name.clone().filter(|name| self.allowed.contains(name));
                (listed, exported_as.or(name))
            }
        }
    }
}

/// An id that is unique among its kind.
pub(crate) fn unique_id(
    object: &Object<'_>,
    key: &str,
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<String> {
    let view = object.required(key, problems)?;
    let id = view.text(problems)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(allowed) || id.starts_with('.') {
        problems.push(
            Problem::error(view.at(), format!("{} cannot be an id", quoted(id)))
                .hint("use up to 128 letters, digits, `_`, `-`, `.` and `:`"),
        );
        return None;
    }
    if seen.iter().any(|earlier| earlier == id) {
        problems.push(
            Problem::error(view.at(), format!("{} is registered twice", quoted(id))).hint("rename one"),
        );
        return None;
    }
    seen.push(id.to_owned());
    Some(id.to_owned())
}

/// The name of a setting that the plugin declared.
fn known_field(view: &View<'_>, schema: &ConfigSchema, problems: &mut Problems) -> Option<String> {
    let name = view.text(problems)?;
    if schema.field(name).is_some() {
        return Some(name.to_owned());
    }
    let fields = || schema.fields.keys().map(String::as_str);
    let hint = match meant(name, fields()) {
        Some(word) => format!("did you mean {}?", quoted(word)),
        None if schema.fields.is_empty() => String::from("declare it with `register.config({ … })`"),
        None => format!("declare it with `register.config({{ … }})`; declared are {}", listed(fields())),
    };
    problems
        .push(Problem::error(view.at(), format!("the plugin has no setting {}", quoted(name))).hint(hint));
    None
}

fn mcp(message: &Object<'_>, problems: &mut Problems) -> McpDeclarations {
    let Some(mcp) = message.get("mcp").and_then(|mcp| mcp.object(problems)) else {
        return McpDeclarations::default();
    };
    mcp.check_keys(&["local", "external"], problems);
    let mut seen: Vec<ServerId> = Vec::new();
    let mut servers = |key, problems: &mut Problems| {
        let items = mcp.items(key, MOST_ENTRIES, problems);
        items.iter().filter_map(|item| mcp_server(item, &mut seen, problems)).collect()
    };
    McpDeclarations { local: servers("local", problems), external: servers("external", problems) }
}

fn mcp_server(
    item: &View<'_>,
    seen: &mut Vec<ServerId>,
    problems: &mut Problems,
) -> Option<McpServerDeclaration> {
    let server = item.object(problems)?;
    server.check_keys(&["id", "name", "description", "tools"], problems);
    let view = server.required("id", problems)?;
    let id: ServerId = match view.text(problems)?.parse() {
        Ok(id) => id,
        Err(invalid) => {
            let invalid: hayloft_model::ids::InvalidId = invalid;
            let message = format!("{} is not {}", quoted(&invalid.text), invalid.expected);
            problems.push(Problem::error(view.at(), message));
            return None;
        }
    };
    if seen.contains(&id) {
        problems.push(
            Problem::error(view.at(), format!("the server `{id}` is registered twice")).hint("rename one"),
        );
        return None;
    }
    seen.push(id.clone());
    let name = server.label("name", problems);
    let description = server.label("description", problems);
    let tools = server.get("tools").map(|list| tool::read_all(&list, problems)).unwrap_or_default();
    Some(McpServerDeclaration { id, name, description, tools })
}

fn procedures(message: &Object<'_>, problems: &mut Problems) -> Vec<ProcedureDeclaration> {
    let mut procedures: Vec<ProcedureDeclaration> = Vec::new();
    for item in message.items("procedures", MOST_ENTRIES, problems) {
        let Some(procedure) = procedure(&item, problems) else { continue };
        if procedures.iter().any(|earlier| earlier.path == procedure.path) {
            let message = format!("the procedure {} is registered twice", quoted(&procedure.path));
            problems.push(Problem::error(item.at(), message).hint("rename one"));
        } else {
            procedures.push(procedure);
        }
    }
    procedures
}

fn procedure(item: &View<'_>, problems: &mut Problems) -> Option<ProcedureDeclaration> {
    let object = item.object(problems)?;
    object.check_keys(&["path", "type"], problems);
    let path = object.required("path", problems).and_then(|path| procedure_path(&path, problems));
    let view = object.required("type", problems)?;
    let name = view.text(problems)?;
    let Ok(kind) = serde_json::from_value::<ProcedureKind>(name.into()) else {
        let message = format!("{} is not a kind of procedure", quoted(name));
        problems.push(
            Problem::error(view.at(), message).hint("known are `query`, `mutation` and `subscription`"),
        );
        return None;
    };
    Some(ProcedureDeclaration { path: path?, kind })
}

fn procedure_path(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let path = view.text(problems)?;
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'))
    };
    if path.len() > LONGEST_ID || !path.split('.').all(part) {
        let message = format!("{} cannot be the name of a procedure", quoted(path));
        problems.push(
            Problem::error(view.at(), message)
                .hint("use letters, digits and `_`, with `.` between the parts"),
        );
        return None;
    }
    Some(path.to_owned())
}

fn hooks(message: &Object<'_>, problems: &mut Problems) -> Vec<HookName> {
    let mut hooks = Vec::new();
    for item in message.items("hooks", MOST_ENTRIES, problems) {
        let Some(name) = item.text(problems) else { continue };
        match serde_json::from_value::<HookName>(name.into()) {
            Ok(hook) if hooks.contains(&hook) => {}
            Ok(hook) => hooks.push(hook),
            Err(_) => problems.push(
                Problem::warning(item.at(), format!("{} is not a known hook", quoted(name)))
                    .hint("nothing calls it; the plugin may be written for a newer version"),
            ),
        }
    }
    hooks
}

/// Warns of kinds that the manifest does not declare. Plugins in the wild forget them, so they work all the same.
fn check_capabilities(registration: &Registration, descriptor: &PluginDescriptor, problems: &mut Problems) {
    // Code that gets only the services that it names declares those, and not what it registers.
    if descriptor.services.is_some() {
        return;
    }
    let implied = formats::named(&descriptor.format).map(|format| format.implied).unwrap_or_default();
    let mcp = &registration.mcp;
    let kinds = [
        (Capability::Config, "configSchema", !registration.config_schema.fields.is_empty(), "settings"),
        (Capability::Auth, "authMethods", !registration.auth_methods.is_empty(), "ways to authenticate"),
        (Capability::Mcp, "mcp", !(mcp.local.is_empty() && mcp.external.is_empty()), "MCP servers"),
        (
            Capability::Ui,
            "uiExtensions",
            !registration.ui_extensions.is_empty(),
            "extensions of the dashboard",
        ),
        (Capability::Ui, "pages", !registration.pages.is_empty(), "pages of the dashboard"),
        (Capability::Routes, "routes", !registration.routes.is_empty(), "routes"),
        (Capability::Routes, "webhookRouting", registration.webhook_routing.is_some(), "a shared webhook"),
        (Capability::Cron, "crons", !registration.crons.is_empty(), "scheduled jobs"),
    ];
    for (capability, key, registered, what) in kinds {
        if registered && !descriptor.declares(capability) && !implied.contains(&capability) {
            let message =
                format!("the plugin registers {what} and does not declare the capability `{capability}`");
            problems.push(
                Problem::warning(format!("metadata.{key}"), message)
                    .hint(format!("add `\"{capability}\"` to the manifest's capabilities")),
            );
        }
    }
}
