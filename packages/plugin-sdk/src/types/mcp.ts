import type { HayAuthRuntimeAPI } from "./auth.js";
import type { ConfigSchema, HayConfigRuntimeAPI } from "./config.js";
import type { HayLogger } from "./logger.js";

/** A tool as an MCP server lists it. Fields that are not named here pass through. */
export interface McpTool {
  /** Unique within the server. */
  name: string;
  /** What a person reads. */
  title?: string;
  /** What a model reads. */
  description?: string;
  /** JSON Schema of the arguments; an object without properties if absent. */
  inputSchema?: object;
  /** JSON Schema of `structuredContent`. */
  outputSchema?: object;
  /** Hints such as `readOnlyHint`. */
  annotations?: object;
  /** Anything else about it. */
  _meta?: object;
}

/** One part of a tool's result. */
export interface McpContent {
  /** `text`, `image`, `audio`, `resource` or `resource_link`. */
  type: string;
  /** The text, where `type` is `text`. */
  text?: string;
  /** The bytes in base64, where `type` is `image` or `audio`. */
  data?: string;
  /** What the bytes are. */
  mimeType?: string;
}

/** What a tool answers. */
export interface McpToolResult {
  /** The parts of the answer. */
  content: readonly McpContent[];
  /** The answer as data. */
  structuredContent?: object;
  /** Whether the tool says that it failed. */
  isError?: boolean;
}

/**
 * An MCP server inside the worker. It may be
 * - an object with `listTools` and `callTool`,
 * - a `Server` or `McpServer` of the official MCP packages, or an object that holds one as its `server`,
 * - anything else, which is a server without tools.
 */
export interface McpServerInstance {
  /** The tools, as a list or as MCP's `{ tools }`. */
  listTools?(): unknown;
  /** Runs a tool. A result that is no `McpToolResult` is wrapped in one; a throw becomes a result with `isError`. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- authors give each tool's arguments a type of their own
  callTool?(name: string, args: any): unknown;
  /** Connects a server of the official packages to a transport. */
  connect?(transport: never): Promise<void>;
  /** A server of the official packages, where a class of the plugin wraps one. */
  server?: unknown;
  /** Releases what the server holds. Called before the worker ends and before the server is replaced. */
  stop?(): Promise<void> | void;
}

/** What the initializer of an in-process MCP server gets. */
export interface McpInitializerContext<Schema extends ConfigSchema = ConfigSchema> {
  /** The organization's configuration. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The organization's credentials. */
  auth: HayAuthRuntimeAPI;
  /** The worker's log. */
  logger: HayLogger;
}

/** Makes an in-process MCP server. */
export type McpInitializer<Schema extends ConfigSchema = ConfigSchema> = (
  ctx: McpInitializerContext<Schema>,
) => Promise<McpServerInstance> | McpServerInstance;

/** An MCP server that is a process of its own and speaks over its standard input and output. */
export interface StdioMcpOptions {
  /** Identifies the server within the plugin. */
  id: string;
  /** The program. */
  command: string;
  /** Its arguments. */
  args?: readonly string[];
  /** Its working directory, relative to the plugin; the plugin's root if absent. */
  cwd?: string;
  /** Its whole environment beside `PATH` and the like. */
  env?: Readonly<Record<string, string>>;
  /** Milliseconds until it must have answered `initialize`; 30,000 if absent. */
  timeout?: number;
}

/** An MCP server elsewhere. */
export interface ExternalMcpOptions {
  /** Identifies the server within the plugin. */
  id: string;
  /** Its address. */
  url: string;
  /** Headers of every request to it. */
  authHeaders?: Readonly<Record<string, string>>;
}

/**
 * Starts the MCP servers of one organization. All of them are stopped with the worker. A second start with the same
 * `id` replaces the first.
 */
export interface HayMcpRuntimeAPI<Schema extends ConfigSchema = ConfigSchema> {
  /** Starts a server inside the worker. */
  startLocal(id: string, initializer: McpInitializer<Schema>): Promise<void>;
  /** Starts a server as a process beside the worker. */
  startLocalStdio(options: StdioMcpOptions): Promise<void>;
  /**
   * Hands over a server elsewhere. The host reaches it, whether or not the worker runs; the promise is fulfilled once it is
   * noted, and rejected when its address or headers can never be used.
   */
  startExternal(options: ExternalMcpOptions): Promise<void>;
}

/** An MCP server announced before it runs. */
export interface McpServerDescriptor {
  /** The id that it will be started with. */
  id: string;
  /** What a person reads. */
  name?: string;
  /** One line about it. */
  description?: string;
}

/** Announces MCP servers before they run, so that people see them while nothing is configured. */
export interface RegisterMcpDescriptorAPI {
  /** A server that will run in or beside the worker. */
  local(server: McpServerDescriptor): void;
  /** A server elsewhere. */
  external(server: McpServerDescriptor): void;
}
