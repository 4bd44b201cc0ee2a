/**
 * The class-based format: an entry with a class that extends `HayPlugin`, exported or started.
 *
 * Such a class knows its organization from its constructor on, so only the module is loaded ahead. To read what the
 * class says of itself, one instance is made without an organization and thrown away.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ClassHosting,
  ClassInstance,
  type HayPluginClass,
  installClassHost,
  isHayPluginClass,
  type PackageManifest,
  pluginApiOfEnvironment,
  PluginDefinitionError,
  type PluginRegistration,
  type RegisteredRoute,
} from "@hay/plugin-sdk/host";
import type { Binding, HookInput, HostedPlugin, RunnerServices } from "../hosted-plugin.js";
import type { HookName, WorkerRequest } from "../protocol.js";
import { messageOf, refused, RunnerError } from "../wire-error.js";
import { loadAsMain } from "./hay-class/load-as-main.js";
import { findPluginClass, noPluginClass } from "./hay-class/find-plugin-class.js";

type RegisterMcp = Extract<WorkerRequest, { type: "registerMcp" }>;

/** The plugin's object, and what we know of it. */
interface Adopted {
  plugin: object;
  instance: ClassInstance;
}

export class HayClass implements HostedPlugin {
  readonly #services: RunnerServices;
  #manifest: PackageManifest = {};
  #Plugin: HayPluginClass | null = null;
  /** The instance that was made without an organization, for what the class says of itself. */
  #unbound: ClassInstance | null = null;
  #bound: Binding | null = null;
  #adopted: Adopted | null = null;
  #initialized: Promise<Adopted> | null = null;
  /** The instance whose constructor runs, once it reached `HayPlugin`'s own. */
  #latest: Adopted | null = null;

  constructor(services: RunnerServices) {
    this.#services = services;
  }

  /** Loads the entry, and says whether there is a class in it. */
  async load(): Promise<boolean> {
    const { plugin } = this.#services;
    const started: HayPluginClass[] = [];
    installClassHost({
      adopt: (object, given) => this.#adopt(object, given),
      start: (Plugin) => {
        started.push(Plugin);
      },
    });
    this.#manifest = readManifest(plugin.root);
    const namespace = await loadAsMain(plugin.root, plugin.entry);
    this.#Plugin = started.find(isHayPluginClass) ?? findPluginClass(namespace, plugin.entry);
    return this.#Plugin !== null;
  }

  async prepare(): Promise<PluginRegistration> {
    if (this.#Plugin === null) await this.load();
    if (this.#Plugin === null) throw noPluginClass(this.#services.plugin.entry);
    this.#services.enter("register");
    return this.#describeUnbound(this.#Plugin);
  }

  get routes(): readonly RegisteredRoute[] {
    return this.#adopted?.instance.routes ?? [];
  }

  bind(binding: Binding): void {
    this.#bound = binding;
  }

  async hook(name: HookName, input: HookInput): Promise<unknown> {
    switch (name) {
      case "start":
        await this.#start();
        return {};
      case "validateAuth":
        return { valid: true };
      case "configUpdate":
        await this.#configUpdate(input);
        return {};
      case "disable":
        await this.#disable();
        return {};
      case "enable":
        await this.#run(await this.#initialize(), "onEnable");
        return {};
      case "connected":
        if (input.auth !== undefined) this.#binding.auth = input.auth;
        return {};
    }
  }

  runCron(name: string): Promise<void> {
    return Promise.reject(refused(`the plugin registered no job \`${name}\``));
  }

  /** What the class says of itself while there is no organization. */
  #describeUnbound(Plugin: HayPluginClass): PluginRegistration {
    const { logger } = this.#services;
    const { adopted, error } = this.#make(Plugin);
    if (adopted === null) throw error;
    // What is wrong with what it says of itself is wrong for every organization. Anything else may
    // only be missing its settings.
    if (error instanceof PluginDefinitionError) throw error;
    if (error !== undefined) {
      logger.debug(`the constructor fails without an organization: ${messageOf(error)}`);
    }
    this.#unbound = adopted.instance;
    return adopted.instance.describe(adopted.plugin);
  }

  async #start(): Promise<void> {
    const adopted = await this.#initialize();
    adopted.instance.beginMcp();
    try {
      await this.#run(adopted, "registerMCP");
    } finally {
      // Without its MCP servers it still has its routes and settings.
      await this.#services.registered(adopted.instance.describe(adopted.plugin));
    }
  }

