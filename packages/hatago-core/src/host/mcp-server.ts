/**
 * The MCP server of one plugin: what it registered, and the protocol for it. Knows nothing of transports beyond what
 * the official SDKs call one.
 */

import type {
  HatagoServer,
  Progress,
  PromptConfig,
  PromptHandler,
  Registered,
  RequestExtra,
  ResourceConfig,
  ResourceReader,
  ToolConfig,
  ToolHandler,
} from "../types.js";
import {
  describePrompt,
  describeTool,
  failure,
  messageOf,
  type Prompt,
  readAddress,
  type Resource,
  schemaOf,
  type Tool,
  toResult,
} from "./mcp-items.js";
import { matchTemplate } from "./uri-template.js";

export interface JsonRpcMessage {
  jsonrpc?: string;
  id?: string | number;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: unknown;
}

/** Carries messages; the official SDKs call it a transport. */
export interface Transport {
  start?(): Promise<void>;
  send(message: object): Promise<void>;
  close?(): Promise<void>;
  onmessage?: (message: JsonRpcMessage) => void;
}

export interface McpServerOptions {
  name: string;
  version: string;
}

type Send = (message: object) => Promise<void>;
type RequestHandler = (message: JsonRpcMessage, extra: RequestExtra) => unknown;

const REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const INVALID_PARAMS = -32602;
const METHOD_NOT_FOUND = -32601;
const INTERNAL_ERROR = -32603;
const RESOURCE_NOT_FOUND = -32002;

class RequestError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export class McpServer implements HatagoServer {
  readonly #options: McpServerOptions;
  readonly #tools = new Map<string, Tool>();
  readonly #resources = new Map<string, Resource>();
  readonly #templates = new Map<string, Resource>();
  readonly #prompts = new Map<string, Prompt>();
  readonly #running = new Map<string | number, AbortController>();
  readonly #own = new Map<string, RequestHandler>();
  #transport: Transport | null = null;
  #initialized = false;

  constructor(options: McpServerOptions) {
    this.#options = options;
  }

