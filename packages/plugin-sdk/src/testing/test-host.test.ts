import { createHmac } from "node:crypto";
import path from "node:path";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { describe, expect, it } from "vitest";

import {
  defineHayPlugin,
  PluginDefinitionError,
  type HayLogger,
  type HayPluginDefinition,
  type McpServerInstance,
} from "../index.js";
import { createTestHost } from "../testing.js";

/** Section 9 of the plugin system's specification, with a client that has one good key. */
const stripe = defineHayPlugin((globalCtx) => ({
  name: "Stripe",
  onInitialize() {
    const { register, logger } = globalCtx;
    register.config({
      apiKey: {
        type: "string",
        required: false,
        env: "STRIPE_API_KEY",
        sensitive: true,
        label: "Stripe API key",
        description: "Secret key for Stripe API.",
      },
    });
    register.auth.apiKey({ id: "apiKey", label: "API key", configField: "apiKey" });
    register.ui({ slot: "after-settings", component: "components/StripeSettings.vue" });
    register.route("POST", "/webhook", (_req, res) => {
      logger.info("Received Stripe webhook");
      res.status(200).json({ ok: true });
    });
  },
  async onStart(ctx) {
    const { config, auth, mcp, logger } = ctx;
    const authState = auth.get();
    if (!authState) {
      logger.warn("Stripe plugin started without auth state");
      return;
    }
    const { methodId, credentials } = authState;
    if (methodId !== "apiKey") {
      logger.warn(`Unsupported auth method: ${methodId}`);
      return;
    }
    const apiKey = String(credentials.apiKey ?? config.get("apiKey"));
    await mcp.startLocal("stripe-mcp", () => new StripeMcpServer({ apiKey, logger }));
    logger.info("Stripe MCP started");
  },
  async onValidateAuth(ctx) {
    const authState = ctx.auth.get();
    if (!authState) return false;
    return Promise.resolve(authState.credentials.apiKey === "sk_good");
  },
  onConfigUpdate(ctx) {
    ctx.logger.info("Stripe config updated; platform will restart plugin as needed.");
  },
  onDisable(ctx) {
    ctx.logger.info(`Stripe plugin disabled for org ${ctx.org.id}`);
  },
}));

class StripeMcpServer implements McpServerInstance {
  constructor(private readonly options: { apiKey: string; logger: HayLogger }) {}
  stop() {
    this.options.logger.info("Stripe MCP server stopped");
  }
}

describe("the specification's example", () => {
  it("registers, starts, validates, answers and stops", async () => {
    const auth = { methodId: "apiKey", credentials: { apiKey: "sk_good" } };
    const host = await createTestHost(stripe, { auth, org: { id: "org-1" } });
    expect(host.metadata).toMatchObject({
      name: "Stripe",
      hooks: ["onInitialize", "onStart", "onValidateAuth", "onConfigUpdate", "onDisable"],
      routes: [{ method: "POST", path: "/webhook" }],
      authMethods: [{ type: "apiKey", configField: "apiKey" }],
    });
    await host.start();
    expect(host.mcpServers).toEqual([{ id: "stripe-mcp", kind: "inProcess" }]);
    expect(await host.listTools()).toEqual([]);
    expect(await host.validateAuth()).toEqual({ valid: true });
    const bad = { methodId: "apiKey", credentials: { apiKey: "sk_bad" } };
    expect(await host.validateAuth({ auth: bad })).toEqual({ valid: false });
    expect((await host.request("POST", "/webhook", { body: {} })).json()).toEqual({ ok: true });
    await host.updateConfig({ apiKey: "sk_new" });
    await host.disable();
    expect(host.mcpServers).toEqual([]);
    expect(host.logs.map(({ message }) => message)).toEqual([
      "Stripe MCP started",
      "Received Stripe webhook",
      "Stripe config updated; platform will restart plugin as needed.",
      "Stripe plugin disabled for org org-1",
      "Stripe MCP server stopped",
    ]);
  });

  it("starts without credentials", async () => {
    const host = await createTestHost(stripe);
    await host.start();
    expect(host.logs).toEqual([
      { level: "warn", message: "Stripe plugin started without auth state" },
    ]);
  });
});

function hostOf(definition: Omit<HayPluginDefinition, "name">, options = {}) {
  return createTestHost(
    defineHayPlugin(() => ({ name: "Shop", ...definition })),
    options,
  );
}

