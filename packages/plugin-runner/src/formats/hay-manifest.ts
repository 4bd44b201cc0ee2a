/**
 * The `manifest.json` format, as far as it needs a worker: handlers of HTTP routes and a tRPC router. What else a
 * manifest declares (MCP servers, settings, authentication) the host does by itself.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ConfigFieldDescriptor,
  type ConfigSchema,
  createConfigRuntime,
  type HttpMethod,
  PluginDefinitionError,
  type PluginRegistration,
  PluginRegistry,
  type Problem,
  type RegisteredRoute,
  type RouteHandler,
} from "@hay/plugin-sdk/host";
import type { Binding, HookInput, HostedPlugin, RunnerServices } from "../hosted-plugin.js";
import type { HookName, ProcedureAnswer, ProcedureMessage } from "../protocol.js";
import { refused, RunnerError, toWireError } from "../wire-error.js";
import { loadRouteHandler } from "./hay-manifest/route-handler.js";
import { loadRouter, type RouterEndpoint } from "./hay-manifest/router.js";

type Fields = Readonly<Record<string, unknown>>;

export class HayManifest implements HostedPlugin {
  readonly #services: RunnerServices;
  readonly #registry: PluginRegistry;
  readonly #problems: Problem[] = [];
  #schema: ConfigSchema = {};
  #router: RouterEndpoint | null = null;
  #bound: Binding | null = null;
  #values: Record<string, unknown> = {};

  constructor(services: RunnerServices) {
    this.#services = services;
    this.#registry = new PluginRegistry({ logger: services.logger });
  }

  async prepare(): Promise<PluginRegistration> {
    const { plugin } = this.#services;
    const manifest = readManifest(plugin.root);
    this.#registry.register.config(fieldsOf(manifest.configSchema));
    const { api } = asObject(manifest.capabilities);
    const { routes } = asObject(api);
    for (const [index, route] of asList(routes).entries()) {
      await this.#noting(() =>
        this.#addRoute(asObject(route), `capabilities.api.routes[${index}]`),
      );
    }
    if (typeof manifest.trpcRouter === "string") {
      const file = manifest.trpcRouter;
      await this.#noting(async () => {
        this.#router = await loadRouter(plugin.root, file);
      });
    }

    this.#services.enter("register");
    const metadata = this.#seal();
    this.#schema = metadata.configSchema;
    return {
      name: typeof manifest.name === "string" ? manifest.name : plugin.id,
      ...metadata,
      hooks: [],
      ...(this.#router === null ? {} : { procedures: this.#router.procedures }),
    };
  }

  get routes(): readonly RegisteredRoute[] {
    return this.#registry.routes;
  }

  bind(binding: Binding): void {
    this.#bound = binding;
    this.#apply();
  }

  hook(name: HookName, input: HookInput): Promise<unknown> {
    if (name === "validateAuth") return Promise.resolve({ valid: true });
    const bound = this.#bound;
    if (bound !== null && input.auth !== undefined) bound.auth = input.auth;
    if (name === "configUpdate" && bound !== null) {
      bound.config = { ...bound.config, ...input.config };
      this.#apply();
    }
    return Promise.resolve({});
  }

  runCron(name: string): Promise<void> {
    return Promise.reject(refused(`the plugin registered no job \`${name}\``));
  }

  async callProcedure(call: ProcedureMessage): Promise<ProcedureAnswer> {
    if (this.#router === null) throw refused("the plugin has no procedures");
    if (this.#bound === null) throw refused("the worker is not bound to an organization");
    return this.#router.call(call, {
      organizationId: this.#bound.organization.id,
      config: { ...this.#values },
      caller: call.caller,
      logger: this.#services.logger,
    });
  }

  async #addRoute(route: Fields, at: string): Promise<void> {
    const { method, path, handler, middleware } = route;
    const { root } = this.#services.plugin;
    const loaded = await loadRouteHandler({ root, at, handler, middleware });
    this.#registry.register.route(method as HttpMethod, path as string, loaded as RouteHandler);
  }

  /** Has each problem reported with all the others. What is thrown by the plugin's own code passes. */
  async #noting(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const { problems, reason } = toWireError(error);
      if (reason !== "configuration" || problems === undefined) throw error;
      this.#problems.push(...problems);
    }
  }

  #seal() {
    try {
      const metadata = this.#registry.seal();
      if (this.#problems.length === 0) return metadata;
    } catch (error) {
      if (!(error instanceof PluginDefinitionError)) throw error;
      this.#problems.push(...error.problems);
    }
    throw new PluginDefinitionError(this.#problems);
  }

  /** Handlers read their settings from the environment, by the names that the manifest gives. */
  #apply(): void {
    const { config = {}, environment = {} } = this.#bound ?? {};
    const names = Object.values(this.#schema).flatMap(({ env }) =>
      env === undefined ? [] : [env],
    );
    const runtime = createConfigRuntime({
      schema: this.#schema,
      values: config,
      allowedEnv: names,
      environment,
    });
    this.#values = {};
    for (const [field, { env }] of Object.entries(this.#schema)) {
      const value: unknown = runtime.getOptional(field);
      if (value === undefined) continue;
      this.#values[field] = value;
      if (env !== undefined) {
        process.env[env] = typeof value === "string" ? value : JSON.stringify(value);
      }
    }
  }
}

function readManifest(root: string): Fields {
  try {
    return asObject(JSON.parse(readFileSync(join(root, "manifest.json"), "utf8")));
  } catch (error) {
    const message = `\`manifest.json\` cannot be read: ${toWireError(error).message}`;
    throw new RunnerError("ManifestError", message, "configuration", [
      { at: "manifest.json", message },
    ]);
  }
}

/** The settings in the form of the canonical format. */
function fieldsOf(schema: unknown): ConfigSchema {
  return Object.fromEntries(
    Object.entries(asObject(schema)).map(([name, value]) => {
      const { type, ...field } = asObject(value);
      const kind = type === "array" || type === "object" ? "json" : type;
      return [name, { ...field, type: kind } as ConfigFieldDescriptor];
    }),
  );
}

/** The host has checked the manifest; what is not there here is left out, not wrong. */
function asObject(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}
