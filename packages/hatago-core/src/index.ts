/** What Hatago plugins import. */

export { CAPABILITIES, HATAGO_VERSION } from "./capabilities.js";
export { CapabilityError } from "./capability-error.js";
export { createDefaultLogger, type LogLevel } from "./default-logger.js";
export type * from "./types.js";
