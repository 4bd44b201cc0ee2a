/** All types of the SDK. Importing this module runs nothing. */
export type * from "./class/types.js";
export type * from "./types/auth.js";
export type * from "./types/config.js";
export type * from "./types/contexts.js";
export type * from "./types/cron.js";
export type * from "./types/definition.js";
export type * from "./types/http.js";
export type * from "./types/json.js";
export type * from "./types/logger.js";
export type * from "./types/mcp.js";
export type * from "./types/metadata.js";
export type * from "./types/problem.js";
export type * from "./types/products.js";
export type * from "./types/register.js";
export type * from "./types/ui.js";
export type * from "./types/webhook-routing.js";
