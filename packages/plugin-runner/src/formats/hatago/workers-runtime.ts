/**
 * Runs a plugin's `workers` entry on workerd, by Miniflare, which is an optional install. The plugin reaches the network
 * only through this process, and only if it declares `fetch`.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import {
  CapabilityError,
  type CapabilityName,
  deniedCapability,
  type KV,
  type PluginManifest,
  type UseCounter,
} from "@hatago/core/host";
import type { HayLogger } from "@hay/plugin-sdk/host";
import shim from "hatago:worker-shim";
import { resolveFile } from "../../loader.js";
import type { JsonRpcMessage } from "../../mcp/json-rpc.js";
import { messageOf, RunnerError } from "../../wire-error.js";
import { WORKERS_DATE } from "./manifest.js";
import type { HatagoRuntime, RunningPlugin, RuntimeInput } from "./runtime.js";

/** The parts of Miniflare that are used. */
interface Miniflare {
  ready: Promise<URL>;
  dispatchFetch(url: string, init?: object): Promise<Response>;
  dispose(): Promise<void>;
}
interface MiniflareModule {
  Miniflare: new (options: object) => Miniflare;
}

interface WorkerModule {
  type: "ESModule" | "Text";
  path: string;
  contents: string;
}

interface LogLine {
  level: string;
  message: string;
}

export interface WorkersRuntimeOptions {
  readonly root: string;
  readonly entry: string;
  readonly manifest: PluginManifest;
  readonly logger: HayLogger;
}

const MOST_FILES = 2000;

export class WorkersRuntime implements HatagoRuntime {
  readonly #options: WorkersRuntimeOptions;
  readonly #control = randomUUID();
  #miniflare: Miniflare | null = null;
  #kv: KV | null = null;
  #uses: UseCounter | null = null;
  #received: ((message: JsonRpcMessage) => void) | null = null;

