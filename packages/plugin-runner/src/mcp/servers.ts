/**
 * The MCP servers of one worker: starts them, routes messages to those inside the process, stops
 * them all.
 *
 * What runs elsewhere (a process of its own, a remote address) is only asked of the host.
 */
import type { HayLogger } from "@hay/plugin-sdk/host";
import type { OpenMcpServer, WorkerRequest } from "../protocol.js";
import { withDeadline } from "../deadline.js";
import { messageOf } from "../wire-error.js";
import {
  errorJson,
  INTERNAL_ERROR,
  type JsonRpcMessage,
  type McpEndpoint,
  type McpLink,
} from "./json-rpc.js";
import { readExternalServer, readServerId, readStdioServer } from "./options.js";
import { PlainServer } from "./plain-server.js";
import { SdkServer } from "./sdk-server.js";
import { shapeOf } from "./shape.js";

/** How long a server that is replaced or that failed to open may take to stop. */
const STOP_MS = 5000;

/** What the servers need of the channel. */
export interface McpChannel {
  readonly congested: boolean;
  request(request: WorkerRequest): Promise<unknown>;
  sendMcp(serverId: string, json: string): void;
}

export interface McpServersOptions {
  readonly channel: McpChannel;
  readonly logger: HayLogger;
  /** The plugin's folder, which working directories are relative to and stay within. */
  readonly root: string;
  /** The version that servers without one of their own report. */
  readonly version: string;
}

export class McpServers {
  readonly #options: McpServersOptions;
  /** Servers that the host was asked to open; an endpoint where it lives in this process. */
  readonly #open = new Map<string, McpEndpoint | null>();
  /** The last step for each id, so that two starts of one id never overlap. */
  readonly #steps = new Map<string, Promise<unknown>>();
  #stopping = false;

  constructor(options: McpServersOptions) {
    this.#options = options;
  }

  /** Starts a server inside this process; `initialize` makes the object that serves. */
  async startLocal(id: unknown, initialize: () => unknown): Promise<void> {
    const serverId = readServerId(id);
    if (typeof initialize !== "function") {
      throw new TypeError("`startLocal` takes an id and a function that returns the MCP server");
    }
    await this.#inTurn(serverId, async () => {
      await this.#close(serverId);
      const endpoint = await this.#endpoint(serverId, await initialize());
      await this.#openServer({ id: serverId, kind: "inProcess" }, endpoint);
    });
  }

  /** Has the host start a server that speaks over its standard input and output. */
  async startStdio(options: unknown): Promise<void> {
    await this.#startElsewhere(readStdioServer(options, this.#options.root));
  }

  /** Has the host connect to a server elsewhere. */
  async startExternal(options: unknown): Promise<void> {
    await this.#startElsewhere(readExternalServer(options));
  }

  receive(serverId: string, message: JsonRpcMessage): void {
    const endpoint = this.#open.get(serverId);
    if (endpoint !== undefined && endpoint !== null) {
      endpoint.receive(message);
    } else if (message.id !== undefined && message.method !== undefined) {
      const text = `no MCP server \`${serverId}\` runs in this worker`;
      this.#options.channel.sendMcp(serverId, errorJson(message.id, INTERNAL_ERROR, text));
    }
  }

  /** Stops every server inside this process, all at once, within the given time. */
  async stopAll(milliseconds: number): Promise<void> {
    this.#stopping = true;
    const servers = [...this.#open];
    this.#open.clear();
    await Promise.all(servers.map(([id, endpoint]) => this.#stop(id, endpoint, milliseconds)));
  }

  async #startElsewhere(server: OpenMcpServer): Promise<void> {
    await this.#inTurn(server.id, async () => {
      await this.#close(server.id);
      await this.#openServer(server, null);
    });
  }

  async #openServer(server: OpenMcpServer, endpoint: McpEndpoint | null): Promise<void> {
    if (this.#stopping) {
      await this.#stop(server.id, endpoint, STOP_MS);
      throw new Error("the worker is stopping");
    }
    // The host initializes the server before it answers, so messages arrive from here on.
    this.#open.set(server.id, endpoint);
    try {
      await this.#options.channel.request({ type: "openMcp", server });
    } catch (error) {
      this.#open.delete(server.id);
      await this.#stop(server.id, endpoint, STOP_MS);
      throw error;
    }
  }

  async #close(id: string): Promise<void> {
    const endpoint = this.#open.get(id);
    if (endpoint === undefined) return;
    await this.#options.channel.request({ type: "closeMcp", serverId: id });
    this.#open.delete(id);
    await this.#stop(id, endpoint, STOP_MS);
  }

  async #stop(id: string, endpoint: McpEndpoint | null, milliseconds: number): Promise<void> {
    if (endpoint === null) return;
    const failed = (error: unknown) => {
      this.#options.logger.error(`MCP server \`${id}\`: \`stop\` failed: ${messageOf(error)}`);
    };
    await withDeadline("stop", milliseconds, () => endpoint.stop(), failed).catch(failed);
  }

  async #endpoint(id: string, instance: unknown): Promise<McpEndpoint> {
    const { channel, logger, version } = this.#options;
    const link: McpLink = {
      get congested() {
        return channel.congested;
      },
      send: (json) => {
        channel.sendMcp(id, json);
      },
    };
    const shape = shapeOf(instance);
    return shape.kind === "connectable"
      ? SdkServer.connect(shape.server, instance as object, link)
      : new PlainServer({ id, instance: shape.instance, version, link, logger });
  }

  async #inTurn(id: string, step: () => Promise<void>): Promise<void> {
    const before = this.#steps.get(id);
    const turn = (before ?? Promise.resolve()).then(step);
    // The next one waits for this one's end, however it ends.
    const ended = turn.catch(() => undefined);
    this.#steps.set(id, ended);
    try {
      await turn;
    } finally {
      if (this.#steps.get(id) === ended) this.#steps.delete(id);
    }
  }
}