describe("createTestHost", () => {
  it("rejects with all that is wrong", async () => {
    const broken = hostOf({
      onInitialize({ register }) {
        register.route("GET", "no-slash", () => undefined);
        register.auth.apiKey({ id: "a", label: "A", configField: "nope" });
      },
    });
    const error: unknown = await broken.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PluginDefinitionError);
    expect((error as PluginDefinitionError).problems).toHaveLength(2);
  });

  it("passes on what hooks throw", async () => {
    const failing = (message: string) => () => {
      throw new Error(message);
    };
    await expect(hostOf({ onInitialize: failing("init") })).rejects.toThrow("init");
    const host = await hostOf({ onStart: failing("start"), onValidateAuth: failing("Wrong key") });
    await expect(host.start()).rejects.toThrow("start");
    expect(await host.validateAuth()).toEqual({ valid: false, error: "Wrong key" });
  });

  it("resolves configuration as a host does", async () => {
    const seen: unknown[] = [];
    const host = await hostOf(
      {
        onInitialize({ register }) {
          register.config({
            key: { type: "string", required: true, env: "KEY" },
            limit: { type: "number", env: "LIMIT" },
          });
        },
        onStart({ config }) {
          seen.push(config.get("key"), config.get("limit"));
        },
        onValidateAuth({ config }) {
          seen.push(config.get("key"), config.get("accessToken"));
          return true;
        },
      },
      { config: { key: "stored" }, env: { LIMIT: "12" } },
    );
    await host.start();
    await host.validateAuth({
      config: { key: "submitted" },
      auth: { methodId: "oauth", credentials: { accessToken: "t" } },
    });
    await host.validateAuth({
      config: { key: "submitted" },
      auth: { methodId: "key", credentials: { key: "credential", accessToken: "t" } },
    });
    expect(seen).toEqual(["stored", 12, "submitted", "t", "credential", "t"]);
  });

  it("lists and calls the tools of every kind of server", async () => {
    const official = new McpServer({ name: "official", version: "1" });
    official.registerTool("add", { description: "Adds" }, () => ({
      content: [{ type: "text", text: "3" }],
    }));
    const stdio = `
      require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
        const { id, method } = JSON.parse(line);
        const results = { "tools/list": { tools: [{ name: "where" }] }, "tools/call": { content: [{ type: "text", text: process.cwd() }] } };
        if (id) console.log(JSON.stringify({ jsonrpc: "2.0", id, result: results[method] ?? {} }));
      });`;
    const host = await hostOf(
      {
        async onStart({ mcp }) {
          await mcp.startLocal("plain", () => ({
            listTools: () => [{ name: "echo" }, { name: "fail" }, { name: "data" }],
            callTool(name: string, args: { text: string }) {
              if (name === "fail") throw new Error("not today");
              return name === "data" ? { sum: 3 } : args.text;
            },
          }));
          await mcp.startLocal("official", () => official);
          await mcp.startLocal("wrapped", () => ({
            server: new McpServer({ name: "inner", version: "1" }),
          }));
          await mcp.startLocalStdio({
            id: "stdio",
            command: process.execPath,
            args: ["-e", stdio],
            cwd: "testing",
          });
          await mcp.startExternal({ id: "elsewhere", url: "https://mcp.example" });
        },
      },
      { root: path.dirname(import.meta.dirname) },
    );
    await host.start();
    expect((await host.listTools()).map(({ serverId, name }) => `${serverId}/${name}`)).toEqual([
      "plain/echo",
      "plain/fail",
      "plain/data",
      "official/add",
      "stdio/where",
    ]);
    const text = (value: string) => ({ content: [{ type: "text", text: value }] });
    expect(await host.callTool("echo", { text: "hi" })).toEqual(text("hi"));
    expect(await host.callTool("fail")).toEqual({ ...text("not today"), isError: true });
    expect(await host.callTool("data")).toEqual({
      ...text('{"sum":3}'),
      structuredContent: { sum: 3 },
    });
    expect(await host.callTool("add")).toEqual(text("3"));
    expect(await host.callTool("where")).toEqual(text(import.meta.dirname));
    await expect(host.callTool("nope")).rejects.toThrow(
      "no server of the plugin has a tool `nope`",
    );
    expect(host.mcpServers.map(({ kind }) => kind)).toEqual([
      "inProcess",
      "inProcess",
      "inProcess",
      "stdio",
      "external",
    ]);
    await host.stop();
    expect(host.mcpServers).toEqual([]);
  });

  it("stops a server before another takes its id", async () => {
    const events: string[] = [];
    const host = await hostOf({
      async onStart({ mcp }) {
        await mcp.startLocal("a", () => ({ stop: () => void events.push("stopped") }));
        await mcp.startLocal("a", () => {
          events.push("made");
          return {};
        });
      },
    });
    await host.start();
    expect(events).toEqual(["stopped", "made"]);
    expect(host.mcpServers).toHaveLength(1);
  });

  it("keeps stdio servers inside the plugin's folder", async () => {
    const host = await hostOf({
      onStart: ({ mcp }) => mcp.startLocalStdio({ id: "a", command: "true", cwd: "../.." }),
    });
    await expect(host.start()).rejects.toThrow("`../..` is outside the plugin");
  });

  it("runs jobs that renew credentials, and hooks of connections", async () => {
    const host = await hostOf(
      {
        onInitialize({ register }) {
          register.cron({
            name: "refresh",
            schedule: "0 * * * *",
            async handler({ auth, productSource }) {
              await auth.update({ accessToken: "new" });
              await productSource?.upsert([{ externalId: "1", title: "Cup" }]);
            },
          });
        },
        onConnected: ({ auth }) => ({ routingKeys: [String(auth.get()?.credentials.account)] }),
      },
      { capabilities: ["products"] },
    );
    await expect(host.runCron("refresh")).rejects.toThrow("chose no method");
    await expect(host.runCron("nope")).rejects.toThrow("no job `nope`");
    const auth = { methodId: "oauth", credentials: { accessToken: "old", account: "a1" } };
    expect(await host.connect(auth)).toEqual({ routingKeys: ["a1"] });
    await host.runCron("refresh");
    expect(host.auth).toEqual({ methodId: "oauth", credentials: { accessToken: "new" } });
    expect([...host.products.keys()]).toEqual(["1"]);
  });
});