  constructor(options: WorkersRuntimeOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    const { root, entry } = this.#options;
    resolveFile({ root, file: entry, role: "entry" });
    const { Miniflare } = findMiniflare(root);
    try {
      this.#miniflare = new Miniflare({
        modules: modulesOf(root, entry),
        compatibilityDate: WORKERS_DATE,
        bindings: { CONTROL: this.#control },
        serviceBindings: { HOST: (request: Request) => this.#serve(request) },
        // By this service leaves whatever the plugin sends, sockets included.
        outboundService: this.#declares("fetch")
          ? (request: Request) => this.#outbound(request)
          : { network: { allow: [] } },
        handleStructuredLogs: (line: LogLine) => {
          this.#log(line);
        },
        cf: false,
        log: undefined,
      });
      await this.#miniflare.ready;
    } catch (error) {
      const message = `the entry \`${entry}\` does not load on Workers: ${messageOf(error)}`;
      throw new RunnerError("EntryError", message, "thrown");
    }
    const { isFunction } = (await this.#ask("check")) as { isFunction: boolean };
    if (!isFunction) {
      const message = `the entry \`${entry}\` must have a default export that is a function that takes the plugin's context`;
      throw new RunnerError("EntryError", message, "configuration", [{ at: "entry", message }]);
    }
  }

  async start(input: RuntimeInput): Promise<RunningPlugin> {
    const { manifest, config, env, offered, uses } = input;
    this.#kv = offered.kv;
    this.#uses = uses;
    const started = (await this.#ask("start", { manifest, config, env })) as {
      error?: { name: string; message: string; stack?: string; capability?: string; hint?: string };
      toolNames: string[];
      routes: RunningPlugin["routes"];
    };
    if (started.error !== undefined) {
      const { name, message, capability, hint } = started.error;
      throw capability === undefined || hint === undefined
        ? Object.assign(new Error(message), { name })
        : new CapabilityError(capability, message, hint);
    }
    return {
      server: this.#server(),
      toolNames: started.toolNames,
      routes: started.routes,
      fetch: (request) => this.#fetchRoute(request),
      dispose: async () => {
        await this.#ask("dispose");
      },
    };
  }

  async close(): Promise<void> {
    await this.#miniflare?.dispose();
  }

  /** What takes a transport in the place of the server, which lives in another program. */
  #server() {
    return {
      setRequestHandler: () => undefined,
      connect: (transport: {
        send(message: object): Promise<void>;
        onmessage?: (message: JsonRpcMessage) => void;
      }) => {
        this.#received = (message) => void transport.send(message);
        transport.onmessage = (message) => {
          this.#pass(message, (answer) => transport.send(answer)).catch((error: unknown) => {
            this.#options.logger.error(`the plugin's program failed: ${messageOf(error)}`);
            if (message.id === undefined) return;
            const failure = { code: -32603, message: "the plugin's program failed" };
            void transport.send({ jsonrpc: "2.0", id: message.id, error: failure });
          });
        };
        return Promise.resolve();
      },
    };
  }

  /** Passes one message on, and each line that comes back as it comes. */
  async #pass(message: JsonRpcMessage, send: (answer: object) => Promise<void>): Promise<void> {
    const response = await this.#dispatch("mcp", message);
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) await send(JSON.parse(line) as object);
    }
  }

  async #fetchRoute(request: Request): Promise<Response> {
    const headers = new Headers(request.headers);
    headers.delete("x-hatago-control");
    const body = request.body === null ? {} : { body: await request.arrayBuffer() };
    const answer = await this.#instance.dispatchFetch(request.url, {
      method: request.method,
      headers,
      redirect: "manual",
      ...body,
    });
    // Another library's `Response`, with the same parts.
    return new Response(answer.body, { status: answer.status, headers: [...answer.headers] });
  }

  async #ask(what: string, body: unknown = {}): Promise<unknown> {
    return (await this.#dispatch(what, body)).json();
  }

  #dispatch(what: string, body: unknown): Promise<Response> {
    return this.#instance.dispatchFetch(`http://plugin/${what}`, {
      method: "POST",
      headers: { "x-hatago-control": this.#control },
      body: JSON.stringify(body),
    });
  }

  get #instance(): Miniflare {
    if (this.#miniflare === null) throw new Error("the plugin is not loaded");
    return this.#miniflare;
  }

  /** What the plugin's program asks of this one. */
  async #serve(request: Request): Promise<Response> {
    const what = new URL(request.url).pathname.slice(1);
    try {
      return Response.json({ value: (await this.#do(what, await request.json())) ?? null });
    } catch (error) {
      const { name } = Object(error) as { name?: unknown };
      return Response.json({ error: { name: name ?? "Error", message: messageOf(error) } });
    }
  }

  async #do(what: string, given: unknown): Promise<unknown> {
    switch (what) {
      case "kv/get":
      case "kv/set":
      case "kv/delete": {
        // The plugin shares its program with the shim, and so can ask for it by other ways.
        if (!this.#declares("kv")) throw deniedCapability("kv");
        const [key, value, ttl] = given as [string, string, number | null];
        if (what === "kv/get") return this.#kv?.get(key);
        if (what === "kv/delete") return this.#kv?.delete(key);
        return this.#kv?.set(key, value, ttl ?? undefined);
      }
      case "message":
        this.#received?.(given as JsonRpcMessage);
        return null;
      case "uses":
        for (const { capability, count, denied } of given as ReturnType<UseCounter["take"]>) {
          this.#uses?.add(capability, false, count);
          this.#uses?.add(capability, true, denied);
        }
        return null;
      default:
        throw new Error(`\`${what}\` is nothing that can be asked for`);
    }
  }

  #declares(capability: CapabilityName): boolean {
    return this.#options.manifest.capabilities?.includes(capability) === true;
  }

  async #outbound(request: Request): Promise<Response> {
    const body = request.body === null ? {} : { body: await request.arrayBuffer() };
    const headers = [...request.headers].filter(([name]) => name !== "content-length");
    return fetch(request.url, { method: request.method, headers, redirect: "manual", ...body });
  }

  /** A line of the plugin's logger, or of its console. */
  #log({ level, message }: LogLine): void {
    const { logger } = this.#options;
    try {
      const { hatago } = JSON.parse(message) as {
        hatago: { level: keyof HayLogger; message: string; meta?: object };
      };
      logger[hatago.level](hatago.message, hatago.meta);
    } catch {
      logger[level === "warn" || level === "error" || level === "debug" ? level : "info"](message);
    }
  }
}

/** Beside the plugin, else beside this program. */
function findMiniflare(root: string): MiniflareModule {
  for (const base of [join(root, "package.json"), __filename]) {
    try {
      return createRequire(base)("miniflare") as MiniflareModule;
    } catch {
      continue;
    }
  }
  const message = "the `workers` entry needs Miniflare, which is not installed";
  throw new RunnerError("RuntimeError", message, "unsupported", [
    {
      at: "entry.workers",
      message,
      hint: "bring `miniflare` 4, with all that it needs, into `node_modules` of Hayloft's runtime folder, or give the plugin an entry for `node`",
    },
  ]);
}

/** The shim, and everything in the folder of the plugin's entry. */
function modulesOf(root: string, entry: string): WorkerModule[] {
  const file = join(root, entry);
  const folder = dirname(file);
  const own: WorkerModule[] = [];
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const path = name.replaceAll("\\", "/");
    if (!/\.m?js$/.test(path) || path.split("/").includes("node_modules")) continue;
    if (own.length === MOST_FILES)
      throw new Error(`\`${folder}\` has more than ${MOST_FILES} modules`);
    own.push({
      type: "ESModule",
      path: `plugin/${path}`,
      contents: readFileSync(join(folder, path), "utf8"),
    });
  }
  const start = `./plugin/${relative(folder, file)}`;
  return [
    { type: "ESModule", path: "shim.mjs", contents: shim },
    {
      type: "ESModule",
      path: "plugin-entry.js",
      contents: `import * as plugin from ${JSON.stringify(start)}; export default plugin.default;`,
    },
    ...own,
  ];
}
