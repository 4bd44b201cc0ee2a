import type { CapabilityName } from "./types.js";

/** The version of Hatago that `engines.hatago` of a manifest is compared with. */
export const HATAGO_VERSION = "1.0.0";

/** Every capability, in the order of the documentation. */
export const CAPABILITIES = [
  "fetch",
  "kv",
  "logger",
  "timer",
  "crypto",
] as const satisfies CapabilityName[];

/** Whether there is such a capability. */
export function isCapability(name: unknown): name is CapabilityName {
  return CAPABILITIES.some((known) => known === name);
}
