/** The envelope of MCP messages, as far as the runner looks into it. */

export type RequestId = string | number;

export interface JsonRpcMessage {
  jsonrpc?: string;
  id?: RequestId;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: unknown;
}

export const INVALID_PARAMS = -32602;
export const METHOD_NOT_FOUND = -32601;
export const INTERNAL_ERROR = -32603;

/** What carries one server's messages to the host. */
export interface McpLink {
  /** Sends JSON text; throws `FrameTooLargeError` before anything is written. */
  send(json: string): void;
  /** Whether the host is so far behind that progress should be left out. */
  readonly congested: boolean;
}

/** A server inside the worker, as the channel sees it. */
export interface McpEndpoint {
  receive(message: JsonRpcMessage): void;
  /** Stops the server and lets it release what it holds. */
  stop(): Promise<void>;
}

export function errorJson(id: RequestId, code: number, message: string): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":${JSON.stringify({ code, message })}}`;
}

export function resultJson(id: RequestId, result: unknown): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(result)}}`;
}

export function notificationJson(method: string, params?: object): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}
