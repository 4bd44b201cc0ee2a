/**
 * The canonical format: an entry whose default export is made by `defineHayPlugin`.
 *
 * Builds the contexts that the hooks get. Knows nothing of the channel.
 */
import {
  createAuthRuntime,
  createConfigRuntime,
  describePlugin,
  isHayPluginFactory,
  PluginRegistry,
  resolveDefinition,
} from "@hay/plugin-sdk/host";
import type {
  AuthState,
  ConfigSchema,
  HayAuthUpdateAPI,
  HayConfigRuntimeAPI,
  HayGlobalContext,
  HayMcpRuntimeAPI,
  HayPluginDefinition,
  HayPluginFactory,
  HayProductSourceAPI,
  McpInitializer,
  PluginRegistration,
  RegisteredRoute,
} from "@hay/plugin-sdk/host";
import { withDeadline } from "../deadline.js";
import type { Binding, HookInput, HostedPlugin, RunnerServices } from "../hosted-plugin.js";
import { loadEntry } from "../loader.js";
import type { HookName } from "../protocol.js";
import { messageOf, refused, RunnerError } from "../wire-error.js";

const ENTRY_EXPORT = {
  expected: "a plugin made by `defineHayPlugin`, or a function that returns a plugin's definition",
  hint: "end the entry with `export default defineHayPlugin(…)`",
  accepts: isHayPluginFactory,
};

export class HayPackage implements HostedPlugin {
  readonly #services: RunnerServices;
  readonly #registry: PluginRegistry;
  readonly #globalContext: HayGlobalContext;
  #definition: HayPluginDefinition = { name: "" };
  #schema: ConfigSchema = {};
  #bound: Binding | null = null;

  constructor(services: RunnerServices) {
    this.#services = services;
    const { logger } = services;
    this.#registry = new PluginRegistry({ logger });
    const { register, config } = this.#registry;
    this.#globalContext = { register, config, logger };
  }

  async prepare(): Promise<PluginRegistration> {
    const { plugin, deadlines, logger } = this.#services;
    const context = this.#globalContext;
    const factory = await loadEntry<HayPluginFactory>(plugin.root, plugin.entry, ENTRY_EXPORT);

    this.#services.enter("initialize");
    this.#definition = resolveDefinition(factory, context);
    await withDeadline(
      "onInitialize",
      deadlines.onInitialize,
      () => this.#definition.onInitialize?.(context),
      (error) => {
        logger.error(`\`onInitialize\` failed after its deadline: ${messageOf(error)}`);
      },
    );

    this.#services.enter("register");
    const metadata = this.#registry.seal();
    this.#schema = metadata.configSchema;
    return describePlugin(this.#definition, metadata);
  }

  get routes(): readonly RegisteredRoute[] {
    return this.#registry.routes;
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
        return this.#validateAuth(input);
      case "configUpdate":
        await this.#configUpdate(input);
        return {};
      case "disable":
        await this.#definition.onDisable?.(this.#organizationContext());
        return {};
      case "enable":
        await this.#definition.onEnable?.(this.#globalContext);
        return {};
      case "connected":
        return this.#connected(input);
    }
  }

  async runCron(name: string): Promise<void> {
    const job = this.#registry.crons.find((cron) => cron.name === name);
    if (job === undefined) throw refused(`the plugin registered no job \`${name}\``);
    await job.handler({
      ...this.#organizationContext(),
      config: this.#config(),
      auth: this.#updatableAuth(),
      ...this.#capabilityContext(),
    });
  }

