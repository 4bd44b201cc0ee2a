/** Plugins by `manifest.json`: route handlers in files of their own, and a tRPC router. */
import { describe, expect, it } from "vitest";
import { fetchFrom } from "./support/http-client.js";
import { NODES } from "./support/nodes.js";
import { type StartOptions, TestWorker } from "./support/test-worker.js";

const MANIFEST = {
  id: "hay-plugin-my-plugin",
  name: "My Plugin",
  version: "1.0.0",
  description: "Does things",
  author: "Hay",
  type: ["channel"],
  entry: "./dist/index.js",
};

function plugin(
  more: Record<string, unknown>,
  files: Record<string, string>,
  options: Partial<StartOptions> = {},
): StartOptions {
  const manifest = JSON.stringify({ ...MANIFEST, ...more });
  return { format: "hay-manifest", files: { "manifest.json": manifest, ...files }, ...options };
}

const routes = (...list: object[]) => ({ capabilities: { api: { routes: list } } });
const WEBHOOK = {
  method: "POST",
  path: "/webhook",
  handler: "./handlers/webhook.js",
  middleware: ["auth"],
};

async function problems(
  options: StartOptions,
): Promise<{ at: string; message: string; hint?: string }[]> {
  const error = (await TestWorker.warm(options).catch((thrown: unknown) => thrown)) as {
    error: any;
  };
  expect(error.error.reason).toBe("configuration");
  return error.error.problems;
}

describe.each(NODES)("route handlers on Node $version", ({ binary: node }) => {
  it.each([
    [
      "CommonJS",
      `module.exports = (req, res) => res.status(202).json({ got: req.body.a, key: process.env.MY_KEY });`,
      {},
    ],
    [
      "compiled CommonJS",
      `exports.__esModule = true; exports.default = async (req, res) => { res.status(202).json({ got: req.body.a, key: process.env.MY_KEY }); };`,
      {},
    ],
    [
      "an ES module",
      `export default (req, res) => res.status(202).json({ got: req.body.a, key: process.env.MY_KEY });`,
      { "package.json": `{"type":"module"}` },
    ],
  ])("in %s", async (_, handler, files) => {
    const configSchema = { apiKey: { type: "string", env: "MY_KEY", encrypted: true } };
    const worker = await TestWorker.bound(
      plugin(
        { ...routes(WEBHOOK), configSchema },
        { "handlers/webhook.js": handler, ...files },
        { node },
      ),
      { config: { apiKey: "k" } },
    );
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    expect(registration).toMatchObject({
      name: "My Plugin",
      routes: [{ method: "POST", path: "/webhook" }],
      configSchema: { apiKey: { type: "string", env: "MY_KEY", sensitive: true } },
      hooks: [],
    });
    const answer = await fetchFrom(worker.socketPath, {
      method: "POST",
      path: "/webhook",
      headers: { "content-type": "application/json" },
      body: '{"a":1}',
    });
    expect([answer.status, answer.body]).toEqual([202, '{"got":1,"key":"k"}']);
  });
});

