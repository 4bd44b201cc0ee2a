//! The module of a migrated plugin.

use hayloft_model::PluginDescriptor;
use hayloft_model::config::{ConfigField, FieldType};
use hayloft_model::plugin::auth::{ApiKeyAuth, ClientCredential, OAuth2};
use hayloft_model::plugin::{AuthMethod, Command, McpEndpoint, McpServer, McpTransport, RouteDeclaration};
use serde_json::{Map, Value, json};

use super::literal::{key, literal, object};
use super::{GeneratedFile, Plan};

/// The SDK that the new plugin is written with.
pub(super) const SDK: &str = "@hay/plugin-sdk";

/// The key of the new manifest in `package.json`.
pub(super) const KEY: &str = "hay-plugin";

/// A setting that takes the place of a host variable.
pub(super) struct ClientSetting {
    name: &'static str,
    label: &'static str,
    /// The variable, which stands in while the setting has no value.
    pub(super) env: Option<String>,
}

/// The settings that hold an OAuth client, where the host's variables did before.
pub(super) fn client_settings(descriptor: &PluginDescriptor) -> Vec<ClientSetting> {
    let oauth = descriptor.declared.auth_methods.iter().find_map(|method| match method {
        AuthMethod::Oauth2(oauth) => oauth.authorization_url.is_some().then_some(oauth),
        AuthMethod::ApiKey(_) | AuthMethod::Jwt(_) => None,
    });
    let Some(oauth) = oauth else { return Vec::new() };
    let env = |credential: &Option<ClientCredential>| match credential {
        Some(ClientCredential::Host { env }) => Some(env.clone()),
        Some(ClientCredential::Field(_)) | None => None,
    };
    vec![
        ClientSetting { name: CLIENT_ID, label: "OAuth client id", env: env(&oauth.client_id) },
        ClientSetting { name: CLIENT_SECRET, label: "OAuth client secret", env: env(&oauth.client_secret) },
    ]
}

const CLIENT_ID: &str = "oauthClientId";
const CLIENT_SECRET: &str = "oauthClientSecret";

/// The module.
pub(super) fn file(plan: &Plan<'_>) -> GeneratedFile {
    let initialize = initialize(plan);
    let servers = &plan.descriptor.servers;
    let has_handlers = handlers(plan).next().is_some();
    // Handlers read their settings from the environment, as servers do.
    let sets_variables = has_handlers && has_variables(plan);
    let gives_settings = sets_variables || (servers.iter().any(is_local) && has_variables(plan));
    let registers = servers.iter().any(is_registered);
    let mut start: String = servers.iter().map(|server| start(plan, server)).collect();
    if sets_variables {
        start.insert_str(0, "    Object.assign(process.env, environment(config));\n");
    }
    let has_clients = !client_settings(plan.descriptor).is_empty();

    let mut names = vec!["defineHayPlugin"];
    names.extend(gives_settings.then_some("type HayConfigRuntimeAPI"));
    names.extend(has_handlers.then_some("type RouteHandler"));
    let mut text = format!("import {{ {} }} from \"{SDK}\";\n\n", names.join(", "));
    if sets_variables || registers || (gives_settings && !host_variables(plan).is_empty()) {
        text.push_str("declare const process: { env: Record<string, string | undefined> };\n\n");
    }
    if gives_settings {
        text.push_str(&environment(plan));
    }
    if registers {
        text.push_str(REGISTER);
    }
    if has_handlers {
        text.push_str(HANDLER);
    }
    let context = match (initialize.is_empty(), has_clients) {
        (true, _) => "",
        (false, true) => "{ register, config }",
        (false, false) => "{ register }",
    };
    text.push_str(&format!("export default defineHayPlugin(({context}) => ({{\n"));
    text.push_str(&format!("  name: {},\n", Value::from(plan.descriptor.display_name.as_str())));
    if !initialize.is_empty() {
        text.push_str(&format!("\n  onInitialize() {{\n{initialize}  }},\n"));
    }
    if !start.is_empty() {
        let reads_key = pasted_key(plan).is_some() && servers.iter().any(|server| !is_local(server));
        let names = [
            ("config", gives_settings || reads_key),
            ("mcp", servers.iter().any(|server| !is_registered(server))),
        ];
        let names: Vec<&str> = names.iter().filter(|(_, needed)| *needed).map(|(name, _)| *name).collect();
        let context = if names.is_empty() { String::new() } else { format!("{{ {} }}", names.join(", ")) };
        text.push_str(&format!("\n  async onStart({context}) {{\n{start}  }},\n"));
    }
    text.push_str("}));\n");
    GeneratedFile { path: format!("src/{}.ts", plan.module).into(), text }
}

