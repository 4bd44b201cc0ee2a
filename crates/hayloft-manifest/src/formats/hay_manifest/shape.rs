//! The shape of `manifest.json`, for its JSON Schema: the reader takes its known keys from here.

#![expect(dead_code, reason = "the types stand for the file's shape: their schema is what is used")]

use std::collections::BTreeMap;

use hayloft_model::plugin::{HttpMethod, PluginType};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::network;
use crate::normalize::CATEGORIES;

/// A plugin, as a plugin host reads it.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    /// Where this schema is.
    #[schemars(rename = "$schema")]
    schema: Option<String>,
    /// The plugin's name for machines, such as `hay-plugin-orders`.
    #[schemars(regex(pattern = r"^[a-z0-9-]+$"), length(max = 214))]
    id: String,
    /// The name that people read.
    #[schemars(length(min = 1))]
    name: String,
    /// The version, as Semantic Versioning writes it.
    #[schemars(regex(pattern = r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"))]
    version: String,
    /// One line about the plugin.
    #[schemars(length(min = 1))]
    description: String,
    /// A person or an organization.
    #[schemars(length(min = 1))]
    author: String,
    /// What kinds of plugin it is.
    #[schemars(rename = "type", length(min = 1))]
    kind: Vec<PluginType>,
    /// The compiled module of the plugin. It need not be there where a server does all the work.
    entry: String,
    /// Whether organizations have it switched on from the start.
    enabled: Option<bool>,
    /// Where the marketplace files it.
    #[schemars(extend("examples" = CATEGORIES))]
    category: Option<String>,
    /// The name of an icon, or a picture's address.
    icon: Option<String>,
    /// Whether it starts as soon as the host does.
    auto_activate: Option<bool>,
    /// Whether the marketplace leaves it out.
    invisible: Option<bool>,
    /// The compiled module that exports a tRPC `router`. It needs `autoActivate`.
    trpc_router: Option<String>,
    /// The channel that a channel plugin serves.
    #[schemars(regex(pattern = r"^[a-z0-9_:-]+$"))]
    channel: Option<String>,
    /// How the marketplace shows it.
    marketplace: Option<Marketplace>,
    /// What it can do.
    capabilities: Option<Capabilities>,
    /// The settings that an organization can make, by name.
    config_schema: Option<BTreeMap<String, Setting>>,
    /// What it asks for.
    permissions: Option<Permissions>,
    /// The only hosts that it speaks to. Without it the operator's default holds.
    network: Option<Vec<network::Entry>>,
    /// Components in its page of settings.
    settings_extensions: Option<Vec<SettingsExtension>>,
    /// How its page of settings begins.
    ui: Option<SettingsPage>,
}

/// How the marketplace shows it.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Marketplace {
    /// Whether it is shown before others.
    featured: Option<bool>,
    /// Words that it is found by.
    tags: Option<Vec<String>>,
    /// Addresses of pictures.
    screenshots: Option<Vec<String>>,
}

/// What it can do: a section for each capability, or their names alone.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
enum Capabilities {
    /// A section for each capability.
    Sections(Box<Sections>),
    /// Names of capabilities.
    Names(Vec<hayloft_model::plugin::Capability>),
}

/// A section for each capability.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Sections {
    /// Its MCP server.
    mcp: Option<Mcp>,
    /// Its part of the dashboard.
    ui: Option<Ui>,
    /// Its routes.
    api: Option<Api>,
}

/// An MCP server, started from the folder or reached elsewhere.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
struct Mcp {
    /// Where it is. Local if absent.
    connection: Option<Connection>,
    /// The server's file or folder.
    server_path: Option<String>,
    /// What starts a local server. It is read as words; no shell is asked.
    start_command: Option<String>,
    /// What fetches its dependencies, such as `cd mcp && npm ci`.
    install_command: Option<String>,
    /// What builds it.
    build_command: Option<String>,
    /// What it speaks over: one name, or several as `sse|websocket|http`, or a list.
    transport: Option<Transport>,
    /// Ways to authenticate.
    auth: Option<Auth>,
    /// The tools that it will have.
    tools: Option<Vec<Tool>>,
}

/// Where a server is.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Connection {
    /// Whether the folder starts it or it runs elsewhere.
    #[schemars(rename = "type")]
    kind: Option<ConnectionKind>,
    /// The address of a remote server.
    #[schemars(url)]
    url: Option<String>,
}

/// Whether the folder starts a server or it runs elsewhere.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum ConnectionKind {
    Local,
    Remote,
}

/// What a server speaks over.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
enum Transport {
    /// One name, or several with `|` between them.
    Text(
        #[schemars(regex(
            pattern = r"^\s*(stdio|sse|websocket|http)\s*(\|\s*(stdio|sse|websocket|http)\s*)*$"
        ))]
        String,
    ),
    /// Several names.
    List(Vec<hayloft_model::plugin::McpTransport>),
}

/// Ways to authenticate.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
enum Auth {
    /// One method.
    Text(AuthKind),
    /// Several methods.
    List(Vec<AuthKind>),
    /// Several methods with what OAuth needs, or OAuth alone.
    Detailed(Box<AuthSection>),
}

/// A way to authenticate.
#[derive(JsonSchema)]
#[schemars(inline)]
enum AuthKind {
    #[schemars(rename = "apiKey")]
    ApiKey,
    #[schemars(rename = "oauth2")]
    Oauth2,
    #[schemars(rename = "jwt")]
    Jwt,
}

/// Several methods with what OAuth needs, or OAuth alone.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
struct AuthSection {
    /// The methods.
    methods: Option<Vec<AuthKind>>,
    /// What OAuth needs. Without it the server itself names its authorization server.
    oauth: Option<OAuth>,
    /// The only method.
    #[schemars(rename = "type")]
    kind: Option<AuthKind>,
}