  /** Constructs the plugin and runs `onInitialize`, once; after a failure, again. */
  #initialize(): Promise<Adopted> {
    this.#initialized ??= this.#construct().catch((error: unknown) => {
      this.#initialized = null;
      throw error;
    });
    return this.#initialized;
  }

  async #construct(): Promise<Adopted> {
    const Plugin = this.#Plugin;
    if (Plugin === null) throw refused("the plugin is not loaded");
    // Authors read the variables of their settings directly too, as early as in the constructor.
    this.#unbound?.setValues(this.#values());
    Object.assign(process.env, this.#unbound?.environment());
    const { adopted, error } = this.#make(Plugin);
    if (adopted === null || error !== undefined) throw error;
    this.#adopted = adopted;
    const missing = adopted.instance.missing();
    if (missing.length > 0) throw missingValues(missing);
    await this.#run(adopted, "onInitialize");
    return adopted;
  }

  async #configUpdate(input: HookInput): Promise<void> {
    const bound = this.#binding;
    if (input.config !== undefined) bound.config = { ...bound.config, ...input.config };
    if (input.auth !== undefined) bound.auth = input.auth;
    const adopted = await this.#initialize();
    adopted.instance.setValues(this.#values());
    Object.assign(process.env, adopted.instance.environment());
    await this.#run(adopted, "onConfigUpdate", { ...adopted.instance.config });
  }

  /** Cleans up, even after a start that failed halfway; without an instance there is nothing to clean. */
  async #disable(): Promise<void> {
    const adopted = await this.#initialize().catch(() => this.#adopted);
    if (adopted !== null) await this.#run(adopted, "onDisable");
  }

  #seen(): Adopted | null {
    return this.#latest;
  }

  async #run({ plugin }: Adopted, method: string, ...given: unknown[]): Promise<void> {
    const hook: unknown = Reflect.get(plugin, method);
    if (typeof hook === "function") await Reflect.apply(hook, plugin, given);
  }

  #adopt(plugin: object, given: unknown): ClassHosting {
    const { plugin: loaded, logger } = this.#services;
    const instance = new ClassInstance({
      given,
      manifest: this.#manifest,
      pluginId: loaded.id,
      logger,
      parsesBodies: false,
      backend: {
        tools: () => {
          const tools: unknown = Reflect.get(plugin, "getMCPTools");
          return typeof tools === "function" ? (Reflect.apply(tools, plugin, []) as []) : [];
        },
        auth: () => {
          const auth: unknown = Reflect.get(plugin, "getAuthConfig");
          return typeof auth === "function"
            ? (Reflect.apply(auth, plugin, []) as unknown)
            : undefined;
        },
        registerMcp: async (server) => {
          if (this.#bound === null) throw refused("the worker is not bound to an organization");
          await this.#services.request({ type: "registerMcp", server } as RegisterMcp);
        },
        api: pluginApiOfEnvironment,
      },
    });
    if (this.#bound !== null) instance.setValues(this.#values());
    this.#latest = { plugin, instance };
    return instance;
  }

  /** Constructs the plugin. Even where that fails, an instance may have reached `HayPlugin`. */
  #make(Plugin: HayPluginClass): { adopted: Adopted | null; error?: unknown } {
    this.#latest = null;
    try {
      new Plugin();
    } catch (error) {
      return { adopted: this.#seen(), error };
    }
    const adopted = this.#seen();
    return adopted === null
      ? { adopted, error: new Error("the plugin's constructor reached another `HayPlugin`") }
      : { adopted };
  }

  #values() {
    const { config, environment } = this.#binding;
    return { values: config, environment };
  }

  get #binding(): Binding {
    if (this.#bound === null) throw refused("the worker is not bound to an organization");
    return this.#bound;
  }
}

function readManifest(root: string): PackageManifest {
  try {
    const value: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    return typeof value === "object" && value !== null ? (value as PackageManifest) : {};
  } catch {
    // The host has read it before it started this program; here it only completes what is missing.
    return {};
  }
}

function missingValues(missing: readonly { field: string; env?: string }[]): RunnerError {
  const names = missing.map(({ field, env }) =>
    env === undefined ? `\`${field}\`` : `\`${field}\` (\`${env}\`)`,
  );
  return new RunnerError(
    "ConfigMissingError",
    `required settings have no value: ${names.join(", ")}`,
    "configuration",
    missing.map(({ field }) => ({
      at: `config.${field}`,
      message: "is required and has no value",
    })),
  );
}