/// Handlers are modules of their own and stay where they are.
const HANDLER: &str = "/** A handler in a module of its own, loaded when it is first called. */
function handler(file: string): RouteHandler {
  return async (req, res) => {
    const module = (await import(file)) as { default: RouteHandler | { default: RouteHandler } };
    const handle = typeof module.default === \"function\" ? module.default : module.default.default;
    return handle(req, res);
  };
}

";

/// The host starts and keeps up what is registered with it, on whatever transport it speaks.
const REGISTER: &str =
    "/** Hands a server that listens on a port to the host, which starts it and keeps it up. */
async function registerServer(server: object): Promise<void> {
  const { HAY_API_URL: url = \"http://hayloft.internal\", HAY_API_TOKEN: token = \"\" } = process.env;
  const answer = await fetch(`${url}/v1/plugin-api/mcp/register-local`, {
    method: \"POST\",
    headers: { authorization: `Bearer ${token}`, \"content-type\": \"application/json\" },
    body: JSON.stringify(server),
  });
  if (!answer.ok) throw new Error(`the host did not take the MCP server: ${await answer.text()}`);
}

";

/// Whether a server cannot be started by the plugin, since it is reached on a port, and so is handed to the host.
pub(super) fn is_registered(server: &McpServer) -> bool {
    is_local(server) && !server.transports.contains(&McpTransport::Stdio)
}

const fn is_local(server: &McpServer) -> bool {
    matches!(server.endpoint, McpEndpoint::Process { .. })
}

/// Settings with the names under which servers expect their values.
fn exported<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = (&'p str, &'p str)> {
    let fields = plan.descriptor.declared.config_schema.fields.iter();
    fields.filter_map(|(name, field)| Some((name.as_str(), field.exported_as.as_deref()?)))
}

/// Host variables that no setting is exported under.
fn host_variables(plan: &Plan<'_>) -> Vec<String> {
    let is_exported = |name: &String| exported(plan).any(|(_, exported)| exported == name);
    plan.descriptor.env.iter().filter(|name| !is_exported(name)).cloned().collect()
}

fn has_variables(plan: &Plan<'_>) -> bool {
    exported(plan).next().is_some() || !host_variables(plan).is_empty()
}

/// The setting that holds a key or a token.
fn pasted_key<'p>(plan: &'p Plan<'_>) -> Option<&'p str> {
    plan.descriptor.declared.auth_methods.iter().find_map(|method| match method {
        AuthMethod::ApiKey(method) | AuthMethod::Jwt(method) => Some(method.config_field.as_str()),
        AuthMethod::Oauth2(_) => None,
    })
}

/// The function that gives servers their settings, under the names that they expect.
fn environment(plan: &Plan<'_>) -> String {
    let names: Map<String, Value> =
        exported(plan).map(|(field, name)| (field.to_owned(), name.into())).collect();
    let host = host_variables(plan);
    let mut head = String::new();
    let mut body = String::new();
    if !host.is_empty() {
        head.push_str("/** The host's variables that the plugin's code expects. */\n");
        head.push_str(&format!("const HOST_VARIABLES = {};\n\n", literal(&host.into(), 0)));
        body.push_str("  for (const name of HOST_VARIABLES) {\n    const value = process.env[name];\n");
        body.push_str("    if (value !== undefined) environment[name] = value;\n  }\n");
    }
    if !names.is_empty() {
        head.push_str(
            "/** The variables that the plugin's code expects, by the settings that hold their values. */\n",
        );
        head.push_str(&format!("const VARIABLES = {};\n\n", literal(&Value::Object(names), 0)));
        body.push_str("  for (const [field, name] of Object.entries(VARIABLES)) {\n");
        body.push_str("    const value: unknown = config.getOptional(field);\n");
        body.push_str("    if (value === undefined) continue;\n");
        body.push_str(
            "    environment[name] = typeof value === \"string\" ? value : JSON.stringify(value);\n  }\n",
        );
    }
    format!(
        "{head}function environment(config: HayConfigRuntimeAPI): Record<string, string> {{\n  const environment: \
         Record<string, string> = {{}};\n{body}  return environment;\n}}\n\n"
    )
}

fn initialize(plan: &Plan<'_>) -> String {
    let declared = &plan.descriptor.declared;
    let mut text = String::new();
    let mut call = |what: &str, argument: &str| text.push_str(&format!("    register.{what}({argument});\n"));
    let schema = schema(plan);
    if !schema.is_empty() {
        call("config", &literal(&Value::Object(schema), 2));
    }
    for method in &declared.auth_methods {
        match method {
            AuthMethod::ApiKey(method) | AuthMethod::Jwt(method) => call("auth.apiKey", &api_key(method)),
            AuthMethod::Oauth2(oauth) => {
                if let Some(oauth) = oauth2(oauth) {
                    call("auth.oauth2", &oauth);
                }
            }
        }
    }
    for extension in &declared.ui_extensions {
        call("ui", &literal(&json!({ "slot": extension.slot, "component": extension.component }), 2));
    }
    for page in &declared.pages {
        let page = json!({ "id": page.id, "title": page.title, "component": page.component });
        call("ui.page", &literal(&page, 2));
    }
    for server in &plan.descriptor.servers {
        let kind = if is_local(server) { "mcp?.local" } else { "mcp?.external" };
        call(kind, &literal(&json!({ "id": server.id.as_str() }), 2));
    }
    for (route, file) in handlers(plan) {
        let access = if route.access.is_open() { "" } else { ", { access: \"organization\" }" };
        let (path, file) = (Value::from(route.path.as_str()), Value::from(file));
        call("route", &format!("\"{}\", {path}, handler({file}){access}", route.method.as_str()));
    }
    text
}

/// The routes, each with its handler's path from the built module.
fn handlers<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = (&'p RouteDeclaration, String)> {
    plan.handlers.iter().filter_map(|(index, file)| {
        let route = plan.descriptor.declared.routes.get(*index)?;
        Some((route, format!("../{}", file.trim_start_matches("./"))))
    })
}

fn schema(plan: &Plan<'_>) -> Map<String, Value> {
    let fields = &plan.descriptor.declared.config_schema.fields;
    let mut schema: Map<String, Value> =
        fields.iter().map(|(name, given)| (name.clone(), field(given))).collect();
    for setting in client_settings(plan.descriptor) {
        let mut field = Map::new();
        field.insert("type".into(), "string".into());
        field.insert("label".into(), setting.label.into());
        if let Some(env) = setting.env {
            field.insert("env".into(), env.into());
        }
        if setting.name == CLIENT_SECRET {
            field.insert("sensitive".into(), true.into());
        }
        schema.insert(setting.name.to_owned(), Value::Object(field));
    }
    schema
}

fn field(field: &ConfigField) -> Value {
    let kind = match field.field_type {
        FieldType::String => "string",
        FieldType::Number => "number",
        FieldType::Boolean => "boolean",
        FieldType::Json => "json",
        FieldType::Array => "array",
        FieldType::Object => "object",
    };
    let mut object = Map::new();
    object.insert("type".into(), kind.into());
    let texts = [
        ("label", &field.label),
        ("description", &field.description),
        ("placeholder", &field.placeholder),
        ("env", &field.env),
        ("regex", &field.regex),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            object.insert(key.into(), text.as_str().into());
        }
    }
    if field.required {
        object.insert("required".into(), true.into());
    }
    if field.sensitive {
        object.insert("sensitive".into(), true.into());
    }
    if let Some(default) = &field.default {
        object.insert("default".into(), default.clone());
    }
    if let Some(options) = &field.options {
        object.insert("options".into(), options.clone().into());
    }
    // A shape always has a text.
    if let Ok(Value::Object(inside)) = serde_json::to_value(&field.inside) {
        object.extend(inside);
    }
    Value::Object(object)
}

fn api_key(method: &ApiKeyAuth) -> String {
    literal(&json!({ "id": method.id, "label": method.label, "configField": method.config_field }), 2)
}

/// The method, unless it has no address of its own.
fn oauth2(oauth: &OAuth2) -> Option<String> {
    let text = |text: &str| Value::from(text).to_string();
    let mut entries = vec![
        ("id", text(&oauth.id)),
        ("label", text(&oauth.label)),
        ("authorizationUrl", text(oauth.authorization_url.as_deref()?)),
        ("tokenUrl", text(oauth.token_url.as_deref()?)),
    ];
    for (key, scopes) in [("scopes", &oauth.scopes), ("optionalScopes", &oauth.optional_scopes)] {
        if !scopes.is_empty() {
            entries.push((key, literal(&scopes.clone().into(), 3)));
        }
    }
    entries.extend(oauth.pkce.map(|pkce| ("pkce", pkce.to_string())));
    entries.extend(oauth.scope_separator.as_deref().map(|separator| ("scopeSeparator", text(separator))));
    entries.push(("clientId", format!("config.field(\"{CLIENT_ID}\")")));
    entries.push(("clientSecret", format!("config.field(\"{CLIENT_SECRET}\")")));
    Some(object(&entries, 2))
}

fn start(plan: &Plan<'_>, server: &McpServer) -> String {
    let id = Value::from(server.id.as_str()).to_string();
    match &server.endpoint {
        McpEndpoint::Process { command } if is_registered(server) => registered(plan, id, server, command),
        McpEndpoint::Process { command } => local(id, command, has_variables(plan)),
        McpEndpoint::Remote { url } => remote(plan, id, url),
    }
}

fn local(id: String, command: &Command, gives_settings: bool) -> String {
    let mut entries = vec![("id", id), ("command", Value::from(command.program.as_str()).to_string())];
    if !command.arguments.is_empty() {
        entries.push(("args", literal(&command.arguments.clone().into(), 3)));
    }
    if !command.folder.as_os_str().is_empty() {
        entries.push(("cwd", Value::from(command.folder.to_string_lossy().into_owned()).to_string()));
    }
    let own = command
        .environment
        .iter()
        .map(|(name, value)| format!("{}: {}", key(name), Value::from(value.as_str())));
    let settings = gives_settings.then(|| String::from("...environment(config)"));
    let environment: Vec<String> = settings.into_iter().chain(own).collect();
    match environment.as_slice() {
        [] => {}
        [_] if gives_settings => entries.push(("env", String::from("environment(config)"))),
        variables => entries.push(("env", format!("{{ {} }}", variables.join(", ")))),
    }
    format!("    await mcp.startLocalStdio({});\n", object(&entries, 2))
}

/// A server on a port, handed to the host with all that the manifest says of it.
fn registered(plan: &Plan<'_>, id: String, server: &McpServer, command: &Command) -> String {
    let transports: Vec<&str> = server.transports.iter().map(|transport| transport.as_str()).collect();
    let mut entries = vec![
        ("id", id),
        ("startCommand", Value::from(super::package::words(command)).to_string()),
        ("transport", Value::from(transports.join("|")).to_string()),
    ];
    if !command.folder.as_os_str().is_empty() {
        entries.push(("serverPath", Value::from(command.folder.to_string_lossy().into_owned()).to_string()));
    }
    if has_variables(plan) {
        entries.push(("env", String::from("environment(config)")));
    }
    let declared = plan.descriptor.declared.mcp.local.iter().find(|declared| declared.id == server.id);
    if let Some(declared) = declared.filter(|declared| !declared.tools.is_empty())
        && let Ok(tools) = serde_json::to_value(&declared.tools)
    {
        entries.push(("tools", literal(&tools, 3)));
    }
    format!("    await registerServer({});\n", object(&entries, 2))
}

fn remote(plan: &Plan<'_>, id: String, url: &str) -> String {
    let mut entries = vec![("id", id), ("url", Value::from(url).to_string())];
    let mut text = String::new();
    if let Some(field) = pasted_key(plan) {
        text.push_str(&format!("    const key: unknown = config.getOptional({});\n", Value::from(field)));
        entries.push((
            "authHeaders",
            String::from("typeof key === \"string\" ? { Authorization: `Bearer ${key}` } : {}"),
        ));
    }
    text.push_str(&format!("    await mcp.startExternal({});\n", object(&entries, 2)));
    text
}
