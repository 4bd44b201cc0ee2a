/** An MCP client for a server of the official packages in the same process, without depending on those packages. */

import type { McpTool, McpToolResult } from "../types/mcp.js";
import { SDK_VERSION } from "../version.js";

/** A server that is given a transport to speak over. */
export interface ConnectableServer {
  connect(transport: MemoryTransport): Promise<void>;
}

/** A message as a server of the official packages sends and takes it. */
interface Message {
  jsonrpc: "2.0";
  id?: number | string;
  method?: string;
  params?: object;
  result?: unknown;
  error?: { code: number; message: string };
}

/** The server's half of the connection. The official packages set the callbacks. */
export interface MemoryTransport {
  onmessage?: (message: Message) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  start(): Promise<void>;
  send(message: Message): Promise<void>;
  close(): Promise<void>;
}

/** A connection to one server. */
export interface MemoryClient {
  listTools(): Promise<McpTool[]>;
  callTool(name: string, args: Record<string, unknown>): Promise<McpToolResult>;
  close(): Promise<void>;
}

/** Whether a value is a `Server` or an `McpServer`. */
export function isConnectable(value: unknown): value is ConnectableServer {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof Reflect.get(value, "connect") === "function"
  );
}

/** Connects to a server and agrees on the protocol. */
export async function connectInMemory(server: ConnectableServer): Promise<MemoryClient> {
  const waiting = new Map<number, (message: Message) => void>();
  let nextId = 1;
  const transport: MemoryTransport = {
    start: () => Promise.resolve(),
    send(message) {
      if (message.method === undefined) {
        waiting.get(Number(message.id))?.(message);
        waiting.delete(Number(message.id));
      } else if (message.id !== undefined) {
        const error = { code: -32601, message: "a test host answers no requests of servers" };
        transport.onmessage?.({ jsonrpc: "2.0", id: message.id, error });
      }
      return Promise.resolve();
    },
    close() {
      transport.onclose?.();
      return Promise.resolve();
    },
  };

  async function request(method: string, params: object): Promise<unknown> {
    const id = nextId++;
    const answer = await new Promise<Message>((resolve) => {
      waiting.set(id, resolve);
      transport.onmessage?.({ jsonrpc: "2.0", id, method, params });
    });
    if (answer.error !== undefined) throw new Error(answer.error.message);
    return answer.result;
  }

  await server.connect(transport);
  const { capabilities } = (await request("initialize", {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "@hay/plugin-sdk/testing", version: SDK_VERSION },
  })) as { capabilities: { tools?: object } };
  transport.onmessage?.({ jsonrpc: "2.0", method: "notifications/initialized" });
  return {
    async listTools() {
      // A server without tools refuses to list them.
      if (capabilities.tools === undefined) return [];
      const { tools } = (await request("tools/list", {})) as { tools: McpTool[] };
      return tools;
    },
    callTool: async (name, args) =>
      (await request("tools/call", { name, arguments: args })) as McpToolResult,
    close: () => transport.close(),
  };
}
