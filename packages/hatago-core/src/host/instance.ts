/** From a plugin's export to a running instance for one organization. Must not know where it runs. */

import { Hono } from "hono/tiny";

import type {
  Capabilities,
  Dispose,
  HatagoApp,
  PluginContext,
  PluginHost,
  PluginManifest,
  PluginRuntime,
} from "../types.js";
import { applicationRoutes, type ApplicationRoute } from "./application.js";
import { createCapabilities, type UseCounter } from "./capabilities.js";
import { McpServer } from "./mcp-server.js";

export interface InstanceOptions {
  manifest: PluginManifest;
  config: Record<string, unknown>;
  runtime: PluginRuntime;
  env: Readonly<Record<string, string>>;
  /** What the runtime has; of it, the plugin gets what it declared. */
  offered: Partial<Capabilities>;
  uses: UseCounter;
}

export interface HatagoInstance {
  /** What the plugin is called with. */
  readonly context: PluginContext;
  /** What the plugin is given to work with. */
  readonly host: PluginHost;
  readonly server: McpServer;
  /** The routes of the plugin's application; none while it has none. */
  readonly routes: ApplicationRoute[];
  /** Answers a request to one of the routes. */
  fetch(request: Request): Promise<Response>;
  dispose(): Promise<void>;
}

/** Runs what a plugin's module exports as its default. */
export async function startInstance(
  exported: unknown,
  options: InstanceOptions,
): Promise<HatagoInstance> {
  const instance = new Instance(options);
  await instance.run(exported);
  return instance;
}

export class Instance implements HatagoInstance {
  readonly context: PluginContext;
  readonly host: PluginHost;
  readonly server: McpServer;
  #app: Hono | null = null;
  #dispose: Dispose = () => undefined;

  constructor(options: InstanceOptions) {
    const { manifest, config, runtime, env, offered, uses } = options;
    this.server = new McpServer({ name: manifest.name, version: manifest.version });
    // Plugins that take their options directly find them beside what is specified.
    this.context = { ...config, manifest, config, runtime };
    const app = () => this.#application();
    this.host = {
      server: this.server,
      capabilities: createCapabilities(manifest.capabilities ?? [], offered, uses),
      get app() {
        return app();
      },
      env,
      getBaseUrl,
    };
  }

  /** Calls the plugin with its context, and what that gives with the host. */
  async run(exported: unknown): Promise<void> {
    const factory = callable(exported, "the default export");
    const setup = callable(await factory(this.context), "the plugin");
    this.#dispose = disposeOf(await setup(this.host));
  }

  get routes(): ApplicationRoute[] {
    return this.#app === null ? [] : applicationRoutes(this.#app.routes);
  }

  async fetch(request: Request): Promise<Response> {
    if (this.#app === null) return new Response("Not Found", { status: 404 });
    return this.#app.fetch(request);
  }

  async dispose(): Promise<void> {
    await this.#dispose();
    await this.server.close();
  }

  #application(): HatagoApp {
    this.#app ??= new Hono();
    return this.#app;
  }
}

function callable(value: unknown, what: string): (given: unknown) => unknown {
  if (typeof value === "function") return value as (given: unknown) => unknown;
  throw new TypeError(
    `${what} must be a function, but is ${value === null ? "null" : typeof value}`,
  );
}

function disposeOf(result: unknown): Dispose {
  if (typeof result === "function") return result as Dispose;
  if (typeof result === "object" && result !== null && "dispose" in result) {
    const { dispose } = result;
    if (typeof dispose === "function") return () => Reflect.apply(dispose, result, []) as undefined;
  }
  return () => undefined;
}

/** The public address of the plugin's routes: that of the request, as the outside wrote it, without its own path. */
function getBaseUrl(request: { url: string; headers?: unknown }): string {
  const { url, headers } = request;
  const outside =
    headers instanceof Headers
      ? headers.get("x-original-url")
      : (Object(headers) as Record<string, unknown>)["x-original-url"];
  const own = new URL(url, "http://localhost");
  if (typeof outside !== "string" || !URL.canParse(outside)) return own.origin;
  const { origin, pathname } = new URL(outside);
  const prefix = pathname.endsWith(own.pathname)
    ? pathname.slice(0, pathname.length - own.pathname.length)
    : "";
  return origin + prefix;
}
