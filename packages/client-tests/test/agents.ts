/** The official clients behind one interface, as far as the tests need it. */
import {
  Client as Client2,
  StreamableHTTPClientTransport as Transport2,
} from "@modelcontextprotocol/client";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as Transport1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

/** What a report of progress says. */
export interface Report {
  progress: number;
  total?: number | undefined;
}

/** A connected agent. */
export interface Agent {
  /** The name of what answers. */
  readonly server: string | undefined;
  tools(): Promise<string[]>;
  call(
    name: string,
    args: Record<string, unknown>,
    onprogress?: (report: Report) => void,
  ): Promise<any>;
  /** Settles once the client listens for notifications, which it starts to do by itself after it connected. */
  readonly listening: Promise<void>;
  /** Called for every `notifications/tools/list_changed`. */
  onToolsChanged(handler: () => void): void;
  /** Ends the session at the server too. */
  leave(): Promise<void>;
}

/** Connects a client with a token. */
export type Connect = (endpoint: URL, token: string) => Promise<Agent>;

const INFO = { name: "client-tests", version: "1.0.0" };

/** How a transport is to speak, and when its stream of notifications is open. */
function wire(token: string): {
  options: { requestInit: RequestInit; fetch: typeof fetch };
  listening: Promise<void>;
} {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return {
    listening: promise,
    options: {
      requestInit: { headers: { authorization: `Bearer ${token}` } },
      async fetch(url, init) {
        const answer = await fetch(url, init);
        if (init?.method === "GET" && answer.ok) resolve(undefined);
        return answer;
      },
    },
  };
}

/** The client of `@modelcontextprotocol/sdk` 1.x. */
export const connect1: Connect = async (endpoint, token) => {
  const { options, listening } = wire(token);
  const transport = new Transport1(endpoint, options);
  const client = new Client1(INFO);
  await client.connect(transport);
  return {
    server: client.getServerVersion()?.name,
    listening,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: (name, args, onprogress) =>
      client.callTool({ name, arguments: args }, undefined, onprogress && { onprogress }),
    onToolsChanged: (handler) =>
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => handler()),
    async leave() {
      await transport.terminateSession();
      await client.close();
    },
  };
};

/** The client of `@modelcontextprotocol/client` 2.x. */
export const connect2: Connect = async (endpoint, token) => {
  const { options, listening } = wire(token);
  const transport = new Transport2(endpoint, options);
  // It asks for a newer revision first, and must find its way back to one that we speak.
  const client = new Client2(INFO, { versionNegotiation: { mode: "auto" } });
  await client.connect(transport);
  return {
    server: client.getServerVersion()?.name,
    listening,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: (name, args, onprogress) =>
      client.callTool({ name, arguments: args }, onprogress && { onprogress }),
    onToolsChanged: (handler) =>
      client.setNotificationHandler("notifications/tools/list_changed", () => handler()),
    async leave() {
      await transport.terminateSession();
      await client.close();
    },
  };
};