  registerTool(name: string, config: ToolConfig, handler: ToolHandler): Registered {
    checkRegistration("tool", name, this.#tools, handler);
    const { inputSchema, outputSchema } = config;
    const tool: Tool = {
      config,
      input: schemaOf(`the input schema of the tool \`${name}\``, inputSchema),
      output:
        outputSchema === undefined
          ? null
          : schemaOf(`the output schema of the tool \`${name}\``, outputSchema),
      handler,
    };
    return this.#register("tools", this.#tools, name, tool);
  }

  registerResource(
    name: string,
    uri: string | object,
    config: ResourceConfig,
    read: ResourceReader,
  ): Registered {
    const { template, list } = readAddress(uri);
    const resources = template.includes("{") ? this.#templates : this.#resources;
    checkRegistration("resource", template, resources, read);
    return this.#register("resources", resources, template, { name, config, read, list });
  }

  registerPrompt(name: string, config: PromptConfig, handler: PromptHandler): Registered {
    checkRegistration("prompt", name, this.#prompts, handler);
    const { argsSchema } = config;
    const args =
      argsSchema === undefined
        ? null
        : schemaOf(`the schema of the prompt \`${name}\``, argsSchema);
    return this.#register("prompts", this.#prompts, name, { config, args, handler });
  }

  async notification(notification: { method: string; params?: object }): Promise<void> {
    await this.#transport?.send({ jsonrpc: "2.0", ...notification });
  }

  /** Answers a method that this server does not know. */
  setRequestHandler(method: string, handler: RequestHandler): void {
    if (typeof method !== "string")
      throw new TypeError("`setRequestHandler` takes a method's name");
    this.#own.set(method, handler);
  }

  /** The names of all tools. */
  get toolNames(): string[] {
    return [...this.#tools.keys()];
  }

  async connect(transport: Transport): Promise<void> {
    this.#transport = transport;
    transport.onmessage = (message) => {
      void this.handle(message, (answer) => transport.send(answer));
    };
    await transport.start?.();
  }

  close(): Promise<void> {
    for (const controller of this.#running.values()) controller.abort(abortion("the server stops"));
    this.#running.clear();
    return Promise.resolve();
  }

  /** Handles one message. What it causes goes out by `send`; ends once its answer has been sent. */
  async handle(message: JsonRpcMessage, send: Send): Promise<void> {
    const { id, method, params } = message;
    if (method === undefined) return;
    if (id === undefined) {
      this.#notified(method, params ?? {});
      return;
    }
    const controller = new AbortController();
    this.#running.set(id, controller);
    let answer: object;
    try {
      const extra = extraOf(id, params?._meta, controller.signal, send);
      const result = await this.#answer(method, message, extra);
      answer = { jsonrpc: "2.0", id, result };
    } catch (error) {
      const code = error instanceof RequestError ? error.code : INTERNAL_ERROR;
      answer = { jsonrpc: "2.0", id, error: { code, message: messageOf(error) } };
    }
    if (this.#running.get(id) !== controller) return;
    this.#running.delete(id);
    if (!controller.signal.aborted) await send(answer);
  }

  #register<Item>(kind: string, items: Map<string, Item>, key: string, item: Item): Registered {
    items.set(key, item);
    this.#changed(kind);
    return {
      remove: () => {
        if (items.get(key) !== item) return;
        items.delete(key);
        this.#changed(kind);
      },
    };
  }

  #changed(kind: string): void {
    if (!this.#initialized) return;
    void this.notification({ method: `notifications/${kind}/list_changed` }).catch(() => undefined);
  }

  #notified(method: string, params: Record<string, unknown>): void {
    if (method !== "notifications/cancelled") return;
    const reason = typeof params.reason === "string" ? params.reason : "cancelled";
    this.#running.get(params.requestId as string | number)?.abort(abortion(reason));
  }

  async #answer(method: string, message: JsonRpcMessage, extra: RequestExtra): Promise<unknown> {
    const params = message.params ?? {};
    const own = this.#own.get(method);
    if (own !== undefined) return (await own(message, extra)) ?? {};
    switch (method) {
      case "initialize":
        return this.#initialize(params.protocolVersion);
      case "ping":
        return {};
      case "tools/list":
        return { tools: [...this.#tools].map(([name, tool]) => describeTool(name, tool)) };
      case "tools/call":
        return this.#call(params, extra);
      case "resources/list":
        return { resources: await this.#listResources() };
      case "resources/templates/list":
        return {
          resourceTemplates: [...this.#templates].map(([uriTemplate, { name, config }]) => ({
            ...config,
            uriTemplate,
            name,
          })),
        };
      case "resources/read":
        return this.#read(params.uri, extra);
      case "prompts/list":
        return {
          prompts: [...this.#prompts].map(([name, prompt]) => describePrompt(name, prompt)),
        };
      case "prompts/get":
        return this.#prompt(params, extra);
      default:
        throw new RequestError(METHOD_NOT_FOUND, `method not found: ${method}`);
    }
  }

  #initialize(requested: unknown): object {
    this.#initialized = true;
    const { name, version } = this.#options;
    const changes = { listChanged: true };
    return {
      protocolVersion: REVISIONS.find((known) => known === requested) ?? REVISIONS[0],
      capabilities: {
        tools: changes,
        ...(this.#resources.size + this.#templates.size > 0 ? { resources: changes } : {}),
        ...(this.#prompts.size > 0 ? { prompts: changes } : {}),
      },
      serverInfo: { name, version },
    };
  }

  async #call(params: Record<string, unknown>, extra: RequestExtra): Promise<unknown> {
    const { name } = params;
    const tool = typeof name === "string" ? this.#tools.get(name) : undefined;
    if (tool === undefined) throw new RequestError(INVALID_PARAMS, `unknown tool: ${String(name)}`);
    const checked = await tool.input.check(params.arguments ?? {});
    if ("problems" in checked) {
      throw new RequestError(
        INVALID_PARAMS,
        `the arguments of the tool \`${String(name)}\` are wrong: ${checked.problems.join("; ")}`,
      );
    }
    // Nobody waits any more, so nothing is begun.
    if (extra.signal.aborted) return failure("the call was cancelled");
    let result: Record<string, unknown>;
    try {
      result = toResult(await tool.handler(checked.value, extra));
    } catch (error) {
      return failure(messageOf(error));
    }
    if (tool.output === null || result.isError === true) return result;
    const { structuredContent } = result;
    if (structuredContent === undefined) {
      return failure(
        `the tool \`${String(name)}\` has an output schema and gave no structured content`,
      );
    }
    const output = await tool.output.check(structuredContent);
    if ("problems" in output) {
      return failure(
        `the output of the tool \`${String(name)}\` does not match its schema: ${output.problems.join("; ")}`,
      );
    }
    return result;
  }

  async #listResources(): Promise<object[]> {
    const fixed = [...this.#resources].map(([uri, { name, config }]) => ({ ...config, uri, name }));
    const listed: object[] = [];
    for (const { list, config } of this.#templates.values()) {
      if (list === undefined) continue;
      const { resources } = Object(await list()) as { resources?: object[] };
      listed.push(...(resources ?? []).map((resource) => ({ ...config, ...resource })));
    }
    return [...fixed, ...listed];
  }

  async #read(uri: unknown, extra: RequestExtra): Promise<unknown> {
    if (typeof uri !== "string" || !URL.canParse(uri)) {
      throw new RequestError(INVALID_PARAMS, "`params.uri` must be an address");
    }
    const fixed = this.#resources.get(uri);
    if (fixed !== undefined) return fixed.read(new URL(uri), extra);
    for (const [template, resource] of this.#templates) {
      const variables = matchTemplate(template, uri);
      if (variables !== undefined) return resource.read(new URL(uri), variables, extra);
    }
    throw new RequestError(RESOURCE_NOT_FOUND, `unknown resource: ${uri}`);
  }

  async #prompt(params: Record<string, unknown>, extra: RequestExtra): Promise<unknown> {
    const { name } = params;
    const prompt = typeof name === "string" ? this.#prompts.get(name) : undefined;
    if (prompt === undefined) {
      throw new RequestError(INVALID_PARAMS, `unknown prompt: ${String(name)}`);
    }
    const given = params.arguments ?? {};
    const checked = prompt.args === null ? { value: given } : await prompt.args.check(given);
    if ("problems" in checked) {
      throw new RequestError(
        INVALID_PARAMS,
        `the arguments of the prompt \`${String(name)}\` are wrong: ${checked.problems.join("; ")}`,
      );
    }
    return prompt.handler(checked.value, extra);
  }
}

function extraOf(
  requestId: string | number,
  given: unknown,
  signal: AbortSignal,
  send: Send,
): RequestExtra {
  const _meta =
    typeof given === "object" && given !== null ? (given as Record<string, unknown>) : undefined;
  const sendNotification = async (notification: { method: string; params?: object }) => {
    if (!signal.aborted) await send({ jsonrpc: "2.0", ...notification });
  };
  return {
    signal,
    requestId,
    _meta,
    sendNotification,
    sendProgress: async (progress: Progress) => {
      const progressToken = _meta?.progressToken;
      if (progressToken === undefined) return;
      await sendNotification({
        method: "notifications/progress",
        params: { ...progress, progressToken },
      });
    },
  };
}

function checkRegistration(
  kind: string,
  name: unknown,
  present: ReadonlyMap<string, unknown>,
  handler: unknown,
): void {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`the name of a ${kind} must be a text that is not empty`);
  }
  if (typeof handler !== "function") {
    throw new TypeError(`the ${kind} \`${name}\` needs a function`);
  }
  if (present.has(name)) throw new Error(`the ${kind} \`${name}\` is registered twice`);
}

function abortion(reason: string): Error {
  const error = new Error(reason);
  error.name = "AbortError";
  return error;
}
