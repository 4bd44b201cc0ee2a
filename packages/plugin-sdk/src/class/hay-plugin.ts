/**
 * The base class of class-based plugins. It is thin on purpose: whoever runs the plugin brings what is behind it.
 */

import { createRequire } from "node:module";

import type { RouteHandler } from "../types/http.js";
import type { HayLogger } from "../types/logger.js";
import { SDK_VERSION } from "../version.js";
import { CLASS_BRAND, classHost, type ClassHosting } from "./class-host.js";
import type {
  HayClassMetadata,
  HayExpressApp,
  HayMcpToolDeclaration,
  HayPluginSdk,
} from "./types.js";

/** Express within this package, where it was built; the name to load it by otherwise. */
declare const HAY_SDK_EXPRESS: string | undefined;

/**
 * A plugin as a class. One instance serves one organization.
 *
 * Its constructor may run without an organization, with an empty `config`, so that a host can read what it says of
 * itself. What needs the organization's values belongs into `onInitialize`.
 */
export class HayPlugin {
  static readonly [CLASS_BRAND] = { sdk: SDK_VERSION };

  /** What the plugin says of itself: what it gave to `super`, completed by its `package.json`. */
  readonly metadata: HayClassMetadata;

  /** The organization's settings by field name. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- authors hand the values on as what their fields are
  protected readonly config: Record<string, any>;

  /** What the plugin asks of its host. */
  protected readonly sdk: HayPluginSdk;

  /** The worker's log. */
  protected readonly logger: HayLogger;

  readonly #hosting: ClassHosting;

  /** @param metadata what the plugin says of itself; its `package.json` where it says nothing. */
  constructor(metadata?: HayClassMetadata) {
    const hosting = classHost().adopt(this, metadata);
    this.#hosting = hosting;
    this.metadata = hosting.metadata;
    this.config = hosting.config;
    this.sdk = hosting.sdk;
    this.logger = hosting.logger;
  }

  /** Answers requests to a path, reachable at `/v1/plugins/{pluginId}{path}`. To be called until `onInitialize` ends. */
  protected registerRoute(method: string, path: string, handler: RouteHandler): void {
    this.#hosting.registerRoute(method, path, handler);
  }

  /** Writes to the log. */
  protected log(message: string, meta?: unknown): void {
    this.logger.info(message, meta);
  }

  /** Writes a fault to the log. */
  protected logError(message: string, error?: unknown): void {
    this.logger.error(message, error);
  }

  /**
   * The plugin's Express application, for middleware and routers. Express is loaded when this is first called; from
   * then on all routes of the plugin pass through it.
   */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller says which types of Express it has
  getApp<App = HayExpressApp>(): App {
    return this.#hosting.app(loadExpress) as App;
  }

  /** Runs once the organization's settings are there: registers routes, connects to services. */
  protected onInitialize(): void | Promise<void> {
    return undefined;
  }

  /** Runs when the organization switches the plugin on. */
  protected onEnable(): void | Promise<void> {
    return undefined;
  }

  /** Runs when the organization switches the plugin off. */
  protected onDisable(): void | Promise<void> {
    return undefined;
  }

  /** Runs after settings were saved. `this.config` has the new values already. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as `config`
  protected onConfigUpdate(_newConfig: Record<string, any>): void | Promise<void> {
    return undefined;
  }

  /** Registers the plugin's MCP servers, by `this.sdk.mcp`. Runs after `onInitialize`. */
  protected registerMCP(): void | Promise<void> {
    return undefined;
  }

  /** How the plugin authenticates to remote MCP servers that it registers without `auth`. */
  protected getAuthConfig(): unknown {
    return this.metadata.auth;
  }

  /** The tools that are announced for an MCP server registered without any. */
  protected getMCPTools():
    readonly HayMcpToolDeclaration[] | Promise<readonly HayMcpToolDeclaration[]> {
    return [];
  }
}

function loadExpress(): unknown {
  const require = createRequire(import.meta.url);
  return require(typeof HAY_SDK_EXPRESS === "string" ? HAY_SDK_EXPRESS : "express");
}
