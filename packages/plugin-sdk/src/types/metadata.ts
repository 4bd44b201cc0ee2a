import type { ConfigFieldReference, ConfigFieldType, ConfigValueShape } from "./config.js";
import type { CronRetryPolicy } from "./cron.js";
import type { HookName } from "./definition.js";
import type { HttpMethod, RouteAccess } from "./http.js";
import type { JsonValue } from "./json.js";
import type { McpServerDescriptor } from "./mcp.js";
import type { OAuth2TokenCall } from "./auth.js";
import type { UIExtensionDescriptor, UIPageDescriptor } from "./ui.js";
import type { WebhookRoutingOptions } from "./webhook-routing.js";

/** A configuration field as the host is told of it. */
export interface ConfigFieldMetadata {
  type: ConfigFieldType;
  label?: string;
  description?: string;
  required?: boolean;
  env?: string;
  sensitive?: boolean;
  default?: JsonValue;
  placeholder?: string;
  options?: JsonValue[];
  regex?: string;
  items?: ConfigValueShape;
  properties?: Record<string, ConfigValueShape>;
}

/** An API key method as the host is told of it. */
export interface ApiKeyAuthMetadata {
  type: "apiKey";
  id: string;
  label: string;
  configField: string;
}

/** An OAuth 2 method as the host is told of it. */
export interface OAuth2AuthMetadata {
  type: "oauth2";
  id: string;
  label: string;
  authorizationUrl: string;
  tokenUrl: string;
  scopes?: string[];
  optionalScopes?: string[];
  pkce?: boolean;
  clientId: ConfigFieldReference;
  clientSecret: ConfigFieldReference;
  authorizationParams?: Record<string, string>;
  scopeSeparator?: string;
  tokenExchange?: OAuth2TokenCall;
  tokenRefresh?: OAuth2TokenCall;
}

/** A way to authenticate as the host is told of it. */
export type AuthMethodMetadata = ApiKeyAuthMetadata | OAuth2AuthMetadata;

/** A route as the host is told of it. */
export interface RouteMetadata {
  method: HttpMethod;
  path: string;
  access?: RouteAccess;
}

/** A job as the host is told of it. */
export interface CronMetadata {
  name: string;
  schedule: string;
  retryPolicy?: CronRetryPolicy;
}

/** Everything that a plugin registered, as plain JSON. */
export interface PluginMetadata {
  configSchema: Record<string, ConfigFieldMetadata>;
  authMethods: AuthMethodMetadata[];
  mcp: { local: McpServerDescriptor[]; external: McpServerDescriptor[] };
  uiExtensions: UIExtensionDescriptor[];
  pages: UIPageDescriptor[];
  routes: RouteMetadata[];
  crons: CronMetadata[];
  webhookRouting?: WebhookRoutingOptions;
}

/** A procedure of a plugin's own tRPC router, as the host is told of it. */
export interface ProcedureMetadata {
  /** Its path within the router, such as `orders.list`. */
  path: string;
  type: "query" | "mutation" | "subscription";
}

/** What the host is told of a plugin: what it registered, its name and its hooks. */
export interface PluginRegistration extends PluginMetadata {
  name: string;
  hooks: HookName[];
  /** The procedures of its router; absent without one. */
  procedures?: ProcedureMetadata[];
}
