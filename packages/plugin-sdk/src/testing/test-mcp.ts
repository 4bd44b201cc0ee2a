/** The MCP servers that a plugin under test started. Real ones: their tools can be listed and called. */

import { StdioMcpClient } from "../stdio-mcp-client.js";
import type {
  ExternalMcpOptions,
  McpServerInstance,
  McpTool,
  McpToolResult,
  StdioMcpOptions,
} from "../types/mcp.js";
import { connectInMemory, isConnectable, type MemoryClient } from "./memory-client.js";

/** A server that the plugin started. */
export interface TestMcpServer {
  /** Its id. */
  id: string;
  /** How it runs. */
  kind: "inProcess" | "stdio" | "external";
  /** What the plugin gave for it, unless it runs in process. */
  options?: StdioMcpOptions | ExternalMcpOptions;
}

/** A tool and the server that it belongs to. */
export interface TestTool extends McpTool {
  serverId: string;
}

interface Running extends TestMcpServer {
  listTools(): Promise<McpTool[]>;
  callTool(name: string, args: Record<string, unknown>): Promise<McpToolResult>;
  stop(): Promise<void>;
}

/** All servers of one plugin under test, by id. */
export class TestMcp {
  readonly #servers = new Map<string, Running>();

  /** What runs now. */
  list(): TestMcpServer[] {
    return [...this.#servers.values()].map(({ id, kind, options }) =>
      options === undefined ? { id, kind } : { id, kind, options },
    );
  }

  /** Takes an in-process server in place of an earlier one with the same id. */
  async startLocal(id: string, make: () => Promise<McpServerInstance> | McpServerInstance) {
    await this.#stop(id);
    const instance = await make();
    this.#servers.set(id, await inProcess(id, instance));
  }

  /** Starts a real process. */
  async startStdio(options: StdioMcpOptions, cwd: string): Promise<void> {
    await this.#stop(options.id);
    const { command, args, env, timeout } = options;
    const client = new StdioMcpClient({
      command,
      cwd,
      ...(args === undefined ? {} : { args }),
      ...(env === undefined ? {} : { env }),
      ...(timeout === undefined ? {} : { timeout }),
    });
    await client.start();
    this.#servers.set(options.id, {
      id: options.id,
      kind: "stdio",
      options,
      listTools: () => client.listTools(),
      callTool: (name, args) => client.callTool(name, args),
      stop: () => client.stop(),
    });
  }

  /** Notes a server elsewhere. Nothing is connected. */
  async startExternal(options: ExternalMcpOptions): Promise<void> {
    await this.#stop(options.id);
    this.#servers.set(options.id, {
      id: options.id,
      kind: "external",
      options,
      listTools: () => Promise.resolve([]),
      callTool: () =>
        Promise.reject(
          new Error(
            `the server \`${options.id}\` is elsewhere, and a test host connects to nothing`,
          ),
        ),
      stop: () => Promise.resolve(),
    });
  }

  /** The tools of all servers. */
  async listTools(): Promise<TestTool[]> {
    const lists = await Promise.all(
      [...this.#servers.values()].map(async (server) =>
        (await server.listTools()).map((tool) => ({ ...tool, serverId: server.id })),
      ),
    );
    return lists.flat();
  }

  /** Calls a tool of the server that lists it. */
  async callTool(name: string, args: Record<string, unknown>): Promise<McpToolResult> {
    for (const server of this.#servers.values()) {
      const tools = await server.listTools();
      if (tools.some((tool) => tool.name === name)) return server.callTool(name, args);
    }
    throw new Error(`no server of the plugin has a tool \`${name}\``);
  }

  /** Stops all servers. */
  async stop(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((id) => this.#stop(id)));
  }

  async #stop(id: string): Promise<void> {
    const server = this.#servers.get(id);
    this.#servers.delete(id);
    await server?.stop();
  }
}

async function inProcess(id: string, given: unknown): Promise<Running> {
  const instance = (typeof given === "object" && given !== null ? given : {}) as McpServerInstance;
  const stop = async () => {
    await instance.stop?.();
  };
  if (instance.listTools === undefined && instance.callTool === undefined) {
    // A class of the plugin may hold the server of the official packages as its `server`.
    const inner: unknown = Reflect.get(instance, "server");
    const server = isConnectable(instance) ? instance : isConnectable(inner) ? inner : undefined;
    if (server !== undefined) {
      const client: MemoryClient = await connectInMemory(server);
      return {
        id,
        kind: "inProcess",
        listTools: () => client.listTools(),
        callTool: (name, args) => client.callTool(name, args),
        async stop() {
          await client.close();
          await stop();
        },
      };
    }
  }
  return {
    id,
    kind: "inProcess",
    listTools: async () => toolsOf(await instance.listTools?.()),
    async callTool(name, args) {
      try {
        return toResult(await instance.callTool?.(name, args));
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        return { content: [{ type: "text", text }], isError: true };
      }
    },
    stop,
  };
}

function toolsOf(listed: unknown): McpTool[] {
  const tools: unknown =
    typeof listed === "object" && listed !== null && !Array.isArray(listed)
      ? Reflect.get(listed, "tools")
      : listed;
  return Array.isArray(tools) ? (tools as McpTool[]) : [];
}

function toResult(value: unknown): McpToolResult {
  if (value === undefined || value === null) return { content: [] };
  if (typeof value === "object" && Array.isArray(Reflect.get(value, "content"))) {
    return value as McpToolResult;
  }
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const content = [{ type: "text", text }];
  return typeof value === "object" && !Array.isArray(value)
    ? { content, structuredContent: value }
    : { content };
}
