// A class-based plugin on its own, as `npm start` runs it: real processes, with the built package.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";

import { BUILD_WITHIN, folderWithSdk } from "./support/installed-sdk.js";
import { playPluginApi } from "./support/plugin-api.js";

const run = promisify(execFile);

const CLASS = `
  class Shop extends HayPlugin {
    constructor() {
      super({ id: "shop", name: "Shop", capabilities: ["routes", "mcp", "messages"],
        config: { key: { type: "string", required: true, envVar: "SHOP_KEY" } } });
    }
    async onInitialize() {
      this.registerRoute("POST", "/echo", (req, res) => res.json({ body: req.body, raw: req.rawBody.length, key: this.config.key }));
      this.registerRoute("GET", "/receive", async (req, res) => res.json(await this.sdk.messages.receive({ channel: "a", text: "hi" })));
      this.getApp().get("/app", (req, res) => res.send("app"));
    }
    async registerMCP() { await this.sdk.mcp.registerLocalMCP({ serverPath: "./mcp", startCommand: "node index.js", tools: [] }); }
    onConfigUpdate(config) { this.log("updated " + config.key); }
    onDisable() { this.log("disabled"); }
  }
`;

/** One plugin in both kinds of module, each with the guard that its kind has. */
const ENTRIES = {
  "index.cjs": `
    const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
    ${CLASS}
    if (require.main === module) startPluginWorker(Shop);
    exports.Shop = Shop;
  `,
  "index.mjs": `
    import { fileURLToPath } from "node:url";
    import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk";
    ${CLASS}
    if (process.argv[1] === fileURLToPath(import.meta.url)) startPluginWorker(Shop);
    export { Shop };
  `,
};
const entries = Object.keys(ENTRIES);

let plugin: string;

beforeAll(async () => {
  plugin = await folderWithSdk();
  await writeFile(path.join(plugin, "package.json"), '{ "name": "shop", "version": "1.0.0" }');
  for (const [entry, text] of Object.entries(ENTRIES))
    await writeFile(path.join(plugin, entry), text);
}, BUILD_WITHIN);

afterAll(async () => {
  await rm(plugin, { recursive: true, force: true });
});

it.each(entries)("%s: without its environment it ends, and says what is missing", async (entry) => {
  const ended = run(process.execPath, [entry], { cwd: plugin, env: {} });
  const error = (await ended.catch((thrown: unknown) => thrown)) as {
    code: number;
    stderr: string;
  };
  expect(error.code).toBe(1);
  expect(error.stderr.trim()).toBe(
    "the plugin `Shop` cannot start on its own, since the environment lacks `HAY_API_URL` (the host's address), " +
      "`HAY_API_TOKEN` (the token for it), `HAY_WORKER_PORT` (the port for the plugin's routes), `SHOP_KEY` (the setting `key`). " +
      "A host sets these; to try the plugin by hand, set them yourself.",
  );
});

it.each(entries)(
  "%s: with it, it registers its MCP server and serves its routes",
  async (entry) => {
    const { url, calls } = await playPluginApi(({ path }) =>
      path.endsWith("/receive")
        ? { status: 403, body: { success: false, error: "no" } }
        : { body: { success: true, data: {} } },
    );
    const port = await freePort();
    const env = {
      HAY_API_URL: url,
      HAY_API_TOKEN: "token",
      HAY_WORKER_PORT: String(port),
      SHOP_KEY: "k",
    };
    const child = spawn(process.execPath, [entry], {
      cwd: plugin,
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const lines = logOf(child);
    await lines.next((line) => line.includes("listening"));

    expect(calls).toEqual([
      {
        path: "/v1/plugin-api/mcp/register-local",
        token: "Bearer token",
        body: {
          id: "local",
          serverPath: "mcp",
          startCommand: "node index.js",
          transport: "stdio",
          env: {},
          tools: [],
        },
      },
    ]);
    const at = (where: string, init?: RequestInit) =>
      fetch(`http://127.0.0.1:${port}${where}`, init);
    const post = (body: object) => ({
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    expect(await (await at("/health")).json()).toEqual({ status: "ok" });
    expect(await (await at("/metadata")).json()).toMatchObject({
      name: "Shop",
      configSchema: { key: { env: "SHOP_KEY" } },
    });
    expect(await (await at("/echo", post({ a: 1 }))).json()).toEqual({
      body: { a: 1 },
      raw: 7,
      key: "k",
    });
    expect(await (await at("/app")).text()).toBe("app");
    expect((await at("/receive")).status).toBe(500);
    expect(await (await at("/config-update", post({ config: { key: "new" } }))).json()).toEqual({
      success: true,
    });
    await lines.next((line) => line.includes("updated new"));
    expect(await (await at("/disable", post({}))).json()).toEqual({ success: true });
    await lines.next((line) => line.includes("disabled"));
  },
);

it.each([
  ["index.cjs", `require("./index.cjs")`],
  ["index.mjs", `import("./index.mjs")`],
])("%s: loaded by another program it starts nothing", async (_entry, load) => {
  const script = `Promise.resolve(${load}).then(({ Shop }) => console.log(typeof Shop))`;
  const ended = await run(process.execPath, ["-e", script], { cwd: plugin, env: {} });
  expect(ended).toEqual({ stdout: "function\n", stderr: "" });
});

/** The lines that a process prints, each waited for. */
function logOf(child: ChildProcess) {
  const reader = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]();
  return {
    async next(matches: (line: string) => boolean): Promise<void> {
      for (;;) {
        const { value, done } = await reader.next();
        if (done === true) throw new Error("the process ended");
        if (matches(value)) return;
      }
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
