/**
 * `this.sdk` of a class-based plugin: checks what is asked for, and passes it to whoever can do it.
 */

import { createPluginApi, type PluginApiAddress, type PluginApiCall } from "./plugin-api.js";
import { described } from "../registry/described.js";
import { compact } from "../registry/reader.js";
import type {
  HayCustomer,
  HayMcpAuth,
  HayMcpToolDeclaration,
  HayPluginSdk,
  ReceivedMessage,
} from "./types.js";

/** An MCP server as it is registered with a host. */
export type RegisteredMcpServer =
  | {
      kind: "local";
      id: string;
      /** The folder that the commands run in, relative to the plugin. */
      cwd: string;
      startCommand: string;
      installCommand?: string;
      buildCommand?: string;
      transports: string[];
      env: Record<string, string>;
      tools: McpToolMetadata[];
    }
  | {
      kind: "remote";
      id: string;
      url: string;
      transports: string[];
      headers: Record<string, string>;
      auth?: HayMcpAuth;
      tools: McpToolMetadata[];
    };

/** A declared tool, in MCP's own words. */
export interface McpToolMetadata {
  name: string;
  title?: string;
  description?: string;
  inputSchema: object;
}

/** Who does what a plugin asks for. */
export interface PluginSdkBackend {
  /** The tools of a server that is registered without any. */
  tools(): readonly HayMcpToolDeclaration[] | Promise<readonly HayMcpToolDeclaration[]>;
  registerMcp(server: RegisteredMcpServer): Promise<void>;
  /** How the plugin authenticates where a server elsewhere is registered without saying so. */
  auth?(): unknown;
  /** Where the Plugin API is, if there is one. */
  api(): PluginApiAddress | null;
}

/** The plugin asked for something that it did not declare. */
export class MissingCapabilityError extends Error {
  readonly capability: string;

  constructor(capability: string, what: string) {
    super(
      `\`${what}\` needs the capability \`${capability}\`, which the plugin does not declare: add it to \`capabilities\``,
    );
    this.name = "MissingCapabilityError";
    this.capability = capability;
  }
}

/** The host offers no Plugin API. */
export class PluginApiUnavailableError extends Error {
  constructor(what: string) {
    super(
      `\`${what}\` is not available: this host has no Plugin API yet (\`HAY_API_URL\` and \`HAY_API_TOKEN\` are not set)`,
    );
    this.name = "PluginApiUnavailableError";
  }
}

const TRANSPORTS = ["stdio", "http", "sse", "websocket"];

/** Makes the `sdk` of one instance. */
export function createPluginSdk(
  capabilities: readonly string[],
  backend: PluginSdkBackend,
  /** The ids of the servers registered so far. */
  ids: Set<string>,
): HayPluginSdk {
  function need(capability: string, what: string): void {
    if (!capabilities.includes(capability)) throw new MissingCapabilityError(capability, what);
  }

  async function call<Result>(capability: string, request: PluginApiCall): Promise<Result> {
    need(capability, `sdk.${request.procedure}`);
    const address = backend.api();
    if (address === null) throw new PluginApiUnavailableError(`sdk.${request.procedure}`);
    return (await createPluginApi(address)(request)) as Result;
  }

  /** The id that the plugin chose, or one that stays the same as long as the order of registrations does. */
  function serverId(given: Record<string, unknown>, fallback: string): string {
    const chosen = given.id ?? given.serverId;
    if (chosen !== undefined) {
      if (typeof chosen === "string" && /^[!-.0-~]{1,128}$/.test(chosen)) return chosen;
      throw new TypeError("the `id` of an MCP server must be 1 to 128 letters, digits and signs");
    }
    let id = fallback;
    for (let count = 2; ids.has(id); count += 1) id = `${fallback}-${count}`;
    return id;
  }

  async function register(
    what: string,
    value: unknown,
    read: (given: Record<string, unknown>, tools: McpToolMetadata[]) => RegisteredMcpServer,
  ): Promise<void> {
    need("mcp", `sdk.mcp.${what}`);
    if (typeof value !== "object" || value === null) {
      throw new TypeError(`\`${what}\` takes an object, but got ${described(value)}`);
    }
    const given = value as Record<string, unknown>;
    const server = read(given, readTools(given.tools ?? (await backend.tools())));
    ids.add(server.id);
    await backend.registerMcp(server);
  }

  const registerSource = (source: { name: string }) =>
    call<Record<string, unknown>>("sources", {
      procedure: "sources.register",
      method: "POST",
      path: "/sources/register",
      body: source,
    });

  return {
    mcp: {
      registerLocalMCP: (value) =>
        register("registerLocalMCP", value, (given, tools) => ({
          kind: "local",
          id: serverId(given, "local"),
          cwd: folderOf(given.serverPath),
          startCommand: readText(given, "startCommand", "the shell line that starts the server"),
          ...compact({
            installCommand: optionalText(given, "installCommand"),
            buildCommand: optionalText(given, "buildCommand"),
          }),
          transports: readTransports(given.transport, "stdio"),
          env: readTexts(given, "env"),
          tools,
        })),
      registerRemoteMCP: (value) =>
        register("registerRemoteMCP", value, (given, tools) => {
          const url = readText(given, "url", "the address of the server");
          if (!URL.canParse(url)) throw new TypeError(`\`url\` is not an address: \`${url}\``);
          return {
            kind: "remote",
            id: serverId(given, "remote"),
            url,
            transports: readTransports(given.transport, /^wss?:/i.test(url) ? "websocket" : "http"),
            headers: readTexts(given, "headers"),
            ...compact({
              auth: given.auth === undefined ? ownAuth(backend) : readAuth(given.auth),
            }),
            tools,
          };
        }),
    },
    messages: {
      receive: (message) =>
        call<ReceivedMessage>("messages", {
          procedure: "messages.receive",
          method: "POST",
          path: "/messages/receive",
          body: message,
        }),
      send: (message) =>
        call("messages", {
          procedure: "messages.send",
          method: "POST",
          path: "/messages/send",
          body: message,
        }),
      getByConversation: (conversationId) =>
        call("messages", {
          procedure: "messages.getByConversation",
          method: "GET",
          path: `/messages/conversation/${encodeURIComponent(conversationId)}`,
        }),
    },
    customers: {
      get: (id) =>
        call<HayCustomer | null>("customers", {
          procedure: "customers.get",
          method: "GET",
          path: `/customers/${encodeURIComponent(id)}`,
        }),
      findByExternalId: (externalId, channel) =>
        call<HayCustomer | null>("customers", {
          procedure: "customers.findByExternalId",
          method: "POST",
          path: "/customers/find-by-external-id",
          body: channel === undefined ? { externalId } : { externalId, channel },
        }),
      upsert: (customer) =>
        call<HayCustomer>("customers", {
          procedure: "customers.upsert",
          method: "POST",
          path: "/customers/upsert",
          body: customer,
        }),
    },
    sources: { register: registerSource },
    registerSource,
  };
}

