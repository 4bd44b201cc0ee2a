import type { JsonValue } from "../types/json.js";

/** The kinds of values that a field of a class-based plugin can hold. */
export type HayClassConfigFieldType = "string" | "number" | "boolean" | "array" | "object" | "json";

/** One setting that an organization can make. */
export interface HayClassConfigField {
  /** What kind of value it holds. */
  type: HayClassConfigFieldType;
  /** What a person reads beside it. */
  label?: string;
  /** A sentence about it. */
  description?: string;
  /** Whether the plugin cannot start without it. */
  required?: boolean;
  /** Whether the value is a secret. */
  encrypted?: boolean;
  /** The same as `encrypted`. */
  sensitive?: boolean;
  /** The environment variable that carries the value. */
  envVar?: string;
  /** The same as `envVar`. */
  env?: string;
  /** What holds while nobody gave a value. */
  default?: JsonValue;
  /** An example shown while the field is empty. */
  placeholder?: string;
  /** The only values allowed. */
  options?: readonly JsonValue[];
  /** A regular expression that a text must match. */
  regex?: string;
}

/** What a plugin says of itself in `super({ … })`. What is left out is taken from its `package.json`. */
export interface HayClassMetadata {
  /** Identifies the plugin: lower-case letters, digits and `-`. */
  id?: string;
  /** What people call it. */
  name?: string;
  /** Its version. */
  version?: string;
  /** One line about it. */
  description?: string;
  /** Who wrote it. */
  author?: string;
  /** Where the marketplace files it. */
  category?: string;
  /** What it registers or uses, such as `routes`, `mcp`, `messages`. */
  capabilities?: readonly string[];
  /** The settings that an organization can make, by field name. */
  config?: Readonly<Record<string, HayClassConfigField>>;
  /** How it authenticates to remote MCP servers that are registered without `auth`; `getAuthConfig` gives it. */
  auth?: unknown;
  /** Anything else; it stays readable as `this.metadata`. */
  [key: string]: unknown;
}

/** A tool announced with an MCP server, before the server ever ran. */
export interface HayMcpToolDeclaration {
  /** Unique within the server. */
  name: string;
  /** What a person reads. */
  label?: string;
  /** What a model reads. */
  description?: string;
  /** JSON Schema of the arguments. */
  input_schema?: object;
  /** The same as `input_schema`. */
  inputSchema?: object;
}

/**
 * How a remote MCP server is authenticated to. The host adds what belongs into the requests. A token, key or password that
 * is not given here is the value of the setting `configField`, or else what the organization authenticates with.
 */
export interface HayMcpAuth {
  /** `oauth2`, `bearer`, `jwt`, `apiKey`, `basic`, `headers` or `none`. */
  type: string;
  /** The token of `bearer` and `jwt`. */
  token?: string;
  /** The key of `apiKey`. */
  apiKey?: string;
  /** The setting that holds the token, key or password. */
  configField?: string;
  /** The header of `apiKey`; `Authorization` if absent. */
  header?: string;
  /** What stands before the key of `apiKey`; `Bearer ` in `Authorization` and nothing elsewhere if absent. */
  prefix?: string;
  /** The name of `basic`. */
  username?: string;
  /** The password of `basic`. */
  password?: string;
  /** The headers of `headers`. */
  headers?: Readonly<Record<string, string>>;
  /** Where the browser is sent. */
  authorizationUrl?: string;
  /** Where the code is exchanged for tokens. */
  tokenUrl?: string;
  /** Scopes that are always asked for. */
  scopes?: readonly string[];
  /** Scopes that the organization may leave out. */
  optionalScopes?: readonly string[];
  /** Whether the provider takes PKCE (RFC 7636). */
  pkce?: boolean;
  /** The host's variable that holds the client id. */
  clientIdEnvVar?: string;
  /** The host's variable that holds the client secret. */
  clientSecretEnvVar?: string;
}

/** An MCP server that the plugin brings. */
export interface LocalMcpRegistration {
  /** Identifies the server within the plugin; `local` if absent. */
  id?: string;
  /** The folder that `startCommand` runs in, or a file in it; the plugin's root if absent. */
  serverPath?: string;
  /** A shell line, such as `node index.js`. */
  startCommand: string;
  /** A shell line that installs what the server needs. */
  installCommand?: string;
  /** A shell line that builds the server. */
  buildCommand?: string;
  /** `stdio`, `http`, `sse`, `websocket`, or several with `|` between them; `stdio` if absent. */
  transport?: string;
  /** Further variables of the server beside those of the plugin's settings. */
  env?: Readonly<Record<string, string>>;
  /** Its tools, so that they are listed before it ever ran. */
  tools?: readonly HayMcpToolDeclaration[];
}

