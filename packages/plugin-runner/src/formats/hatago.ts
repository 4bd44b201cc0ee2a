/**
 * The Hatago format: a module that gets a context, then a server to register with and the capabilities that its manifest
 * declares. Everything else is denied.
 *
 * The context carries an organization's configuration, so only the module is loaded ahead.
 */
import { CapabilityError, type PluginManifest, UseCounter } from "@hatago/core/host";
import type { HayLogger, PluginRegistration, RegisteredRoute } from "@hay/plugin-sdk/host";
import type { Binding, HookInput, HostedPlugin, RunnerServices } from "../hosted-plugin.js";
import type { HookName } from "../protocol.js";
import { messageOf, refused, RunnerError } from "../wire-error.js";
import { routesOf } from "./hatago/application.js";
import { createKv } from "./hatago/kv.js";
import { checkCompatibility, readPluginManifest, runtimeOf } from "./hatago/manifest.js";
import { NodeRuntime } from "./hatago/node-runtime.js";
import type { HatagoRuntime, RunningPlugin } from "./hatago/runtime.js";
import { UseReport } from "./hatago/use-report.js";
import { WorkersRuntime } from "./hatago/workers-runtime.js";

/** A plugin of this format has one MCP server. */
const SERVER_ID = "mcp";

export class Hatago implements HostedPlugin {
  readonly #services: RunnerServices;
  readonly #uses = new UseCounter();
  readonly #report: UseReport;
  #manifest: PluginManifest | null = null;
  #runtime: HatagoRuntime | null = null;
  #bound: Binding | null = null;
  #running: RunningPlugin | null = null;
  #routes: readonly RegisteredRoute[] = [];

  constructor(services: RunnerServices) {
    this.#services = services;
    this.#report = new UseReport({
      uses: this.#uses,
      request: (request) => services.request(request),
      failed: (error) => {
        services.logger.debug(`the use of capabilities was not reported: ${messageOf(error)}`);
      },
    });
  }

  async prepare(): Promise<PluginRegistration> {
    const { plugin, logger } = this.#services;
    const { root, entry } = plugin;
    const manifest = readPluginManifest(root);
    const runtime = runtimeOf(manifest, entry);
    checkCompatibility(manifest, runtime);
    this.#manifest = manifest;
    this.#runtime =
      runtime === "node"
        ? new NodeRuntime(root, entry, manifest)
        : new WorkersRuntime({ root, entry, manifest, logger });
    await this.#runtime.load();
    return registrationOf(manifest, []);
  }

  get routes(): readonly RegisteredRoute[] {
    return this.#routes;
  }

  bind(binding: Binding): void {
    this.#bound = binding;
    this.#report.start();
  }

  async hook(name: HookName, input: HookInput): Promise<unknown> {
    const bound = this.#binding;
    if (input.auth !== undefined && name !== "validateAuth") bound.auth = input.auth;
    switch (name) {
      case "start":
        await this.#start();
        return {};
      case "configUpdate":
        bound.config = { ...bound.config, ...input.config };
        // The context was given once; a plugin that runs is given a new one by a new start.
        if (this.#running !== null) await this.#start();
        return {};
      case "disable":
        await this.#dispose();
        return {};
      case "validateAuth":
        return { valid: true };
      case "enable":
      case "connected":
        return {};
    }
  }

  runCron(name: string): Promise<void> {
    return Promise.reject(refused(`the plugin registered no job \`${name}\``));
  }

  async stop(): Promise<void> {
    try {
      await this.#dispose();
    } finally {
      await this.#report.stop();
      await this.#runtime?.close();
    }
  }

  async #start(): Promise<void> {
    const manifest = this.#manifest;
    const runtime = this.#runtime;
    if (manifest === null || runtime === null) throw refused("the plugin is not loaded");
    await this.#dispose();
    const { config, environment } = this.#binding;
    const { logger, mcp, plugin } = this.#services;
    let running: RunningPlugin;
    try {
      running = await runtime.start({
        manifest,
        config: structuredClone(config),
        env: allowed(environment, plugin.env),
        offered: {
          kv: createKv((request) => this.#services.request(request)),
          logger: fourLevels(logger),
        },
        uses: this.#uses,
      });
    } catch (error) {
      throw explained(error);
    }
    this.#running = running;
    this.#warnOfDifference(manifest, running.toolNames);
    await mcp.startLocal(SERVER_ID, () => running.server);
    this.#routes = routesOf(running.routes, (request) => running.fetch(request));
    await this.#services.registered(registrationOf(manifest, this.#routes));
  }

  async #dispose(): Promise<void> {
    const running = this.#running;
    this.#running = null;
    await running?.dispose();
  }

  /** What a manifest announces is listed before the plugin ever ran, so it should be true. */
  #warnOfDifference(manifest: PluginManifest, registered: readonly string[]): void {
    const declared = (manifest.mcp?.tools ?? []).map(({ name }) => name);
    if (declared.length === 0) return;
    const missing = declared.filter((name) => !registered.includes(name));
    const extra = registered.filter((name) => !declared.includes(name));
    const { logger } = this.#services;
    if (missing.length > 0) logger.warn(`declared and not registered: ${missing.join(", ")}`);
    if (extra.length > 0) logger.warn(`registered and not declared: ${extra.join(", ")}`);
  }

  get #binding(): Binding {
    if (this.#bound === null) throw refused("the worker is not bound to an organization");
    return this.#bound;
  }
}

function registrationOf(
  manifest: PluginManifest,
  routes: readonly RegisteredRoute[],
): PluginRegistration {
  return {
    name: manifest.name,
    configSchema: {},
    authMethods: [],
    mcp: { local: [{ id: SERVER_ID }], external: [] },
    uiExtensions: [],
    pages: [],
    routes: routes.map(({ method, path }) => ({ method, path })),
    crons: [],
    hooks: ["onStart"],
  };
}

/** A denied capability is the author's to put right, and says how. */
function explained(error: unknown): unknown {
  if (!(error instanceof CapabilityError)) return error;
  const { message, hint, stack } = error;
  const explained = new RunnerError("CapabilityError", message, "configuration", [
    { at: "capabilities", message, hint },
  ]);
  if (stack !== undefined) explained.stack = stack;
  return explained;
}

function allowed(
  environment: Readonly<Record<string, string>>,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

/** The four levels, and nothing else that our logger has. */
function fourLevels(logger: HayLogger): HayLogger {
  return {
    debug: (message, meta) => {
      logger.debug(message, meta);
    },
    info: (message, meta) => {
      logger.info(message, meta);
    },
    warn: (message, meta) => {
      logger.warn(message, meta);
    },
    error: (message, meta) => {
      logger.error(message, meta);
    },
  };
}
