import type { ConfigFieldReference, ConfigSchema } from "./config.js";

/** The ways to authenticate that a plugin offers. */
export interface RegisterAuthAPI<Schema extends ConfigSchema = ConfigSchema> {
  /** A key that a person pastes into a configuration field. */
  apiKey(options: ApiKeyAuthOptions<Schema>): void;
  /** OAuth 2, which the host runs. */
  oauth2(options: OAuth2AuthOptions): void;
}

/** An API key kept in a configuration field. */
export interface ApiKeyAuthOptions<Schema extends ConfigSchema = ConfigSchema> {
  /** Unique among the plugin's methods, such as `apiKey`. */
  id: string;
  /** What a person reads. */
  label: string;
  /** The field of `register.config` that holds the key. */
  configField: keyof Schema & string;
}

/** A provider's own way to trade one token for another. */
export interface OAuth2TokenCall {
  /** Where to ask. */
  url: string;
  /** The value of `grant_type`. */
  grantType: string;
  /** The parameter that carries the present token. */
  tokenParam: string;
  /** Whether the client secret goes along. */
  includeClientSecret?: boolean;
}

/** OAuth 2 with one provider. */
export interface OAuth2AuthOptions {
  /** Unique among the plugin's methods, such as `oauth`. */
  id: string;
  /** What a person reads. */
  label: string;
  /** Where the browser is sent. */
  authorizationUrl: string;
  /** Where the code is exchanged for tokens. */
  tokenUrl: string;
  /** Scopes that are always asked for. */
  scopes?: readonly string[];
  /** Scopes that the organization may leave out. */
  optionalScopes?: readonly string[];
  /** Whether the provider takes PKCE (RFC 7636). */
  pkce?: boolean;
  /** The field that holds the client id: `config.field("clientId")`. */
  clientId: ConfigFieldReference;
  /** The field that holds the client secret: `config.field("clientSecret")`. */
  clientSecret: ConfigFieldReference;
  /** Further parameters of the authorization request. */
  authorizationParams?: Readonly<Record<string, string>>;
  /** What stands between two scopes; a space if absent. */
  scopeSeparator?: string;
  /** How a short-lived token becomes a long-lived one, where that is not a refresh token's doing. */
  tokenExchange?: OAuth2TokenCall;
  /** How a long-lived token is renewed, where that is not a refresh token's doing. */
  tokenRefresh?: OAuth2TokenCall;
}

/** The method that an organization chose, and what it gave for it. */
export interface AuthState {
  /** The id of a registered method. */
  methodId: string;
  /** By name, such as `{ apiKey }` or `{ accessToken, expiresAt }`. */
  credentials: Record<string, unknown>;
}

/** The credentials of one organization. */
export interface HayAuthRuntimeAPI {
  /** What the organization authenticates with, or `null` while it chose nothing. */
  get(): AuthState | null;
}

/** The credentials of one organization, where they can also be renewed. */
export interface HayAuthUpdateAPI extends HayAuthRuntimeAPI {
  /**
   * Stores renewed credentials. They replace those of the method.
   *
   * @param methodId the organization's present method if absent.
   */
  update(credentials: Record<string, unknown>, methodId?: string): Promise<void>;
}
