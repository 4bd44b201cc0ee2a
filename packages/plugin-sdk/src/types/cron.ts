import type { HayAuthUpdateAPI } from "./auth.js";
import type { ConfigSchema, HayConfigRuntimeAPI } from "./config.js";
import type { HayOrg } from "./contexts.js";
import type { HayLogger } from "./logger.js";
import type { HayProductSourceAPI } from "./products.js";

/** How a failed run is repeated. */
export interface CronRetryPolicy {
  /** How many times at most. */
  maxRetries: number;
  /** Whether the pause stays the same or doubles. */
  backoff: "fixed" | "exponential";
}

/** A job run by the clock, one run at a time for each organization. */
export interface CronOptions<Schema extends ConfigSchema = ConfigSchema> {
  /** Unique within the plugin. */
  name: string;
  /** Minute, hour, day of month, month, day of week, such as `0 3 * * mon-fri`. */
  schedule: string;
  /** The work. */
  handler: CronHandler<Schema>;
  /** A failed run is not repeated if absent. */
  retryPolicy?: CronRetryPolicy;
}

/** The work of a job. A throw or a rejection is a failed run. */
export type CronHandler<Schema extends ConfigSchema = ConfigSchema> = (
  ctx: HayCronContext<Schema>,
) => unknown;

/** What a job gets. */
export interface HayCronContext<Schema extends ConfigSchema = ConfigSchema> {
  /** For whom it runs. */
  org: HayOrg;
  /** The organization's configuration. */
  config: HayConfigRuntimeAPI<Schema>;
  /** The organization's credentials, which a job may renew. */
  auth: HayAuthUpdateAPI;
  /** The worker's log. */
  logger: HayLogger;
  /** Publishes products. Only with the capability `products`. */
  productSource?: HayProductSourceAPI;
}
