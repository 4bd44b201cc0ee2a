/** What the places where a plugin can run have in common. */
import type { ApplicationRoute, Capabilities, PluginManifest, UseCounter } from "@hatago/core/host";

/** What one organization's plugin runs with. */
export interface RuntimeInput {
  manifest: PluginManifest;
  config: Record<string, unknown>;
  env: Readonly<Record<string, string>>;
  /** What is done outside of the plugin's own program. */
  offered: Pick<Capabilities, "kv" | "logger">;
  uses: UseCounter;
}

/** A plugin that runs for one organization. */
export interface RunningPlugin {
  /** What takes a transport, as a server of the official SDKs does. */
  readonly server: object;
  readonly toolNames: readonly string[];
  readonly routes: readonly ApplicationRoute[];
  /** Answers a request to one of the routes. */
  fetch(request: Request): Promise<Response>;
  dispose(): Promise<void>;
}

export interface HatagoRuntime {
  /** Loads the plugin's module, before there is an organization. */
  load(): Promise<void>;
  start(input: RuntimeInput): Promise<RunningPlugin>;
  /** Ends what `load` began. */
  close(): Promise<void>;
}