describe("routes", () => {
  it("whose handlers fail answer 500", async () => {
    const worker = await TestWorker.bound(
      plugin(routes({ method: "GET", path: "/a", handler: "a.cjs" }), {
        "a.cjs": `module.exports = async () => { throw new Error("no"); };`,
      }),
    );
    expect((await fetchFrom(worker.socketPath, { path: "/a" })).status).toBe(500);
    await worker.log(({ message }) => message === "route `GET /a` failed: no");
  });

  it("see changed settings", async () => {
    const configSchema = { limit: { type: "number", env: "LIMIT", default: 1 } };
    const worker = await TestWorker.bound(
      plugin(
        { ...routes({ method: "GET", path: "/", handler: "a.cjs" }), configSchema },
        { "a.cjs": `module.exports = (req, res) => res.send(process.env.LIMIT)` },
      ),
    );
    const ask = async () => (await fetchFrom(worker.socketPath, { path: "/" })).body;
    expect(await ask()).toBe("1");
    await worker.hook("configUpdate", { config: { limit: 5 } });
    expect(await ask()).toBe("5");
  });

  it("that are wrong are told all at once", async () => {
    const found = await problems(
      plugin(
        routes(
          { method: "GET", path: "/missing", handler: "./none.js" },
          { method: "GET", path: "/outside", handler: "../outside.js" },
          { method: "GET", path: "/object", handler: "./object.cjs" },
          { method: "GET", path: "/unknown", handler: "./good.cjs", middleware: ["magic"] },
          { method: "GET", path: "no-slash", handler: "./good.cjs" },
          { method: "GET", path: "/number", handler: 7 },
        ),
        { "object.cjs": "module.exports = {};", "good.cjs": "module.exports = () => {};" },
      ),
    );
    expect(found.map(({ at, message }) => `${at}: ${message}`)).toEqual([
      "capabilities.api.routes[0].handler: the handler `./none.js` does not exist",
      "capabilities.api.routes[1].handler: the handler `../outside.js` lies outside the plugin's folder",
      "capabilities.api.routes[2].handler: the handler `./object.cjs` has no default export",
      "capabilities.api.routes[3].middleware[0]: `magic` is not a middleware",
      "capabilities.api.routes[5].handler: must be the path of a file",
      "register.route[0].path: `no-slash` does not start with `/`",
    ]);
  });
});

describe("an entry that is a plugin of a newer format", () => {
  const configSchema = { limit: { type: "number", env: "LIMIT", default: 3 } };
  const manifest = { capabilities: ["routes"], entry: "index.cjs", configSchema };

  it("runs as the class that it is", async () => {
    const worker = await TestWorker.bound(
      plugin(
        manifest,
        {
          "index.cjs": `const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");
          class Mail extends HayPlugin {
            onInitialize() { this.registerRoute("GET", "/", (req, res) => res.json([this.config.limit, process.env.LIMIT])); }
            onDisable() { this.log("disabled"); }
          }
          if (require.main === module) startPluginWorker(Mail);`,
        },
        { entry: "index.cjs" },
      ),
    );
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    expect(registration).toMatchObject({ configSchema, hooks: ["onStart", "onDisable"] });
    await worker.hook("start");
    expect((await fetchFrom(worker.socketPath, { path: "/" })).body).toBe('[3,"3"]');
    await worker.hook("disable");
    await worker.log(({ message }) => message === "disabled");
  });

  it("runs as what `defineHayPlugin` made", async () => {
    const worker = await TestWorker.bound(
      plugin(
        manifest,
        {
          "index.cjs": `const { defineHayPlugin } = require("@hay/plugin-sdk");
          exports.default = defineHayPlugin((ctx) => ({ name: "Mail", onInitialize() { ctx.register.route("GET", "/", (req, res) => res.send("hi")); } }));`,
        },
        { entry: "index.cjs" },
      ),
    );
    expect((await fetchFrom(worker.socketPath, { path: "/" })).body).toBe("hi");
  });

  it("is not needed, and nothing else is taken for one", async () => {
    const absent = await TestWorker.bound(
      plugin({ capabilities: ["mcp"] }, {}, { entry: "dist/index.js" }),
    );
    expect(await absent.hook("start")).toEqual({});
    const other = await TestWorker.bound(
      plugin(manifest, { "index.cjs": "module.exports = () => 7;" }, { entry: "index.cjs" }),
    );
    await other.log(
      ({ message }) => message === "nothing of the entry `index.cjs` is used: it exports no plugin",
    );
  });
});