describe("routes", () => {
  const routed = hostOf({
    onInitialize({ register }) {
      register.route("POST", "/echo/:id", (req, res) => {
        res.json({
          id: req.params.id,
          query: req.query,
          body: req.body as unknown,
          type: req.get("Content-Type"),
          isJson: req.is("json"),
          url: req.originalUrl,
        });
      });
      register.route("POST", "/signed", (req, res) => {
        const wanted = createHmac("sha256", "key")
          .update(req.rawBody ?? "")
          .digest("hex");
        res.sendStatus(req.header("X-Signature") === wanted ? 204 : 401);
      });
      register.route("GET", "/fail", () => {
        throw new Error("boom");
      });
      register.route("GET", "/late", (_req, res) => {
        res.on("finish", () => res.get("x-a"));
        setImmediate(() => {
          res.status(201).set({ "X-A": "1" }).type("txt").write("a");
          res.end("b");
        });
      });
      register.route("GET", "/away", (_req, res) => {
        res.redirect("/there");
      });
      register.route("GET", "/bytes", (_req, res) => res.send(Buffer.from([1, 2])));
      register.route("GET", "/html", (_req, res) => res.send("<p>"));
    },
  });

  it.each([
    [{ a: 1 }, "application/json", { a: 1 }, "application/json"],
    [
      new URLSearchParams("a=1&b=2&b=3"),
      "application/x-www-form-urlencoded",
      { a: "1", b: ["2", "3"] },
      false,
    ],
    ["plain", "text/plain", {}, false],
    [undefined, undefined, {}, null],
  ])("pass a body of %j", async (body, type, parsed, isJson) => {
    const host = await routed;
    const answer = await host.request("post", "/echo/a%20b?x=1", { body, query: { y: "2" } });
    expect(answer.status).toBe(200);
    expect(answer.json()).toEqual({
      id: "a b",
      query: { x: "1", y: "2" },
      body: parsed,
      type,
      isJson,
      url: "/echo/a%20b?x=1&y=2",
    });
  });

  it("give the exact bytes for signatures", async () => {
    const host = await routed;
    const body = '{ "a":1 }';
    const signature = createHmac("sha256", "key").update(body).digest("hex");
    const headers = { "x-signature": signature };
    expect((await host.request("POST", "/signed", { body, headers })).status).toBe(204);
    expect((await host.request("POST", "/signed", { body: { a: 1 }, headers })).status).toBe(401);
  });

  it("answer as handlers say", async () => {
    const host = await routed;
    expect(await host.request("GET", "/late")).toMatchObject({
      status: 201,
      text: "ab",
      headers: { "x-a": "1", "content-type": "text/plain; charset=utf-8" },
    });
    expect(await host.request("GET", "/away")).toMatchObject({
      status: 302,
      headers: { location: "/there" },
    });
    expect([...(await host.request("GET", "/bytes")).bytes]).toEqual([1, 2]);
    expect((await host.request("GET", "/html")).headers["content-type"]).toContain("text/html");
    expect((await host.request("GET", "/nowhere")).status).toBe(404);
    expect((await host.request("POST", "/away")).status).toBe(404);
  });

  it("answer 500 for handlers that throw, and log why", async () => {
    const host = await routed;
    expect((await host.request("GET", "/fail")).status).toBe(500);
    expect(host.logs.at(-1)).toMatchObject({
      level: "error",
      message: "the route `GET /fail` failed",
      meta: { message: "boom" },
    });
  });
});
