/**
 * For programs that run plugins, not for plugins: collects registrations, checks definitions, and resolves values. It
 * may change with every version.
 */

export { createAuthRuntime } from "./auth-runtime.js";
export {
  type ClassHost,
  type ClassHosting,
  type HayPluginClass,
  installClassHost,
  isHayPluginClass,
} from "./class/class-host.js";
export {
  ClassInstance,
  type ClassInstanceOptions,
  type ClassValues,
} from "./class/class-instance.js";
export type { PackageManifest } from "./class/metadata.js";
export { pluginApiOfEnvironment } from "./class/plugin-api.js";
export type { PluginSdkBackend, RegisteredMcpServer } from "./class/plugin-sdk.js";
export { createConfigRuntime, type ConfigRuntimeOptions } from "./config-runtime.js";
export { PLUGIN_BRAND } from "./define.js";
export { ConfigMissingError, ConfigValueError, PluginDefinitionError } from "./errors.js";
export { loggable } from "./loggable.js";
export { createLogger, type LogWriter } from "./logger.js";
export type { RegisteredCron } from "./registry/crons.js";
export { PluginRegistry, type PluginRegistryOptions } from "./registry/plugin-registry.js";
export {
  matchRoutePattern,
  parseRoutePattern,
  type RouteParameters,
  type RoutePattern,
  type RoutePatternFault,
} from "./registry/route-pattern.js";
export type { RegisteredRoute } from "./registry/routes.js";
export {
  describePlugin,
  hasPluginBrand,
  isHayPluginFactory,
  resolveDefinition,
} from "./resolve-definition.js";
export type * from "./types.js";
export { SDK_VERSION } from "./version.js";
