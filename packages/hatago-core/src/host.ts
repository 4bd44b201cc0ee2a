/**
 * For programs that run Hatago plugins, not for plugins. It needs nothing of Node, so that it runs in Workers too, and
 * may change with every version.
 */

export { CAPABILITIES, HATAGO_VERSION, isCapability } from "./capabilities.js";
export { CapabilityError } from "./capability-error.js";
export { applicationRoutes, type ApplicationRoute } from "./host/application.js";
export {
  type CapabilityUses,
  createTimer,
  deniedCapability,
  UseCounter,
} from "./host/capabilities.js";
export {
  type HatagoInstance,
  Instance,
  type InstanceOptions,
  startInstance,
} from "./host/instance.js";
export { type JsonRpcMessage, McpServer } from "./host/mcp-server.js";
export type * from "./types.js";