  async #start(): Promise<void> {
    await this.#definition.onStart?.({
      ...this.#organizationContext(),
      config: this.#config(),
      auth: this.#auth(),
      mcp: this.#mcp(),
      ...this.#capabilityContext(),
    });
  }

  /**
   * The verdict on credentials. A thrown error is a "no" whose message is meant for the person at
   * the settings form, so it is an answer and not a failure.
   */
  async #validateAuth(input: HookInput): Promise<{ valid: boolean; error?: string }> {
    if (this.#definition.onValidateAuth === undefined) return { valid: true };
    const auth = input.auth === undefined ? this.#binding.auth : input.auth;
    const config = this.#config({ ...input.config, ...auth?.credentials });
    let verdict: unknown;
    try {
      verdict = await this.#definition.onValidateAuth({
        ...this.#organizationContext(),
        config,
        auth: createAuthRuntime(() => auth),
      });
    } catch (error) {
      this.#services.logger.warn(`\`onValidateAuth\` refused: ${messageOf(error)}`);
      return { valid: false, error: messageOf(error) };
    }
    if (typeof verdict !== "boolean") {
      throw new RunnerError(
        "HookResultError",
        `\`onValidateAuth\` must return true or false, not ${verdict === null ? "null" : typeof verdict}`,
        "thrown",
      );
    }
    return { valid: verdict };
  }

  async #configUpdate(input: HookInput): Promise<void> {
    const bound = this.#binding;
    // What is submitted holds from here on: a later `onStart` of this worker sees it too.
    if (input.config !== undefined) bound.config = { ...bound.config, ...input.config };
    if (input.auth !== undefined) bound.auth = input.auth;
    await this.#definition.onConfigUpdate?.({
      ...this.#organizationContext(),
      config: this.#config(),
    });
  }

  async #connected(input: HookInput): Promise<object> {
    const bound = this.#binding;
    if (input.auth !== undefined) bound.auth = input.auth;
    const result: unknown = await this.#definition.onConnected?.({
      ...this.#organizationContext(),
      config: this.#config(input.config),
      auth: this.#auth(),
    });
    return readRoutingKeys(result);
  }

  get #binding(): Binding {
    if (this.#bound === null) throw refused("the worker is not bound to an organization");
    return this.#bound;
  }

  #organizationContext() {
    return { org: { ...this.#binding.organization }, logger: this.#services.logger };
  }

  #config(over: Record<string, unknown> = {}): HayConfigRuntimeAPI {
    const { config, environment } = this.#binding;
    return createConfigRuntime({
      schema: this.#schema,
      values: { ...config, ...over },
      allowedEnv: this.#services.plugin.env,
      environment,
    });
  }

  #auth() {
    return createAuthRuntime(() => this.#binding.auth);
  }

  #updatableAuth(): HayAuthUpdateAPI {
    return {
      ...this.#auth(),
      update: async (credentials: Record<string, unknown>, methodId?: string) => {
        const method = methodId ?? this.#binding.auth?.methodId;
        if (method === undefined) {
          throw new Error("`auth.update` needs a method id: the organization chose no method");
        }
        if (typeof credentials !== "object" || Array.isArray(credentials)) {
          throw new TypeError("`auth.update` takes the new credentials as an object");
        }
        await this.#services.updateAuth(method, credentials);
        const state: AuthState = { methodId: method, credentials };
        this.#binding.auth = state;
      },
    };
  }

  #mcp(): HayMcpRuntimeAPI {
    const { mcp, logger } = this.#services;
    const context = { config: this.#config(), auth: this.#auth(), logger };
    return {
      startLocal: (id: string, initializer: McpInitializer) =>
        mcp.startLocal(
          id,
          typeof initializer === "function" ? () => initializer(context) : initializer,
        ),
      startLocalStdio: (options) => mcp.startStdio(options),
      startExternal: (options) => mcp.startExternal(options),
    };
  }

  /** What only plugins with the capability get. */
  #capabilityContext(): { productSource?: HayProductSourceAPI } {
    return this.#services.plugin.capabilities.includes("products")
      ? { productSource: PRODUCT_SOURCE }
      : {};
  }
}

function readRoutingKeys(result: unknown): { routingKeys?: string[] } {
  if (result === undefined || result === null) return {};
  const { routingKeys } = Object(result) as { routingKeys?: unknown };
  if (routingKeys === undefined && typeof result === "object") return {};
  if (!Array.isArray(routingKeys) || !routingKeys.every((key) => typeof key === "string")) {
    throw new RunnerError(
      "HookResultError",
      "`onConnected` must return nothing or `{ routingKeys }`, a list of texts",
      "thrown",
    );
  }
  return { routingKeys };
}

function noProducts(): Promise<never> {
  return Promise.reject(
    new RunnerError(
      "UnsupportedError",
      "this host keeps no products: `productSource` has nowhere to write to",
      "unsupported",
    ),
  );
}

const PRODUCT_SOURCE: HayProductSourceAPI = { upsert: noProducts, delete: noProducts };