/** `serverPath` names a folder, or a file in it. */
function folderOf(value: unknown): string {
  if (value === undefined) return ".";
  if (typeof value !== "string" || value === "") {
    throw new TypeError(`\`serverPath\` must be a path, but got ${described(value)}`);
  }
  const path = value.replace(/^(\.\/)+/, "").replace(/\/+$/, "");
  if (path.startsWith("/") || path.split("/").includes("..")) {
    throw new TypeError(`\`serverPath\` leaves the plugin's folder: \`${value}\``);
  }
  if (/\.[cm]?[jt]s$/.test(path)) return path.includes("/") ? path.replace(/\/[^/]*$/, "") : ".";
  return path === "" ? "." : path;
}

function readTransports(value: unknown, fallback: string): string[] {
  if (value === undefined) return [fallback];
  const names = typeof value === "string" ? value.split("|").map((name) => name.trim()) : [];
  const unknown = names.find((name) => !TRANSPORTS.includes(name));
  if (names.length === 0 || unknown !== undefined) {
    throw new TypeError(
      `\`transport\` must be \`stdio\`, \`http\`, \`sse\` or \`websocket\`, but got ${unknown === undefined ? described(value) : `\`${unknown}\``}`,
    );
  }
  return names;
}

/** What `getAuthConfig` says; what is no way to authenticate to a server says nothing about this one. */
function ownAuth(backend: PluginSdkBackend): HayMcpAuth | undefined {
  const value = backend.auth?.();
  const { type } = Object(value) as { type?: unknown };
  return typeof type === "string" ? readAuth(value) : undefined;
}

function readAuth(value: unknown): HayMcpAuth {
  const { type } = Object(value) as { type?: unknown };
  if (typeof type !== "string") throw new TypeError("`auth` needs a `type`, such as `oauth2`");
  return structuredClone(value) as HayMcpAuth;
}

/** Tools as an array, or as the namespace that `import * as tools from "./tools.json"` gives. */
function readTools(value: unknown): McpToolMetadata[] {
  if (!Array.isArray(value)) {
    const inner = Object(value) as { default?: unknown; tools?: unknown };
    const list = inner.tools ?? inner.default;
    if (list === undefined) throw new TypeError("`tools` must be an array");
    return readTools(list);
  }
  return value.map((item: unknown, index) => {
    const { name, label, title, description, inputSchema, input_schema } = Object(item) as Record<
      string,
      unknown
    >;
    if (typeof name !== "string" || name === "") {
      throw new TypeError(`\`tools[${index}]\` needs a \`name\``);
    }
    const schema = inputSchema ?? input_schema ?? { type: "object" };
    if (typeof schema !== "object") {
      throw new TypeError(`the input schema of \`tools[${index}]\` must be an object`);
    }
    const shown = title ?? label;
    return compact({
      name,
      title: typeof shown === "string" ? shown : undefined,
      description: typeof description === "string" ? description : undefined,
      inputSchema: schema,
    });
  });
}

function readText(given: Record<string, unknown>, key: string, what: string): string {
  const value = given[key];
  if (typeof value === "string" && value.trim() !== "") return value;
  throw new TypeError(`\`${key}\` (${what}) must be a string, but got ${described(value)}`);
}

function optionalText(given: Record<string, unknown>, key: string): string | undefined {
  return given[key] === undefined ? undefined : readText(given, key, "a shell line");
}

function readTexts(given: Record<string, unknown>, key: string): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, text] of Object.entries(Object(given[key] ?? {}) as object)) {
    if (text === undefined) continue;
    if (typeof text !== "string") throw new TypeError(`\`${key}.${name}\` must be a string`);
    texts[name] = text;
  }
  return texts;
}
