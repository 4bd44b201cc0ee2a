/** Write plugins for Hay. */

export { HayPlugin } from "./class/hay-plugin.js";
export { startPluginWorker } from "./class/start-plugin-worker.js";
export { defineHayPlugin } from "./define.js";
export { ConfigMissingError, ConfigValueError, PluginDefinitionError } from "./errors.js";
export { createLogger, Logger, type LogWriter } from "./logger.js";
export { StdioMcpClient, StdioMcpError, type StdioMcpClientOptions } from "./stdio-mcp-client.js";
export type * from "./types.js";
