/**
 * Speaks MCP for a plain object with `listTools()` and `callTool(name, args)`.
 *
 * The object may announce new tools: by an `onToolsChanged(listener)` method, which is given a
 * function to call, or as an event emitter, by the event `toolsChanged`.
 */
import { FrameTooLargeError } from "../frame.js";
import type { HayLogger } from "@hay/plugin-sdk/host";
import { messageOf } from "../wire-error.js";
import {
  errorJson,
  INTERNAL_ERROR,
  INVALID_PARAMS,
  type JsonRpcMessage,
  type McpEndpoint,
  type McpLink,
  METHOD_NOT_FOUND,
  notificationJson,
  type RequestId,
  resultJson,
} from "./json-rpc.js";
import { takesRequestObject, type ToolObject } from "./shape.js";
import { ToolCall } from "./tool-call.js";
import { failure, toErrorResult, tooLargeResult, toToolResult } from "./tool-result.js";
import { readToolList } from "./tool-list.js";

const REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

export interface PlainServerOptions {
  readonly id: string;
  readonly instance: ToolObject;
  /** What `serverInfo` says where the object has no version of its own. */
  readonly version: string;
  readonly link: McpLink;
  readonly logger: HayLogger;
}

export class PlainServer implements McpEndpoint {
  readonly #options: PlainServerOptions;
  readonly #running = new Map<RequestId, ToolCall>();
  readonly #requestObject: boolean;
  readonly #announcesChanges: boolean;
  /** The names that the object lists, while that is known completely. */
  #names: Set<string> | null = null;
  #initialized = false;

  constructor(options: PlainServerOptions) {
    this.#options = options;
    const { instance } = options;
    this.#requestObject = takesRequestObject(instance);
    const changed = () => {
      this.#toolsChanged();
    };
    this.#announcesChanges = subscribe(instance, changed);
  }

  receive(message: JsonRpcMessage): void {
    const { id, method, params } = message;
    if (method === undefined) return;
    if (id === undefined) this.#notified(method, params);
    else if (method === "tools/call") this.#call(id, params);
    else this.#request(id, method, params);
  }

