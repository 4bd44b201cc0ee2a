/**
 * Runs a class-based plugin on its own, as `npm start` does: routes on `HAY_WORKER_PORT`, everything else at
 * `HAY_API_URL`. Loaded only where no host runs the plugin.
 */

import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import path from "node:path";

import type { ClassHost, ClassHosting, HayPluginClass } from "./class/class-host.js";
import { ClassInstance } from "./class/class-instance.js";
import type { PackageManifest } from "./class/metadata.js";
import { createPluginApi, pluginApiOfEnvironment, registerMcpCall } from "./class/plugin-api.js";
import { PluginApiUnavailableError } from "./class/plugin-sdk.js";
import type { HayClassMetadata } from "./class/types.js";
import { createLogger } from "./logger.js";

type Hook = "onInitialize" | "registerMCP" | "onConfigUpdate" | "onDisable";

const LONGEST_BODY = 1024 * 1024;

const instances = new WeakMap<object, ClassInstance>();
const logger = createLogger();

/** Runs the plugins of this process where nobody else does. */
export const standaloneHost: ClassHost = { adopt, start };

function adopt(plugin: object, given: HayClassMetadata | undefined): ClassHosting {
  const instance = new ClassInstance({
    given,
    manifest: readManifest(),
    pluginId: process.env.HAY_PLUGIN_ID ?? process.env.PLUGIN_ID ?? "plugin",
    logger,
    parsesBodies: true,
    backend: {
      tools: () => (Reflect.get(plugin, "getMCPTools") as () => []).call(plugin),
      auth: () => (Reflect.get(plugin, "getAuthConfig") as () => unknown).call(plugin),
      registerMcp: async (server) => {
        const address = pluginApiOfEnvironment();
        const call = registerMcpCall(server);
        if (address === null) throw new PluginApiUnavailableError(`sdk.${call.procedure}`);
        await createPluginApi(address)(call);
      },
      api: pluginApiOfEnvironment,
    },
  });
  instance.setValues({ values: {}, environment: process.env });
  instances.set(plugin, instance);
  return instance;
}

async function start(Plugin: HayPluginClass): Promise<void> {
  let plugin: object;
  try {
    plugin = new Plugin();
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
    return;
  }
  const instance = instances.get(plugin);
  if (instance === undefined) {
    fail("the plugin's constructor did not call `super`");
    return;
  }
  const missing = missingVariables(instance);
  if (missing.length > 0) {
    const name = String(instance.metadata.name);
    fail(
      `the plugin \`${name}\` cannot start on its own, since the environment lacks ${missing.join(", ")}. ` +
        "A host sets these; to try the plugin by hand, set them yourself.",
    );
    return;
  }
  try {
    await run(plugin, "onInitialize");
    await run(plugin, "registerMCP");
    instance.describe(plugin);
  } catch (error) {
    fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return;
  }
  process.once("SIGTERM", () => process.exit(0));
  const port = process.env.HAY_WORKER_PORT;
  if (port === undefined || port === "") {
    // Nothing listens, but the MCP servers are this plugin's for as long as it lives.
    setInterval(() => undefined, 2 ** 30);
    return;
  }
  serve(plugin, instance, Number(port));
}

/** What the environment must have, each with what it is for. */
function missingVariables(instance: ClassInstance): string[] {
  const needed: [string, string][] = [
    ["HAY_API_URL", "the host's address"],
    ["HAY_API_TOKEN", "the token for it"],
  ];
  if (instance.capabilities.includes("routes")) {
    needed.push(["HAY_WORKER_PORT", "the port for the plugin's routes"]);
  }
  const isUnset = (name: string) => (process.env[name] ?? "") === "";
  return [
    ...needed.filter(([name]) => isUnset(name)).map(([name, use]) => `\`${name}\` (${use})`),
    ...instance
      .missing()
      .map(({ field, env }) =>
        env === undefined ? `the setting \`${field}\`` : `\`${env}\` (the setting \`${field}\`)`,
      ),
  ];
}

function serve(plugin: object, instance: ClassInstance, port: number): void {
  const app = (Reflect.get(plugin, "getApp") as () => Handler).call(plugin);
  const server = createServer((req, res) => {
    const control = CONTROL[`${String(req.method)} ${String(req.url).split("?", 1)[0] ?? ""}`];
    if (control === undefined) {
      app(req, res);
      return;
    }
    control(plugin, instance, req).then(
      (value) => {
        answer(res, 200, value);
      },
      (error: unknown) => {
        logger.error("a request of the host failed", error);
        const message = error instanceof Error ? error.message : String(error);
        answer(res, 500, { success: false, error: message });
      },
    );
  });
  server.on("error", (error) => {
    fail(`the port ${port} cannot be listened on: ${error.message}`);
  });
  server.listen(port, "127.0.0.1", () => {
    logger.info(`listening on 127.0.0.1:${port}`);
  });
}

type Handler = (req: IncomingMessage, res: ServerResponse) => void;
type Control = (plugin: object, instance: ClassInstance, req: IncomingMessage) => Promise<object>;

/** What a host asks of a worker by HTTP. */
const CONTROL: Readonly<Record<string, Control>> = {
  "GET /health": () => Promise.resolve({ status: "ok" }),
  "GET /metadata": (plugin, instance) => Promise.resolve(instance.describe(plugin)),
  "POST /config-update": async (plugin, instance, req) => {
    const { config } = (await readBody(req)) as { config?: Record<string, unknown> };
    instance.setValues({ values: config ?? {}, environment: process.env });
    await run(plugin, "onConfigUpdate", { ...instance.config });
    return { success: true };
  },
  "POST /disable": async (plugin) => {
    await run(plugin, "onDisable");
    return { success: true };
  },
};

async function run(plugin: object, hook: Hook, ...given: unknown[]): Promise<void> {
  const method: unknown = Reflect.get(plugin, hook);
  if (typeof method === "function") await Reflect.apply(method, plugin, given);
}

/** The nearest `package.json` above the program. */
function readManifest(): PackageManifest {
  let folder = path.dirname(process.argv[1] ?? path.join(process.cwd(), "index.js"));
  for (;;) {
    const file = path.join(folder, "package.json");
    if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as PackageManifest;
    const parent = path.dirname(folder);
    if (parent === folder) return {};
    folder = parent;
  }
}

async function readBody(req: IncomingMessage): Promise<object> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LONGEST_BODY) throw new Error("the body is too long");
    chunks.push(chunk);
  }
  const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}");
  return typeof value === "object" && value !== null ? value : {};
}

function answer(res: ServerResponse, status: number, value: object): void {
  res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
