/**
 * A small MCP client for servers that speak over their standard input and output (MCP 2025-06-18, transport "stdio").
 * It is itself an in-process MCP server for the host: `mcp.startLocal(id, () => new StdioMcpClient({ … }))`.
 */

import { StdioConnection } from "./stdio-mcp/connection.js";
import { StdioMcpError } from "./stdio-mcp/error.js";
import type { HayLogger } from "./types/logger.js";
import type { McpServerInstance, McpTool, McpToolResult } from "./types/mcp.js";
import { SDK_VERSION } from "./version.js";

export { StdioMcpError } from "./stdio-mcp/error.js";

/** The server to start, and how to treat it. */
export interface StdioMcpClientOptions {
  /** The program. */
  command: string;
  /** Its arguments. */
  args?: readonly string[];
  /** Its working directory; the worker's if absent. */
  cwd?: string;
  /** Its environment beside `PATH`, `HOME` and the like. Nothing else of the worker's environment is passed on. */
  env?: Readonly<Record<string, string>>;
  /** Milliseconds that an answer may take; 30,000 if absent. */
  timeout?: number;
  /** Gets what the server writes to its standard error, line by line, as `debug`. */
  logger?: HayLogger;
}

const PROTOCOL_VERSION = "2025-06-18";
const DEFAULT_TIMEOUT_MS = 30_000;
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_ENV"];

/** A connection to one stdio MCP server. It starts the server on first use, and anew after the server ended. */
export class StdioMcpClient implements McpServerInstance {
  readonly #options: StdioMcpClientOptions;
  #connection: StdioConnection | undefined;
  #starting: Promise<StdioConnection> | undefined;

  constructor(options: StdioMcpClientOptions) {
    this.#options = options;
  }

  /** Starts the server and agrees on the protocol, unless that was done. */
  async start(): Promise<void> {
    await this.#connected();
  }

  /** All tools of the server, over all pages. */
  async listTools(): Promise<McpTool[]> {
    const tools: McpTool[] = [];
    const seen = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = (await this.request("tools/list", cursor === undefined ? {} : { cursor })) as {
        tools?: McpTool[];
        nextCursor?: string;
      };
      tools.push(...(page.tools ?? []));
      cursor = page.nextCursor;
      if (cursor !== undefined && seen.has(cursor)) {
        throw new StdioMcpError(
          `the MCP server \`${this.#options.command}\` lists the same page of tools again and again`,
        );
      }
      if (cursor !== undefined) seen.add(cursor);
    } while (cursor !== undefined);
    return tools;
  }

  /** Runs a tool. A tool that says that it failed is a result with `isError`, not a throw. */
  async callTool(name: string, args: Record<string, unknown> = {}): Promise<McpToolResult> {
    return (await this.request("tools/call", { name, arguments: args })) as McpToolResult;
  }

  /**
   * Sends any request of the protocol and gives its result.
   *
   * @throws StdioMcpError if the server cannot be started, ends, answers too late, or refuses.
   */
  async request(method: string, params?: object): Promise<unknown> {
    const connection = await this.#connected();
    return connection.request(method, params, this.#timeout);
  }

  /** Ends the server. Done when its process is gone. */
  async stop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#starting = undefined;
    await connection?.stop();
  }

  get #timeout(): number {
    return this.#options.timeout ?? DEFAULT_TIMEOUT_MS;
  }

  #connected(): Promise<StdioConnection> {
    if (this.#starting === undefined) {
      const starting = this.#connect();
      this.#starting = starting;
      // A start that failed is tried again on the next use.
      starting.catch(() => {
        if (this.#starting === starting) this.#starting = undefined;
      });
    }
    return this.#starting;
  }

  async #connect(): Promise<StdioConnection> {
    const { command, args = [], cwd, env, logger } = this.#options;
    const connection = new StdioConnection({
      command,
      args,
      cwd,
      env: { ...inheritedEnvironment(), ...env },
      onErrorLine: (line) => logger?.debug(line),
    });
    this.#connection = connection;
    void connection.ended.then(() => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.#starting = undefined;
    });
    try {
      const clientInfo = { name: "@hay/plugin-sdk", version: SDK_VERSION };
      const hello = { protocolVersion: PROTOCOL_VERSION, capabilities: {}, clientInfo };
      await connection.request("initialize", hello, this.#timeout);
    } catch (error) {
      await connection.stop();
      throw error;
    }
    connection.notify("notifications/initialized");
    return connection;
  }
}

function inheritedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