  async stop(): Promise<void> {
    for (const call of this.#running.values()) call.cancel("the server is stopping");
    this.#running.clear();
    await this.#options.instance.stop?.();
  }

  #request(id: RequestId, method: string, params: Record<string, unknown> | undefined): void {
    switch (method) {
      case "initialize":
        this.#initialized = true;
        this.#answer(id, this.#initialize(params?.protocolVersion));
        return;
      case "ping":
        this.#answer(id, {});
        return;
      case "tools/list":
        this.#list(params?.cursor).then(
          (result) => {
            this.#answer(id, result);
          },
          (error: unknown) => {
            this.#send(errorJson(id, INTERNAL_ERROR, `\`listTools\` failed: ${messageOf(error)}`));
          },
        );
        return;
      default:
        this.#send(errorJson(id, METHOD_NOT_FOUND, `method not found: ${method}`));
    }
  }

  #notified(method: string, params: Record<string, unknown> | undefined): void {
    if (method !== "notifications/cancelled" || params === undefined) return;
    const id = params.requestId as RequestId;
    this.#running.get(id)?.cancel(typeof params.reason === "string" ? params.reason : "cancelled");
    this.#running.delete(id);
  }

  #initialize(requested: unknown): object {
    const { id, instance, version } = this.#options;
    const revision = REVISIONS.find((known) => known === requested) ?? REVISIONS[0];
    return {
      protocolVersion: revision,
      capabilities: { tools: this.#announcesChanges ? { listChanged: true } : {} },
      serverInfo: {
        name: typeof instance.name === "string" ? instance.name : id,
        version: typeof instance.version === "string" ? instance.version : version,
      },
      ...(typeof instance.instructions === "string" ? { instructions: instance.instructions } : {}),
    };
  }

  async #list(cursor: unknown): Promise<object> {
    const { instance, logger, id } = this.#options;
    if (instance.listTools === undefined) return { tools: [] };
    const value: unknown = await (cursor === undefined
      ? instance.listTools()
      : instance.listTools({ cursor }));
    const { tools, nextCursor, warnings } = readToolList(value);
    for (const warning of warnings) logger.warn(`MCP server \`${id}\`: ${warning}`);
    const complete = cursor === undefined && nextCursor === undefined;
    this.#names = complete ? new Set(tools.map((tool) => tool.name)) : null;
    return nextCursor === undefined ? { tools } : { tools, nextCursor };
  }

  #call(id: RequestId, params: Record<string, unknown> | undefined): void {
    const name = params?.name;
    const args = params?.arguments ?? {};
    if (typeof name !== "string") {
      this.#send(errorJson(id, INVALID_PARAMS, "`params.name` must be a string"));
      return;
    }
    if (typeof args !== "object" || Array.isArray(args)) {
      this.#send(errorJson(id, INVALID_PARAMS, "`params.arguments` must be an object"));
      return;
    }
    const call = new ToolCall(id, params?._meta, this.#options.link);
    this.#running.set(id, call);
    if (this.#names?.has(name) === true) this.#run(call, name, args);
    else void this.#runUnlisted(call, name, args);
  }

  /** A tool that is not known to be listed may be new: the object is asked before the call is refused. */
  async #runUnlisted(call: ToolCall, name: string, args: object): Promise<void> {
    if (this.#options.instance.listTools !== undefined) {
      try {
        await this.#list(undefined);
      } catch {
        // A list that fails says nothing about the tool.
        this.#names = null;
      }
      if (this.#names?.has(name) === false) {
        this.#finish(call, () =>
          errorJson(call.requestId, INVALID_PARAMS, `unknown tool: ${name}`),
        );
        return;
      }
    }
    if (this.#running.get(call.requestId) === call) this.#run(call, name, args);
  }

  #run(call: ToolCall, name: string, args: object): void {
    const { instance } = this.#options;
    const succeed = (value: unknown) => {
      this.#finish(call, () => resultJson(call.requestId, toToolResult(value)), name);
    };
    const fail = (error: unknown) => {
      this.#finish(call, () => resultJson(call.requestId, toErrorResult(error)), name);
    };
    if (instance.callTool === undefined) {
      fail(new Error("the server has no `callTool` method"));
      return;
    }
    try {
      const value: unknown = this.#requestObject
        ? instance.callTool({ name, arguments: args }, undefined, call)
        : instance.callTool(name, args, call);
      if (isThenable(value)) value.then(succeed, fail);
      else succeed(value);
    } catch (error) {
      fail(error);
    }
  }

  /** Answers a call, once, and not at all after it was cancelled. */
  #finish(call: ToolCall, json: () => string, tool?: string): void {
    if (this.#running.get(call.requestId) !== call) return;
    this.#running.delete(call.requestId);
    call.finish();
    const { requestId } = call;
    try {
      this.#options.link.send(json());
    } catch (error) {
      const result =
        error instanceof FrameTooLargeError && tool !== undefined
          ? tooLargeResult(tool, error.size)
          : failure(`the result of the tool cannot be sent: ${messageOf(error)}`);
      this.#send(resultJson(requestId, result));
    }
  }

  #answer(id: RequestId, result: unknown): void {
    try {
      this.#options.link.send(resultJson(id, result));
    } catch (error) {
      this.#send(errorJson(id, INTERNAL_ERROR, messageOf(error)));
    }
  }

  #send(json: string): void {
    this.#options.link.send(json);
  }

  #toolsChanged(): void {
    this.#names = null;
    if (this.#initialized) this.#send(notificationJson("notifications/tools/list_changed"));
  }
}

function subscribe(instance: ToolObject, changed: () => void): boolean {
  if (typeof instance.onToolsChanged === "function") instance.onToolsChanged(changed);
  else if (typeof instance.on === "function") instance.on("toolsChanged", changed);
  else return false;
  return true;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { then?: unknown }).then === "function"
  );
}