/** An MCP server elsewhere. */
export interface RemoteMcpRegistration {
  /** Identifies the server within the plugin; `remote` if absent. */
  id?: string;
  /** Its address. */
  url: string;
  /** `http`, `sse`, `websocket`, or several with `|` between them; `http` if absent. */
  transport?: string;
  /** How it is authenticated to; what `getAuthConfig` gives if absent. */
  auth?: HayMcpAuth;
  /** Headers of every request to it. */
  headers?: Readonly<Record<string, string>>;
  /** Its tools, so that they are listed before anybody connected. */
  tools?: readonly HayMcpToolDeclaration[];
}

/** Registers MCP servers with the host. Needs the capability `mcp`. */
export interface HayMcpSdk {
  /** A server that the plugin brings; the host starts it. */
  registerLocalMCP(server: LocalMcpRegistration): Promise<void>;
  /** A server elsewhere; the host connects to it. */
  registerRemoteMCP(server: RemoteMcpRegistration): Promise<void>;
}

/** A message from outside. */
export interface IncomingMessage {
  /** Who wrote it, as the outside calls them. */
  externalId?: string;
  /** The same as `externalId`. */
  from?: string;
  /** The channel that it came by. */
  channel: string;
  /** What it says. */
  text?: string;
  /** The same as `text`. */
  content?: string;
  /** Where an attachment lies. */
  mediaUrl?: string;
  /** Anything else about it. */
  metadata?: Readonly<Record<string, unknown>>;
  /** What is known of who wrote it. */
  customer?: Readonly<Record<string, unknown>>;
  [key: string]: unknown;
}

/** Where a message ended up. */
export interface ReceivedMessage {
  messageId: string;
  conversationId: string;
  processed?: boolean;
  [key: string]: unknown;
}

/** A message to the outside: to a conversation, or to somebody on a channel. */
export interface OutgoingMessage {
  conversationId?: string;
  to?: string;
  channel?: string;
  text?: string;
  content?: string;
  metadata?: Readonly<Record<string, unknown>>;
  [key: string]: unknown;
}

/** Receives and sends messages. Needs the capability `messages`. */
export interface HayMessagesSdk {
  receive(message: IncomingMessage): Promise<ReceivedMessage>;
  send(message: OutgoingMessage): Promise<Record<string, unknown>>;
  getByConversation(conversationId: string): Promise<Record<string, unknown>[]>;
}

/** A customer of the organization. */
export interface HayCustomer {
  id: string;
  [key: string]: unknown;
}

/** Reads and writes customers. Needs the capability `customers`. */
export interface HayCustomersSdk {
  get(id: string): Promise<HayCustomer | null>;
  findByExternalId(externalId: string, channel?: string): Promise<HayCustomer | null>;
  upsert(customer: {
    externalId: string;
    channel: string;
    email?: string;
    phone?: string;
    name?: string;
    metadata?: Readonly<Record<string, unknown>>;
  }): Promise<HayCustomer>;
}

/** A source of conversations. */
export interface SourceRegistration {
  /** Identifies the source; `type` if absent. */
  id?: string;
  /** What people call it. */
  name: string;
  /** The kind of source. */
  type?: string;
  /** Where it is filed: `messaging`, `social`, `email`, `helpdesk`. */
  category?: string;
  /** What can be sent and received over it. */
  capabilities?: Readonly<Record<string, boolean>>;
  [key: string]: unknown;
}

/** What a class-based plugin asks of its host. */
export interface HayPluginSdk {
  readonly mcp: HayMcpSdk;
  readonly messages: HayMessagesSdk;
  readonly customers: HayCustomersSdk;
  readonly sources: { register(source: SourceRegistration): Promise<Record<string, unknown>> };
  /** The same as `sources.register`. Needs the capability `sources`. */
  registerSource(source: SourceRegistration): Promise<Record<string, unknown>>;
}

/**
 * An Express 5 application, as far as it can be described without Express's own types. Where a variable of Express's
 * type is given, `getApp` has that type.
 */
export interface HayExpressApp {
  (req: object, res: object, next?: (error?: unknown) => void): void;
  use(...handlers: unknown[]): this;
  get(path: unknown, ...handlers: unknown[]): unknown;
  post(path: unknown, ...handlers: unknown[]): this;
  put(path: unknown, ...handlers: unknown[]): this;
  patch(path: unknown, ...handlers: unknown[]): this;
  delete(path: unknown, ...handlers: unknown[]): this;
  all(path: unknown, ...handlers: unknown[]): this;
  set(name: string, value: unknown): this;
}
