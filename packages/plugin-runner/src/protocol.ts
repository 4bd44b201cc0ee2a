/**
 * The messages of the worker protocol, version 1, as types.
 *
 * Says what travels over the channel and nothing about how: no sockets, no plugin formats.
 */

import type { PluginRegistration } from "@hay/plugin-sdk/host";

/** The version that `load` and `hello` carry; the two sides must agree. */
export const PROTOCOL_VERSION = 1;

/** The exit code after a `fatal` message: the host need not guess why the process ended. */
export const FATAL_EXIT_CODE = 70;

export type FailureReason = "thrown" | "timeout" | "refused" | "unsupported" | "configuration";

/** One thing that is wrong, where it is, and what the author can do about it. */
export interface WireProblem {
  at: string;
  message: string;
  hint?: string;
}

export interface WireError {
  name: string;
  message: string;
  stack?: string;
  reason: FailureReason;
  problems?: WireProblem[];
}

export interface WireAuth {
  methodId: string;
  credentials: Record<string, unknown>;
}

/** How long the plugin's hooks may take, in milliseconds. */
export interface Deadlines {
  onInitialize: number;
  onStart: number;
  onValidateAuth: number;
  onConfigUpdate: number;
  onDisable: number;
}

export interface LoadMessage {
  type: "load";
  protocol: number;
  workerId: string;
  plugin: {
    id: string;
    root: string;
    entry: string;
    format: string;
    env: string[];
    capabilities: string[];
  };
  deadlines: Deadlines;
  /** A unix socket that takes connections to `hayloft.internal`, where no network leads there. */
  gate?: string;
}

export interface BindMessage {
  type: "bind";
  id: number;
  organization: { id: string; name?: string };
  config: Record<string, unknown>;
  auth: WireAuth | null;
  environment: Record<string, string>;
  api?: { url: string; token: string };
}

/** The hooks that belong to one organization, by their names on the wire. */
export const HOOK_NAMES = [
  "start",
  "validateAuth",
  "configUpdate",
  "disable",
  "enable",
  "connected",
] as const;
export type HookName = (typeof HOOK_NAMES)[number];

export interface HookMessage {
  type: "hook";
  id: number;
  hook: HookName;
  config?: Record<string, unknown>;
  auth?: WireAuth | null;
}

export interface CronMessage {
  type: "cron";
  id: number;
  name: string;
}

/** Who calls a procedure, as the host checked it; `null` for nobody. */
export type ProcedureCaller = { userId?: string; scopes?: string[] } | null;

/** A call of a procedure of the plugin's own router. Answered with an `HTTP status` and the body that tRPC gives. */
export interface ProcedureMessage {
  type: "procedure";
  id: number;
  /** Its path within the router. */
  path: string;
  kind: "query" | "mutation";
  /** Absent for a call without input. */
  input?: unknown;
  caller: ProcedureCaller;
}

/** What a procedure answers. */
export interface ProcedureAnswer {
  status: number;
  /** `{ result: { data } }` or `{ error: { message, code, data } }`. */
  body: unknown;
}

export interface ShutdownMessage {
  type: "shutdown";
  deadlineMs: number;
}

/** A control message as it arrives: only its `type` has been looked at. */
export interface ControlMessage {
  type: string;
  id?: number;
  [field: string]: unknown;
}

/** An MCP server that the plugin asks the host to open. */
export type OpenMcpServer =
  | { id: string; kind: "inProcess" }
  | {
      id: string;
      kind: "stdio";
      command: string;
      args: string[];
      cwd: string;
      env: Record<string, string>;
      timeoutMs: number;
    }
  | { id: string; kind: "external"; url: string; headers: Record<string, string> };

/** A tool that a plugin declares before the server that has it ever ran. */
export interface DeclaredTool {
  name: string;
  title?: string;
  description?: string;
  inputSchema: object;
}

export type McpTransport = "stdio" | "http" | "sse" | "websocket";

/** How a remote MCP server is authenticated to; the names are variables of the host. */
export interface RemoteMcpAuth {
  type: string;
  authorizationUrl?: string;
  tokenUrl?: string;
  token?: string;
  apiKey?: string;
  /** The setting that holds the token, key or password. */
  configField?: string;
  header?: string;
  prefix?: string;
  username?: string;
  password?: string;
  headers?: Readonly<Record<string, string>>;
  scopes?: readonly string[];
  optionalScopes?: readonly string[];
  pkce?: boolean;
  clientIdEnvVar?: string;
  clientSecretEnvVar?: string;
}

/**
 * An MCP server that the plugin hands to the host for good: the host keeps it, starts or connects it when it is needed,
 * and lists its declared tools until then.
 */
export type RegisterMcpServer =
  | {
      kind: "local";
      id: string;
      /** The folder that the commands run in, relative to the plugin. */
      cwd: string;
      /** Shell lines. */
      startCommand: string;
      installCommand?: string;
      buildCommand?: string;
      /** In the plugin's order of preference. */
      transports: McpTransport[];
      /** Variables beside those of the plugin's settings. */
      env: Record<string, string>;
      tools: DeclaredTool[];
    }
  | {
      kind: "remote";
      id: string;
      url: string;
      transports: McpTransport[];
      headers: Record<string, string>;
      auth?: RemoteMcpAuth;
      tools: DeclaredTool[];
    };

/** One operation on the store that the host keeps for each organization and plugin. Keys and values are texts. */
export type KvOperation =
  | { op: "get"; key: string }
  | { op: "set"; key: string; value: string; ttlSeconds?: number }
  | { op: "delete"; key: string };

/** How often a capability was used since the last report. */
export interface CapabilityUse {
  capability: string;
  /** Uses that were allowed. */
  count: number;
  /** Uses that were refused, since the plugin does not declare the capability. */
  denied: number;
}

/** The requests that a worker sends, without the `id` that the channel adds. */
export type WorkerRequest =
  | { type: "openMcp"; server: OpenMcpServer }
  | { type: "closeMcp"; serverId: string }
  | { type: "updateAuth"; methodId: string; credentials: Record<string, unknown> }
  /** What the plugin registered for its organization, where that is known only after `bind`. */
  | { type: "updateRegistration"; registration: PluginRegistration }
  | { type: "registerMcp"; server: RegisterMcpServer }
  | ({ type: "kv" } & KvOperation)
  /** Uses between `since` and now, in milliseconds since the epoch; at most one report per period. */
  | { type: "reportUse"; since: number; uses: CapabilityUse[] };

export type FatalStage = "load" | "initialize" | "register" | "protocol";