describe("a tRPC router", () => {
  const ROUTER = `
    import { trpcRouter, publicProcedure, authenticatedProcedure, TRPCError } from "@hay/plugin-sdk/trpc";
    export const router = trpcRouter({
      myEndpoint: publicProcedure.query(() => { return { message: "Hello from plugin" }; }),
      echo: publicProcedure.input((value) => { if (typeof value !== "object") throw new Error("an object, please"); return value; }).query(({ input, ctx }) => ({ input, org: ctx.organizationId, key: ctx.config.key })),
      orders: trpcRouter({ create: authenticatedProcedure.mutation(({ input, ctx }) => ({ by: ctx.caller.userId })) }),
      broken: publicProcedure.query(() => { throw new Error("no"); }),
      teapot: publicProcedure.query(() => { throw new TRPCError({ code: "FORBIDDEN", message: "not you" }); }),
    });`;
  const manifest = {
    autoActivate: true,
    trpcRouter: "./dist/router.js",
    configSchema: { key: { type: "string" } },
  };
  const files = { "dist/router.js": ROUTER, "package.json": `{"type":"module"}` };
  const call = (worker: TestWorker, path: string, more: object = {}) =>
    worker.request({ type: "procedure", path, kind: "query", caller: null, ...more });

  it("is the document's own", async () => {
    const worker = await TestWorker.bound(plugin(manifest, files), { config: { key: "k" } });
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    const types = registration.procedures.map(
      ({ path, type }: Record<string, string>) => `${path} ${type}`,
    );
    expect(types.sort()).toEqual([
      "broken query",
      "echo query",
      "myEndpoint query",
      "orders.create mutation",
      "teapot query",
    ]);
    expect(await call(worker, "myEndpoint")).toEqual({
      status: 200,
      body: { result: { data: { message: "Hello from plugin" } } },
    });
    expect((await call(worker, "echo", { input: { a: "ü" } })).body.result.data).toEqual({
      input: { a: "ü" },
      org: "org-1",
      key: "k",
    });
    const created = await call(worker, "orders.create", {
      kind: "mutation",
      caller: { userId: "u1" },
    });
    expect(created.body).toEqual({ result: { data: { by: "u1" } } });
  });

  it("answers errors as tRPC does", async () => {
    const worker = await TestWorker.bound(plugin(manifest, files));
    const errors = [
      ["orders.create", { kind: "mutation" }, 401, "UNAUTHORIZED"],
      ["echo", { input: 1 }, 400, "BAD_REQUEST"],
      ["broken", {}, 500, "INTERNAL_SERVER_ERROR"],
      ["teapot", {}, 403, "FORBIDDEN"],
      ["none", {}, 404, "NOT_FOUND"],
      ["myEndpoint", { kind: "mutation" }, 405, "METHOD_NOT_SUPPORTED"],
    ] as const;
    for (const [path, more, status, code] of errors) {
      const answer = await call(worker, path, more);
      expect([path, answer.status, answer.body.error.data.code]).toEqual([path, status, code]);
    }
    await worker.log(({ message }) => message === "the procedure `broken` failed");
  });

  it("may be made with a tRPC of the plugin's own", async () => {
    const own = `
      const { initTRPC } = require("@trpc/server");
      const t = initTRPC.context().create();
      exports.appRouter = t.router({ hi: t.procedure.query(({ ctx }) => "hi " + ctx.organizationId) });`;
    const worker = await TestWorker.bound(
      plugin({ trpcRouter: "router.cjs" }, { "router.cjs": own }),
    );
    expect((await call(worker, "hi")).body).toEqual({ result: { data: "hi org-1" } });
  });

  it("that is wrong is told", async () => {
    const [missing] = await problems(plugin({ trpcRouter: "./dist/router.js" }, {}));
    expect(missing).toMatchObject({
      at: "trpcRouter",
      message: "the tRPC router `./dist/router.js` does not exist",
    });
    const [none] = await problems(
      plugin({ trpcRouter: "r.cjs" }, { "r.cjs": "exports.router = 1;" }),
    );
    expect(none?.message).toBe("the tRPC router `r.cjs` exports no router");
  });

  it("is not there for plugins without one", async () => {
    const worker = await TestWorker.bound(plugin({}, {}));
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    expect(registration).not.toHaveProperty("procedures");
    await expect(call(worker, "a")).rejects.toThrow("the plugin has no procedures");
    const canonical = await TestWorker.bound({});
    await expect(call(canonical, "a")).rejects.toThrow("the plugin has no procedures");
  });
});
