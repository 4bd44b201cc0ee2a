/** Runs one plugin for one organization inside a test. */

import { createAuthRuntime } from "../auth-runtime.js";
import { createConfigRuntime } from "../config-runtime.js";
import { createLogger } from "../logger.js";
import { PluginRegistry } from "../registry/plugin-registry.js";
import { matchRoutePattern, parseRoutePattern } from "../registry/route-pattern.js";
import { describePlugin, resolveDefinition } from "../resolve-definition.js";
import type { AuthState, HayAuthUpdateAPI } from "../types/auth.js";
import type { HayConfigRuntimeAPI } from "../types/config.js";
import type { HayConnectedResult, HayGlobalContext, HayOrg } from "../types/contexts.js";
import type { HayPluginDefinition, HayPluginFactory } from "../types/definition.js";
import type { LogLevel } from "../types/logger.js";
import type { McpToolResult } from "../types/mcp.js";
import type { PluginRegistration } from "../types/metadata.js";
import type { HayProduct, HayProductSourceAPI } from "../types/products.js";
import { TestMcp, type TestMcpServer, type TestTool } from "./test-mcp.js";
import { TestRequest, type TestRequestOptions } from "./test-request.js";
import { TestResponse, type TestAnswer } from "./test-response.js";

/** The organization that the plugin is run for. */
export interface TestHostOptions {
  /** The organization's settings. */
  config?: Readonly<Record<string, unknown>>;
  /** What the organization authenticates with. */
  auth?: AuthState;
  /** The host's environment, as far as the manifest allows it. */
  env?: Readonly<Record<string, string>>;
  /** The organization; one called `org-test` if absent. */
  org?: HayOrg;
  /** The manifest's `capabilities`, where they decide what a context holds: `products`. */
  capabilities?: readonly string[];
  /** The plugin's folder, which the `cwd` of stdio servers is relative to; the working directory if absent. */
  root?: string;
}

/** A line that the plugin logged. */
export interface TestLogLine {
  level: LogLevel;
  message: string;
  meta?: unknown;
}

/** A plugin under test. */
export interface TestHost {
  /** What the plugin registered. */
  readonly metadata: PluginRegistration;
  /** All that the plugin logged so far. */
  readonly logs: readonly TestLogLine[];
  /** The MCP servers that run now. */
  readonly mcpServers: readonly TestMcpServer[];
  /** The present credentials, as a job may have renewed them. */
  readonly auth: AuthState | null;
  /** The products that the plugin published, by `externalId`. */
  readonly products: ReadonlyMap<string, HayProduct>;
  /** Runs `onEnable`. */
  enable(): Promise<void>;
  /** Runs `onStart`. It rejects as the hook does, where a host would mark the plugin as degraded. */
  start(): Promise<void>;
  /** Runs `onValidateAuth` with the given values, as a host does when somebody saves the settings. */
  validateAuth(given?: TestCredentials): Promise<{ valid: boolean; error?: string }>;
  /** Takes over new settings and runs `onConfigUpdate`. */
  updateConfig(config: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes over new credentials and runs `onConnected`. */
  connect(auth: AuthState): Promise<HayConnectedResult>;
  /** Runs a job once. */
  runCron(name: string): Promise<void>;
  /** Calls a route. 404 if there is none; 500 and a log line if its handler throws. */
  request(method: string, path: string, options?: TestRequestOptions): Promise<TestAnswer>;
  /** The tools of all running MCP servers. */
  listTools(): Promise<TestTool[]>;
  /** Calls a tool by its name. */
  callTool(name: string, args?: Record<string, unknown>): Promise<McpToolResult>;
  /** Runs `onDisable` and stops all MCP servers. */
  disable(): Promise<void>;
  /** Stops all MCP servers. */
  stop(): Promise<void>;
}

/** Values to validate. */
export interface TestCredentials {
  /** Submitted settings, on top of the stored ones. */
  config?: Readonly<Record<string, unknown>>;
  /** Submitted credentials; the present ones if absent. */
  auth?: AuthState;
}

/**
 * Loads a plugin and runs its `onInitialize`.
 *
 * @throws PluginDefinitionError with all that is wrong with what the plugin registers.
 */
export async function createTestHost(
  plugin: HayPluginFactory,
  options: TestHostOptions = {},
): Promise<TestHost> {
  const logs: TestLogLine[] = [];
  const logger = createLogger((line) => logs.push(JSON.parse(line) as TestLogLine));
  const registry = new PluginRegistry({ logger });
  const context: HayGlobalContext = {
    register: registry.register,
    config: registry.config,
    logger,
  };
  const definition = resolveDefinition(plugin, context);
  await definition.onInitialize?.(context);
  const metadata = describePlugin(definition, registry.seal());
  return new HostedPlugin({ definition, metadata, registry, context, logs, options });
}

interface HostedPluginParts {
  definition: HayPluginDefinition;
  metadata: PluginRegistration;
  registry: PluginRegistry;
  context: HayGlobalContext;
  logs: TestLogLine[];
  options: TestHostOptions;
}

class HostedPlugin implements TestHost {
  readonly metadata: PluginRegistration;
  readonly logs: readonly TestLogLine[];
  readonly products = new Map<string, HayProduct>();
  auth: AuthState | null;

  readonly #parts: HostedPluginParts;
  readonly #mcp = new TestMcp();
  #config: Readonly<Record<string, unknown>>;

  constructor(parts: HostedPluginParts) {
    this.#parts = parts;
    this.metadata = parts.metadata;
    this.logs = parts.logs;
    this.auth = parts.options.auth ?? null;
    this.#config = parts.options.config ?? {};
  }