/// What OAuth 2 needs.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
struct OAuth {
    /// Where the browser is sent.
    #[schemars(url)]
    authorization_url: String,
    /// Where the code is exchanged.
    #[schemars(url)]
    token_url: String,
    /// Scopes that are always asked for.
    scopes: Option<Vec<String>>,
    /// Scopes that the organization may leave out.
    optional_scopes: Option<Vec<String>>,
    /// Whether the provider takes PKCE.
    pkce: Option<bool>,
    /// The host's variable with the client id.
    client_id_env_var: Option<String>,
    /// The host's variable with the client secret. The plugin never sees it.
    client_secret_env_var: Option<String>,
    /// What stands between two scopes.
    scope_separator: Option<String>,
}

/// A tool, as MCP describes it.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
struct Tool {
    /// Its name for machines.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_./-]+$"), length(max = 128))]
    name: String,
    /// The name that people read.
    label: Option<String>,
    /// The same as `label`.
    title: Option<String>,
    /// What a model reads.
    description: Option<String>,
    /// JSON Schema of the arguments.
    #[schemars(rename = "input_schema")]
    input_schema_snake: Option<Map<String, Value>>,
    /// The same as `input_schema`.
    input_schema: Option<Map<String, Value>>,
    /// JSON Schema of the structured result.
    #[schemars(rename = "output_schema")]
    output_schema_snake: Option<Map<String, Value>>,
    /// The same as `output_schema`.
    output_schema: Option<Map<String, Value>>,
    /// Hints such as `readOnlyHint`.
    annotations: Option<Map<String, Value>>,
}

/// Its part of the dashboard.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Ui {
    /// Pages of its own.
    routes: Option<Vec<UiRoute>>,
    /// Components that its other components use.
    components: Option<Vec<UiComponent>>,
}

/// A page of its own.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct UiRoute {
    /// Its path in the dashboard.
    path: String,
    /// The component's file.
    component: String,
    /// Unique within the plugin.
    name: String,
    /// Its `title`, and whether it `requiresAuth`.
    meta: Option<UiMeta>,
}

/// What is said about a page.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
struct UiMeta {
    /// What people read.
    title: Option<String>,
    /// Whether only people who are signed in see it.
    requires_auth: Option<bool>,
}

/// A component that its other components use.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct UiComponent {
    /// Its name.
    name: String,
    /// Its file.
    path: String,
}

/// Its routes.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Api {
    /// The routes.
    routes: Option<Vec<ApiRoute>>,
}

/// A route.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct ApiRoute {
    /// The method.
    method: HttpMethod,
    /// The path, Express style.
    path: String,
    /// The compiled module whose default export answers `(req, res)`.
    handler: String,
    /// `auth` lets only those through who hold a token of the organization.
    middleware: Option<Vec<Middleware>>,
}

/// What a request passes before it reaches the handler.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum Middleware {
    Auth,
}

/// A setting.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Setting {
    /// What kind of value it takes.
    #[schemars(rename = "type")]
    kind: hayloft_model::config::FieldType,
    /// What a person reads beside it.
    label: Option<String>,
    /// A sentence about it.
    description: Option<String>,
    /// An example shown while it is empty.
    placeholder: Option<String>,
    /// Whether the plugin cannot start without it.
    required: Option<bool>,
    /// Whether the value is a secret.
    encrypted: Option<bool>,
    /// The same as `encrypted`.
    sensitive: Option<bool>,
    /// The environment variable under which the value reaches the plugin's server.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    env: Option<String>,
    /// A regular expression that a text must match. It runs in linear time.
    regex: Option<String>,
    /// The only values allowed.
    options: Option<Vec<Value>>,
    /// What holds when no value is given.
    default: Option<Value>,
    /// What each item of an array looks like.
    items: Option<Box<Shape>>,
    /// What properties of an object look like.
    properties: Option<BTreeMap<String, Shape>>,
}

/// What a value within a setting's value looks like.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Shape {
    /// What kind of value it is.
    #[schemars(rename = "type")]
    kind: hayloft_model::config::FieldType,
    /// What a person reads beside it.
    label: Option<String>,
    /// A sentence about it.
    description: Option<String>,
    /// Whether an object must have it.
    required: Option<bool>,
    /// What each item of an array looks like.
    items: Option<Box<Shape>>,
    /// What properties of an object look like.
    properties: Option<BTreeMap<String, Shape>>,
}

/// What it asks for.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct Permissions {
    /// Environment variables that must have a value.
    #[schemars(inner(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    env: Option<Vec<String>>,
    /// Rights, such as `org:<organizationId>:mcp:invoke`.
    scopes: Option<Vec<String>>,
    /// APIs of the platform.
    api: Option<Vec<PlatformApi>>,
}

/// An API of the platform.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum PlatformApi {
    Email,
    Mcp,
    Messages,
    Customers,
    Sources,
    Products,
    Sms,
}

/// A component in the page of settings.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "camelCase", deny_unknown_fields)]
struct SettingsExtension {
    /// Where: `before-settings`, `after-settings` or `tab`.
    #[schemars(extend("examples" = ["before-settings", "after-settings", "tab"]))]
    slot: String,
    /// The component's file, or `@/…` for one of the dashboard's own.
    component: String,
    /// The name of the tab. A tab needs it.
    tab_name: Option<String>,
    /// Where the tab stands among others.
    tab_order: Option<u32>,
    /// What the component gets.
    props: Option<Map<String, Value>>,
}

/// How the page of settings begins.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
struct SettingsPage {
    /// The way to authenticate that is offered first.
    auth: Option<String>,
    /// Whether there is such a page.
    settings: Option<bool>,
}
