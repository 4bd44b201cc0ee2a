/**
 * Connects a server of the official MCP SDKs, 1.x or 2.x, to the channel.
 *
 * Both take any object with `start`, `send` and `close`, so neither SDK is imported: the plugin
 * brings its own. Messages pass as they are.
 */
import { FrameTooLargeError } from "../frame.js";
import { messageOf } from "../wire-error.js";
import {
  errorJson,
  INTERNAL_ERROR,
  type JsonRpcMessage,
  type McpEndpoint,
  type McpLink,
  type RequestId,
  resultJson,
} from "./json-rpc.js";
import type { ConnectableServer } from "./shape.js";
import { tooLargeResult } from "./tool-result.js";

/** The transport that the SDK's server is given. */
class ChannelTransport {
  onmessage?: (message: JsonRpcMessage) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  readonly #link: McpLink;
  /** The tools whose results are outstanding, to name one whose result does not fit. */
  readonly #calls = new Map<RequestId, string>();
  #closed = false;

  constructor(link: McpLink) {
    this.#link = link;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  // Asynchronous only in its errors: the SDK wants a promise, the channel takes it at once.
  // eslint-disable-next-line @typescript-eslint/require-await
  async send(message: JsonRpcMessage): Promise<void> {
    if (this.#closed) throw new Error("the transport is closed");
    this.#send(message);
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#calls.clear();
      this.onclose?.();
    }
    return Promise.resolve();
  }

  deliver(message: JsonRpcMessage): void {
    if (this.#closed) return;
    const { id, method, params } = message;
    if (id !== undefined && method === "tools/call" && typeof params?.name === "string") {
      this.#calls.set(id, params.name);
    } else if (method === "notifications/cancelled") {
      this.#calls.delete(params?.requestId as RequestId);
    }
    try {
      this.onmessage?.(message);
    } catch (error) {
      this.onerror?.(error as Error);
    }
  }

  #send(message: JsonRpcMessage): void {
    const { id, method } = message;
    const answered = method === undefined && id !== undefined ? id : undefined;
    const tool = answered === undefined ? undefined : this.#calls.get(answered);
    if (answered !== undefined) this.#calls.delete(answered);
    try {
      this.#link.send(JSON.stringify(message));
    } catch (error) {
      // A caller waits for an answer, so it gets one; anything else is the sender's to handle.
      if (answered === undefined) throw error;
      this.#link.send(
        tool !== undefined && error instanceof FrameTooLargeError
          ? resultJson(answered, tooLargeResult(tool, error.size))
          : errorJson(answered, INTERNAL_ERROR, messageOf(error)),
      );
    }
  }
}

export class SdkServer implements McpEndpoint {
  readonly #server: ConnectableServer;
  readonly #instance: { stop?: () => unknown };
  readonly #transport: ChannelTransport;

  private constructor(server: ConnectableServer, instance: object, transport: ChannelTransport) {
    this.#server = server;
    this.#instance = instance;
    this.#transport = transport;
  }

  /** Hands the server its transport. `instance` is what the plugin returned, which may wrap it. */
  static async connect(
    server: ConnectableServer,
    instance: object,
    link: McpLink,
  ): Promise<SdkServer> {
    const transport = new ChannelTransport(link);
    await server.connect(transport);
    return new SdkServer(server, instance, transport);
  }

  receive(message: JsonRpcMessage): void {
    this.#transport.deliver(message);
  }

  async stop(): Promise<void> {
    try {
      if (typeof this.#instance.stop === "function") await this.#instance.stop();
    } finally {
      await this.#server.close?.();
      await this.#transport.close();
    }
  }
}