  get mcpServers(): readonly TestMcpServer[] {
    return this.#mcp.list();
  }

  async enable(): Promise<void> {
    await this.#parts.definition.onEnable?.(this.#parts.context);
  }

  async start(): Promise<void> {
    const { org, logger } = this.#organization();
    const [config, auth] = [this.#configRuntime(), createAuthRuntime(() => this.auth)];
    await this.#parts.definition.onStart?.({
      org,
      logger,
      config,
      auth,
      mcp: {
        startLocal: (id, initializer) =>
          this.#mcp.startLocal(id, () => initializer({ config, auth, logger })),
        startLocalStdio: (options) =>
          this.#mcp.startStdio(options, this.#folder(options.cwd ?? ".")),
        startExternal: (options) => this.#mcp.startExternal(options),
      },
      ...this.#capabilities(),
    });
  }

  async validateAuth(given: TestCredentials = {}): Promise<{ valid: boolean; error?: string }> {
    const { definition } = this.#parts;
    if (definition.onValidateAuth === undefined) return { valid: true };
    const auth = given.auth ?? this.auth;
    const config = this.#configRuntime({ ...given.config, ...auth?.credentials });
    try {
      const valid = await definition.onValidateAuth({
        ...this.#organization(),
        config,
        auth: createAuthRuntime(() => auth),
      });
      return { valid };
    } catch (error) {
      return { valid: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  async updateConfig(config: Readonly<Record<string, unknown>>): Promise<void> {
    this.#config = config;
    await this.#parts.definition.onConfigUpdate?.({
      ...this.#organization(),
      config: this.#configRuntime(),
    });
  }

  async connect(auth: AuthState): Promise<HayConnectedResult> {
    this.auth = auth;
    const result = await this.#parts.definition.onConnected?.({
      ...this.#organization(),
      config: this.#configRuntime(),
      auth: createAuthRuntime(() => this.auth),
    });
    return result ?? {};
  }

  async runCron(name: string): Promise<void> {
    const cron = this.#parts.registry.crons.find((candidate) => candidate.name === name);
    if (cron === undefined) throw new Error(`the plugin registered no job \`${name}\``);
    await cron.handler({
      ...this.#organization(),
      config: this.#configRuntime(),
      auth: this.#updatableAuth(),
      ...this.#capabilities(),
    });
  }

  async request(
    method: string,
    path: string,
    options: TestRequestOptions = {},
  ): Promise<TestAnswer> {
    const target = new URL(path, "http://plugin.test");
    for (const [name, value] of Object.entries(options.query ?? {})) {
      target.searchParams.append(name, value);
    }
    const response = new TestResponse();
    for (const route of this.#parts.registry.routes) {
      const pattern = parseRoutePattern(route.path);
      if (route.method !== method.toUpperCase() || "message" in pattern) continue;
      const params = matchRoutePattern(pattern, target.pathname);
      if (params === undefined) continue;
      const request = new TestRequest(route.method, target, params, options);
      try {
        await route.handler(request, response);
      } catch (error) {
        this.#parts.context.logger.error(`the route \`${method} ${route.path}\` failed`, error);
        if (!response.headersSent) response.sendStatus(500);
        else response.end();
      }
      return response.answer;
    }
    response.sendStatus(404);
    return response.answer;
  }

  listTools(): Promise<TestTool[]> {
    return this.#mcp.listTools();
  }

  callTool(name: string, args: Record<string, unknown> = {}): Promise<McpToolResult> {
    return this.#mcp.callTool(name, args);
  }

  async disable(): Promise<void> {
    await this.#parts.definition.onDisable?.(this.#organization());
    await this.stop();
  }

  async stop(): Promise<void> {
    await this.#mcp.stop();
  }

  #organization() {
    const org = this.#parts.options.org ?? { id: "org-test" };
    return { org: { ...org }, logger: this.#parts.context.logger };
  }

  #configRuntime(over: Readonly<Record<string, unknown>> = {}): HayConfigRuntimeAPI {
    const environment = this.#parts.options.env ?? {};
    return createConfigRuntime({
      schema: this.metadata.configSchema,
      values: { ...this.#config, ...over },
      allowedEnv: Object.keys(environment),
      environment,
    });
  }

  #updatableAuth(): HayAuthUpdateAPI {
    return {
      ...createAuthRuntime(() => this.auth),
      update: (credentials, methodId = this.auth?.methodId) => {
        if (methodId === undefined) {
          return Promise.reject(
            new Error("`auth.update` needs a method id: the organization chose no method"),
          );
        }
        this.auth = { methodId, credentials: structuredClone(credentials) };
        return Promise.resolve();
      },
    };
  }

  #capabilities(): { productSource?: HayProductSourceAPI } {
    if (this.#parts.options.capabilities?.includes("products") !== true) return {};
    return {
      productSource: {
        upsert: (products) => {
          for (const product of products) this.products.set(product.externalId, product);
          return Promise.resolve();
        },
        delete: (externalId) => {
          this.products.delete(externalId);
          return Promise.resolve();
        },
      },
    };
  }

  #folder(cwd: string): string {
    const path = process.getBuiltinModule("node:path");
    const root = path.resolve(this.#parts.options.root ?? ".");
    const folder = path.resolve(root, cwd);
    if (folder !== root && !folder.startsWith(root + path.sep)) {
      throw new Error(`the folder \`${cwd}\` is outside the plugin`);
    }
    return folder;
  }
}
