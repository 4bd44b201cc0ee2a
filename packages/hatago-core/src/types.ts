/** What a Hatago plugin is made of. */

/** The capabilities that a plugin can declare. */
export type CapabilityName = "fetch" | "kv" | "logger" | "timer" | "crypto";

/** Where a plugin runs. */
export type PluginRuntime = "node" | "workers";

/** `hatago.plugin.json`. */
export interface PluginManifest {
  $schema?: string;
  /** The package's name. */
  name: string;
  /** Its version. */
  version: string;
  /** What a person reads. */
  description?: string;
  /** What it runs on: ranges of versions, and for `workers` a date. */
  engines?: { hatago?: string; node?: string; workers?: string };
  /** What it may use; everything else is denied. */
  capabilities?: CapabilityName[];
  /** The module to load: one, or one for each runtime. */
  entry: string | { node?: string; workers?: string; default?: string };
  /** Names of environment variables that it may read. */
  env?: string[];
  /** What it will register. */
  mcp?: { tools?: DeclaredTool[] };
}

/** A tool that a manifest announces. */
export interface DeclaredTool {
  name: string;
  title?: string;
  description?: string;
  inputSchema?: object;
  outputSchema?: object;
}

/** What a plugin is called with first. */
export interface PluginContext {
  /** The plugin's own manifest. */
  manifest: PluginManifest;
  /** What the organization configured. */
  config: Record<string, unknown>;
  /** Where the plugin runs. */
  runtime: PluginRuntime;
}

/** What a plugin is given to work with. */
export interface PluginHost {
  /** The MCP server to register tools, resources and prompts with. */
  server: HatagoServer;
  /** What the manifest declared. To reach for anything else throws a `CapabilityError`. */
  capabilities: Capabilities;
  /** A Hono application for HTTP routes. */
  app: HatagoApp;
  /** The environment variables that the plugin may read. */
  env: Readonly<Record<string, string>>;
  /** The public address that the routes of `app` are reached at. */
  getBaseUrl(request: Request | { url: string; headers?: unknown }): string;
}

/** Releases what a plugin holds. */
export type Dispose = () => void | Promise<void>;

/** What a plugin may leave behind. */
// eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- most plugins return nothing
export type PluginSetupResult = void | Dispose | { dispose: Dispose };

/** A plugin, ready to register what it has. */
export type HatagoPlugin = (host: PluginHost) => PluginSetupResult | Promise<PluginSetupResult>;

/** What a plugin's module exports as its default. */
export type HatagoPluginFactory = (context: PluginContext) => HatagoPlugin;

/** What a plugin may use. */
export interface Capabilities {
  fetch: Fetch;
  kv: KV;
  logger: Logger;
  timer: Timer;
  crypto: HatagoCrypto;
}

/** Structured logging. */
export interface Logger {
  debug(message: string, meta?: object): void;
  info(message: string, meta?: object): void;
  warn(message: string, meta?: object): void;
  error(message: string, meta?: object): void;
}

/** Texts by key, kept for each organization and plugin. */
export interface KV {
  /** The value, or `null` where there is none or its time is over. */
  get(key: string): Promise<string | null>;
  /** @param ttl how many seconds it is kept; for good if absent. */
  set(key: string, value: string, ttl?: number): Promise<void>;
  delete(key: string): Promise<void>;
}

/** HTTP requests. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** A running timer. */
export type TimerHandle = unknown;

/** Timers. Those that still run are cleared when the plugin is disposed of. */
export interface Timer {
  setTimeout(callback: () => void, milliseconds?: number): TimerHandle;
  setInterval(callback: () => void, milliseconds?: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
  clearInterval(handle: TimerHandle): void;
}

/** Web cryptography. */
export type HatagoCrypto = typeof globalThis.crypto;

/**
 * What arguments or results must be: JSON Schema, a schema of a library with Standard Schema (such as Zod), or an object
 * of such schemas by name.
 */
export type SchemaLike = object;

/** One part of a result. */
export interface ContentPart {
  type: string;
  text?: string;
  data?: string;
  mimeType?: string;
  [field: string]: unknown;
}

/** What a tool answers. */
export interface ToolResult {
  content?: ContentPart[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
  _meta?: Record<string, unknown>;
  [field: string]: unknown;
}

/** How a tool is described. */
export interface ToolConfig {
  title?: string;
  description?: string;
  inputSchema?: SchemaLike;
  outputSchema?: SchemaLike;
  annotations?: Record<string, unknown>;
  _meta?: Record<string, unknown>;
}

/** How far a call is. */
export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}

/** A call, as its handler sees it. */
export interface RequestExtra {
  /** Aborts when the caller gave up. */
  readonly signal: AbortSignal;
  readonly requestId: string | number;
  readonly _meta: Record<string, unknown> | undefined;
  /** Sends a notification that belongs to this call. */
  sendNotification(notification: { method: string; params?: object }): Promise<void>;
  /** Tells the caller how far the call is; does nothing where the caller did not ask. */
  sendProgress(progress: Progress): Promise<void>;
}

/** Runs a tool. A text is its text content; what is thrown becomes a result with `isError`. */
export type ToolHandler = (
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the schema says what they are
  args: any,
  extra: RequestExtra,
) => ToolResult | string | Promise<ToolResult | string>;

/** How a resource is described. */
export interface ResourceConfig {
  title?: string;
  description?: string;
  mimeType?: string;
  [field: string]: unknown;
}

/** What reading a resource gives. */
export interface ResourceResult {
  contents: { uri: string; mimeType?: string; text?: string; blob?: string }[];
}

/** Reads a resource. `variables` are the parts of a template, or the call where there is none. */
export type ResourceReader = (
  uri: URL,
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- variables of a template, or the call, as in MCP's SDK
  variables: any,
  extra?: RequestExtra,
) => ResourceResult | Promise<ResourceResult>;

/** How a prompt is described. */
export interface PromptConfig {
  title?: string;
  description?: string;
  argsSchema?: SchemaLike;
}

/** What a prompt gives. */
export interface PromptResult {
  description?: string;
  messages: { role: "user" | "assistant"; content: ContentPart }[];
}

/** Makes a prompt. */
export type PromptHandler = (
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the schema says what they are
  args: any,
  extra: RequestExtra,
) => PromptResult | Promise<PromptResult>;

/** Something that was registered and can be taken back. */
export interface Registered {
  remove(): void;
}

/** The MCP server of one plugin. */
export interface HatagoServer {
  registerTool(name: string, config: ToolConfig, handler: ToolHandler): Registered;
  /** @param uri an address, or a template such as `notes://{id}`. */
  registerResource(
    name: string,
    uri: string | object,
    config: ResourceConfig,
    read: ResourceReader,
  ): Registered;
  registerPrompt(name: string, config: PromptConfig, handler: PromptHandler): Registered;
  /** Sends a notification to whoever is connected. */
  notification(notification: { method: string; params?: object }): Promise<void>;
}

/** A Hono application, as far as it can be described without Hono's own types. */
export interface HatagoApp {
  get(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  post(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  put(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  patch(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  delete(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  all(path: string, ...handlers: HatagoRouteHandler[]): unknown;
  use(...handlers: unknown[]): unknown;
  fetch(request: Request): Response | Promise<Response>;
}

/** Answers a request. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- Hono's context, whose types the plugin may have itself
export type HatagoRouteHandler = (context: any, next: () => Promise<void>) => unknown;
