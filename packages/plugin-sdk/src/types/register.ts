import type { RegisterAuthAPI } from "./auth.js";
import type { ConfigSchema } from "./config.js";
import type { CronOptions } from "./cron.js";
import type { HttpMethod, RouteHandler, RouteOptions } from "./http.js";
import type { RegisterMcpDescriptorAPI } from "./mcp.js";
import type { RegisterUiAPI } from "./ui.js";
import type { WebhookRoutingOptions } from "./webhook-routing.js";

/**
 * Declares what a plugin is made of. Only until `onInitialize` has ended; the order does not matter. Everything is
 * checked at the end, and all that is wrong is reported at once.
 */
export interface HayRegisterAPI<Schema extends ConfigSchema = ConfigSchema> {
  /** An HTTP route, reachable at `/v1/plugins/{pluginId}{path}`. */
  route(method: HttpMethod, path: string, handler: RouteHandler, options?: RouteOptions): void;
  /** The settings that an organization can make. */
  config(schema: Schema): void;
  /** A component or a page in the dashboard. */
  ui: RegisterUiAPI;
  /** Ways to authenticate. */
  auth: RegisterAuthAPI<Schema>;
  /** Announces MCP servers. Hosts may lack it. */
  mcp?: RegisterMcpDescriptorAPI;
  /** A job run by the clock. */
  cron(options: CronOptions<Schema>): void;
  /** One webhook address for all organizations. */
  webhookRouting(options: WebhookRoutingOptions): void;
}
