/**
 * What kind of MCP server an initializer returned, told by shape.
 *
 * Never by `instanceof`: a plugin brings its own copy of whichever SDK it was written with.
 */

/** A plain object that lists and runs tools; any part may be missing. */
export interface ToolObject {
  listTools?: (params?: object) => unknown;
  callTool?: (...args: unknown[]) => unknown;
  stop?: () => unknown;
  onToolsChanged?: (listener: () => void) => unknown;
  on?: (event: string, listener: () => void) => unknown;
  name?: unknown;
  version?: unknown;
  instructions?: unknown;
}

/** A `Server` or `McpServer` of the official SDKs: it is given a transport and speaks for itself. */
export interface ConnectableServer {
  connect(transport: object): Promise<void>;
  close?: () => unknown;
}

export type ServerShape =
  { kind: "connectable"; server: ConnectableServer } | { kind: "tools"; instance: ToolObject };

/** Tells the shape of anything that an initializer may return. */
export function shapeOf(instance: unknown): ServerShape {
  if (typeof instance !== "object" || instance === null) return { kind: "tools", instance: {} };
  const tools = instance as ToolObject;
  // An MCP client connects too. What it can list and call is what the plugin wants to offer.
  if (typeof tools.listTools === "function" || typeof tools.callTool === "function") {
    return { kind: "tools", instance: tools };
  }
  if (isConnectable(instance)) return { kind: "connectable", server: instance };
  // A class of the plugin around a server of the SDK.
  const { server } = instance as { server?: unknown };
  if (isConnectable(server)) return { kind: "connectable", server };
  return { kind: "tools", instance: tools };
}

function isConnectable(value: unknown): value is ConnectableServer {
  if (typeof value !== "object" || value === null) return false;
  const { connect, setRequestHandler, server } = value as Record<string, unknown>;
  if (typeof connect !== "function") return false;
  return (
    typeof setRequestHandler === "function" ||
    (typeof server === "object" &&
      server !== null &&
      typeof (server as Record<string, unknown>).setRequestHandler === "function")
  );
}

/**
 * Whether `callTool` wants one request object, `callTool({ name, arguments })`, as MCP clients do.
 * Everybody else writes `callTool(name, args)`.
 *
 * A client is known by its other methods. Otherwise the parameter decides: a lone one that is taken
 * apart, or that is called like a request. Any other name says nothing, least of all a minified one.
 */
export function takesRequestObject(instance: ToolObject): boolean {
  const { callTool } = instance;
  if (typeof callTool !== "function") return false;
  const { getServerCapabilities } = instance as Record<string, unknown>;
  if (typeof getServerCapabilities === "function") return true;
  if (callTool.length !== 1) return false;
  const source = Function.prototype.toString.call(callTool);
  const parameters =
    /^(?:async\s+)?([\w$]+)\s*=>/.exec(source)?.[1] ?? /^[^(]*\(\s*([^)]*)/.exec(source)?.[1];
  if (parameters === undefined) return false;
  if (parameters.startsWith("{")) return true;
  return /^(?:call|input|params|req|request)\s*$/.test(parameters);
}
