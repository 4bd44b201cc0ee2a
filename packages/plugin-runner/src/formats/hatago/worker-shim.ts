/**
 * The program around a plugin's `workers` entry, inside of workerd. What it cannot do itself it asks of the runner, by
 * the service binding `HOST`.
 */
import {
  type Capabilities,
  createTimer,
  deniedCapability,
  type HatagoInstance,
  type JsonRpcMessage,
  type Logger,
  type PluginManifest,
  startInstance,
  UseCounter,
} from "@hatago/core/host";
import factory from "./plugin-entry.js";

/** The only thing that this runtime has of the outside. */
interface Environment {
  HOST: { fetch: typeof fetch };
  /** Known to the runner alone; requests that carry it are the runner's own. */
  CONTROL: string;
}

interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
}

interface StartInput {
  manifest: PluginManifest;
  config: Record<string, unknown>;
  env: Record<string, string>;
}

const uses = new UseCounter();
const timer = createTimer();
let running: HatagoInstance | null = null;

const logger = Object.fromEntries(
  (["debug", "info", "warn", "error"] as const).map((level) => [
    level,
    (message: string, meta?: object) => {
      console[level](JSON.stringify({ hatago: { level, message, meta } }));
    },
  ]),
) as unknown as Logger;

const worker = {
  async fetch(request: Request, env: Environment, context: ExecutionContext): Promise<Response> {
    try {
      if (request.headers.get("x-hatago-control") !== env.CONTROL) {
        if (running === null) return new Response("Not Found", { status: 404 });
        return await running.fetch(request);
      }
      return await control(new URL(request.url).pathname, request, env, context);
    } finally {
      const counted = uses.take();
      if (counted.length > 0) context.waitUntil(tell(env, "uses", counted));
    }
  },
};

export { worker as default };

async function control(
  path: string,
  request: Request,
  env: Environment,
  context: ExecutionContext,
): Promise<Response> {
  switch (path) {
    case "/check":
      return Response.json({ isFunction: typeof factory === "function" });
    case "/start":
      return start((await request.json()) as StartInput, env);
    case "/mcp":
      return answer((await request.json()) as JsonRpcMessage, context);
    default:
      await running?.dispose();
      timer.clearAll();
      running = null;
      return Response.json({});
  }
}

async function start(input: StartInput, env: Environment): Promise<Response> {
  const send = fetch;
  if (input.manifest.capabilities?.includes("fetch") !== true) {
    // The runner lets nothing out; this is an early and clear word to the author.
    globalThis.fetch = () => {
      uses.add("fetch", true);
      return Promise.reject(deniedCapability("fetch"));
    };
  }
  try {
    running = await startInstance(factory, {
      ...input,
      runtime: "workers",
      uses,
      offered: { fetch: (...given) => send(...given), crypto, timer, logger, kv: kvOf(env) },
    });
  } catch (error) {
    return Response.json({ error: describe(error) });
  }
  const { server, routes } = running;
  await server.connect({
    send: async (message) => {
      await tell(env, "message", message);
    },
  });
  return Response.json({ toolNames: server.toolNames, routes });
}

/** One message in; a line for each that it causes. */
function answer(message: JsonRpcMessage, context: ExecutionContext): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  const done = (
    running?.server.handle(message, (line) =>
      writer.write(encoder.encode(`${JSON.stringify(line)}\n`)),
    ) ?? Promise.resolve()
  ).finally(() => writer.close());
  context.waitUntil(done);
  return new Response(readable);
}

function kvOf(env: Environment): Capabilities["kv"] {
  return {
    get: async (key) => (await tell(env, "kv/get", [key])) as string | null,
    set: async (key, value, ttl) => {
      await tell(env, "kv/set", [key, value, ttl]);
    },
    delete: async (key) => {
      await tell(env, "kv/delete", [key]);
    },
  };
}

async function tell(env: Environment, what: string, body: unknown): Promise<unknown> {
  const response = await env.HOST.fetch(`http://host/${what}`, {
    method: "POST",
    body: JSON.stringify(body),
  });
  const { value, error } = (await response.json()) as {
    value?: unknown;
    error?: { name: string; message: string };
  };
  if (error !== undefined) throw Object.assign(new Error(error.message), { name: error.name });
  return value;
}

function describe(error: unknown): object {
  const { name, message, stack, capability, hint } = Object(error) as Record<string, unknown>;
  return { name, message: message ?? String(error), stack, capability, hint };
}
