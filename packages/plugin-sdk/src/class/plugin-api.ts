/** The host's Plugin API by REST: `{ success, data }`, or `{ success: false, error }`. */

import { compact } from "../registry/reader.js";
import type { RegisteredMcpServer } from "./plugin-sdk.js";

/** Where the Plugin API is, and the token that opens it. */
export interface PluginApiAddress {
  url: string;
  token: string;
}

/** One request to the Plugin API, relative to `/v1/plugin-api`. */
export interface PluginApiCall {
  procedure: string;
  method: "GET" | "POST";
  path: string;
  body?: object;
}

/** The Plugin API refused, or could not be reached. */
export class PluginApiError extends Error {
  /** The answer's status; absent when there was no answer. Not called `status`, which Express would answer with. */
  readonly httpStatus: number | undefined;

  constructor(message: string, httpStatus?: number, options?: ErrorOptions) {
    super(message, options);
    this.name = "PluginApiError";
    this.httpStatus = httpStatus;
  }
}

/** Where the environment says that the Plugin API is. */
export function pluginApiOfEnvironment(): PluginApiAddress | null {
  const { HAY_API_URL: url, HAY_API_TOKEN: token } = process.env;
  return url === undefined || url === "" || token === undefined ? null : { url, token };
}

/** Makes the function that calls the Plugin API. */
export function createPluginApi(
  address: PluginApiAddress,
): (call: PluginApiCall) => Promise<unknown> {
  const base = address.url.replace(/\/+$/, "");
  return async ({ procedure, method, path, body }) => {
    let response: Response;
    try {
      response = await fetch(`${base}/v1/plugin-api${path}`, {
        method,
        headers: {
          accept: "application/json",
          authorization: `Bearer ${address.token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new PluginApiError(
        `\`${procedure}\`: the host at ${base} cannot be reached`,
        undefined,
        {
          cause,
        },
      );
    }
    const answer = await readAnswer(response);
    if (response.ok && answer.success !== false) return answer.data;
    const reason = typeof answer.error === "string" ? answer.error : response.statusText;
    throw new PluginApiError(
      `\`${procedure}\` was refused with ${response.status}: ${reason}`,
      response.status,
    );
  };
}

/** The call that registers an MCP server. */
export function registerMcpCall(server: RegisteredMcpServer): PluginApiCall {
  const { kind, transports, ...more } = server;
  const transport = transports.join("|");
  if (kind === "remote") {
    return {
      procedure: "mcp.registerRemote",
      method: "POST",
      path: "/mcp/register-remote",
      body: { ...more, transport },
    };
  }
  const { cwd, ...local } = server;
  return {
    procedure: "mcp.registerLocal",
    method: "POST",
    path: "/mcp/register-local",
    body: compact({ ...local, kind: undefined, transports: undefined, serverPath: cwd, transport }),
  };
}

async function readAnswer(response: Response): Promise<Record<string, unknown>> {
  try {
    const value: unknown = await response.json();
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
