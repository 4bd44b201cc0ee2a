/**
 * The messages of the worker protocol, version 1, as types.
 *
 * Says what travels over the channel and nothing about how: no sockets, no plugin formats.
 */

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

/** The requests that a worker sends, without the `id` that the channel adds. */
export type WorkerRequest =
  | { type: "openMcp"; server: OpenMcpServer }
  | { type: "closeMcp"; serverId: string }
  | { type: "updateAuth"; methodId: string; credentials: Record<string, unknown> };

export type FatalStage = "load" | "initialize" | "register" | "protocol";
