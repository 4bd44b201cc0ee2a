/**
 * The `manifest.json` format, as far as it needs a worker: handlers of HTTP routes and a tRPC router. What else a
 * manifest declares (MCP servers, settings, authentication) the host does by itself.
 *
 * What `entry` exports is not said anywhere. A manifest that names no code of its own may describe a plugin of one of
 * the newer formats, whose author kept the file: then the entry is that plugin, and everything is asked of it.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ConfigFieldDescriptor,
  type ConfigSchema,
  createConfigRuntime,
  hasPluginBrand,
  type HttpMethod,
  PluginDefinitionError,
  type PluginRegistration,
  PluginRegistry,
  type Problem,
  type RegisteredRoute,
} from "@hay/plugin-sdk/host";
import type { Binding, HookInput, HostedPlugin, RunnerServices } from "../hosted-plugin.js";
import type { HookName, ProcedureAnswer, ProcedureMessage } from "../protocol.js";
import { candidates, loadNamespace } from "../loader.js";
import { refused, RunnerError, toWireError } from "../wire-error.js";
import { HayClass } from "./hay-class.js";
import { loadRouteHandler } from "./hay-manifest/route-handler.js";
import { loadRouter, type RouterEndpoint } from "./hay-manifest/router.js";
import { HayPackage } from "./hay-package.js";

type Fields = Readonly<Record<string, unknown>>;

export class HayManifest implements HostedPlugin {
  readonly #services: RunnerServices;
  readonly #registry: PluginRegistry;
  readonly #problems: Problem[] = [];
  #schema: ConfigSchema = {};
  #router: RouterEndpoint | null = null;
  /** The plugin that the entry is, where it is one. */
  #inner: HostedPlugin | null = null;
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

    if (routes === undefined && manifest.trpcRouter === undefined) {
      this.#inner = await this.#findInner();
    }

    this.#services.enter("register");
    const metadata = this.#seal();
    this.#schema = metadata.configSchema;
    if (this.#inner !== null) {
      const inner = await this.#inner.prepare();
      return { ...inner, configSchema: { ...metadata.configSchema, ...inner.configSchema } };
    }
    return {
      name: typeof manifest.name === "string" ? manifest.name : plugin.id,
      ...metadata,
      hooks: [],
      ...(this.#router === null ? {} : { procedures: this.#router.procedures }),
    };
  }

  get routes(): readonly RegisteredRoute[] {
    return this.#inner?.routes ?? this.#registry.routes;
  }

  bind(binding: Binding): void {
    this.#bound = binding;
    this.#apply();
    this.#inner?.bind({ ...binding, config: { ...this.#values, ...binding.config } });
  }

  hook(name: HookName, input: HookInput): Promise<unknown> {
    if (this.#inner !== null) return this.#inner.hook(name, input);
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
    if (this.#inner !== null) return this.#inner.runCron(name);
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

  /** The plugin in the entry; without an entry, or with something else in it, there is none. */
  async #findInner(): Promise<HostedPlugin | null> {
    const { root, entry } = this.#services.plugin;
    if (!existsSync(join(root, entry))) return null;
    const plugin = new HayClass(this.#services);
    if (await plugin.load()) return plugin;
    const namespace = await loadNamespace({ root, file: entry, role: "entry" });
    if (candidates(namespace).some(hasPluginBrand)) return new HayPackage(this.#services);
    this.#services.logger.warn(`nothing of the entry \`${entry}\` is used: it exports no plugin`);
    return null;
  }

  async #addRoute(route: Fields, at: string): Promise<void> {
    const { method, path, handler, middleware } = route;
    const { root } = this.#services.plugin;
    const loaded = await loadRouteHandler({ root, at, handler, middleware });
    this.#registry.register.route(method as HttpMethod, path as string, loaded);
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
  const fields = Object.entries(asObject(schema));
  return Object.fromEntries(
    fields.map(([name, value]) => [name, asObject(value) as unknown as ConfigFieldDescriptor]),
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
