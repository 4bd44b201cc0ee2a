import type { HayAuthRuntimeAPI } from "./auth.js";
import type { ConfigSchema, HayConfigDescriptorAPI, HayConfigRuntimeAPI } from "./config.js";
import type { HayLogger } from "./logger.js";
import type { HayMcpRuntimeAPI } from "./mcp.js";
import type { HayProductSourceAPI } from "./products.js";
import type { HayRegisterAPI } from "./register.js";

/** The organization that a worker serves. */
export interface HayOrg {
  /** Its id. */
  id: string;
  /** What people call it. */
  name?: string;
}

/** What a plugin gets before it knows any organization. */
export interface HayGlobalContext<Schema extends ConfigSchema = ConfigSchema> {
  /** Declares what the plugin is made of. */
  register: HayRegisterAPI<Schema>;
  /** Names configuration fields in declarations. */
  config: HayConfigDescriptorAPI<Schema>;
  /** The worker's log. */
  logger: HayLogger;
}

/** What `onStart` gets. */
export interface HayStartContext<Schema extends ConfigSchema = ConfigSchema> {
  /** For whom the plugin starts. */
  org: HayOrg;
  /** The organization's configuration. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The organization's credentials. */
  auth: HayAuthRuntimeAPI;
  /** Starts MCP servers. */
  mcp: HayMcpRuntimeAPI<Schema>;
  /** The worker's log. */
  logger: HayLogger;
  /** Publishes products. Only with the capability `products`. */
  productSource?: HayProductSourceAPI;
}

/** What `onValidateAuth` gets. */
export interface HayAuthValidationContext<Schema extends ConfigSchema = ConfigSchema> {
  /** Whose credentials are checked. */
  org: HayOrg;
  /** The configuration with the values to check in it: stored, then submitted, then the credentials. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The method and the credentials to check. */
  auth: HayAuthRuntimeAPI;
  /** The worker's log. */
  logger: HayLogger;
}

/** What `onConfigUpdate` gets. */
export interface HayConfigUpdateContext<Schema extends ConfigSchema = ConfigSchema> {
  /** Whose settings changed. */
  org: HayOrg;
  /** The new values. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The worker's log. */
  logger: HayLogger;
}

/** What `onDisable` gets. */
export interface HayDisableContext {
  /** For whom the plugin is switched off. */
  org: HayOrg;
  /** The worker's log. */
  logger: HayLogger;
}

/** What `onConnected` gets, right after OAuth tokens were stored. */
export interface HayConnectedContext<Schema extends ConfigSchema = ConfigSchema> {
  /** Who connected. */
  org: HayOrg;
  /** The organization's configuration. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The new credentials. */
  auth: HayAuthRuntimeAPI;
  /** The worker's log. */
  logger: HayLogger;
}

/** What `onConnected` may return. */
export interface HayConnectedResult {
  /** The keys under which items of a shared webhook belong to this organization. */
  routingKeys?: string[];
}
