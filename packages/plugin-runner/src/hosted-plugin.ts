/**
 * The one interface that a plugin format implements. Past this line nobody asks which format it is.
 *
 * A new format is one file in `formats/` that implements `HostedPlugin`, and one line in
 * `formats.ts`. What such a file needs beside it lies in a folder of its name.
 */
import type { HayLogger, PluginRegistration, RegisteredRoute } from "@hay/plugin-sdk/host";
import type { McpServers } from "./mcp/servers.js";
import type {
  BindMessage,
  Deadlines,
  FatalStage,
  HookName,
  LoadMessage,
  ProcedureAnswer,
  ProcedureMessage,
  WireAuth,
  WorkerRequest,
} from "./protocol.js";

/** What the runner offers to a format. */
export interface RunnerServices {
  readonly plugin: LoadMessage["plugin"];
  readonly deadlines: Deadlines;
  readonly logger: HayLogger;
  readonly mcp: McpServers;
  /** Says which step of the start comes next: a failure from here on is reported as its failure. */
  enter(stage: Exclude<FatalStage, "protocol">): void;
  /** Has the host keep credentials that the plugin renewed. */
  updateAuth(methodId: string, credentials: Record<string, unknown>): Promise<void>;
  /** Asks the host; rejects with its refusal. */
  request(request: WorkerRequest): Promise<unknown>;
  /**
   * Takes over what a plugin registered only once it knew its organization: its routes are served
   * from here on, and the host is told.
   */
  registered(registration: PluginRegistration): Promise<void>;
}

/** For whom a worker works, from `bind` on. */
export type Binding = Pick<BindMessage, "organization" | "config" | "auth" | "environment">;

/** The values that a hook is asked about, where they differ from the bound ones. */
export interface HookInput {
  readonly config?: Record<string, unknown>;
  readonly auth?: WireAuth | null;
}

/** A plugin, whatever its format. */
export interface HostedPlugin {
  /** Loads the code and runs what needs no organization. Gives what the plugin registered. */
  prepare(): Promise<PluginRegistration>;

  /**
   * The routes that are served on the HTTP socket; complete once `prepare` ended, or once
   * `RunnerServices.registered` was called.
   */
  readonly routes: readonly RegisteredRoute[];

  /** Gives the plugin to an organization; called once, before every method below. */
  bind(binding: Binding): void;

  /** Runs a hook and gives the value that the protocol answers. A hook that is absent answers too. */
  hook(name: HookName, input: HookInput): Promise<unknown>;

  /** Runs one scheduled job. */
  runCron(name: string): Promise<void>;

  /** Calls a procedure of the plugin's own router; absent where it can have none. */
  callProcedure?(call: ProcedureMessage): Promise<ProcedureAnswer>;

  /** Releases what the plugin holds, before its MCP servers are stopped. */
  stop?(): Promise<void>;
}
