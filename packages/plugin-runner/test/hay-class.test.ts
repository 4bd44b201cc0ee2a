/** Class-based plugins: how they are found, what they know and when, and what reaches the host. */
import { describe, expect, it } from "vitest";
import { playPluginApi } from "../../plugin-sdk/test/support/plugin-api.js";
import { fixtureFolder } from "./support/fixtures.js";
import { fetchFrom } from "./support/http-client.js";
import { NODES } from "./support/nodes.js";
import { type Message, oblige, type StartOptions, TestWorker } from "./support/test-worker.js";

const IMPORT = `const { HayPlugin, startPluginWorker } = require("@hay/plugin-sdk");`;

/** A plugin whose class has the given body. */
function plugin(body: string, more: Partial<StartOptions> = {}): StartOptions {
  return {
    format: "hay-class",
    files: { "index.cjs": `${IMPORT}\nexports.Shop = class Shop extends HayPlugin { ${body} };` },
    ...more,
  };
}

/** Starts for an organization, and collects what the host is asked for. */
async function started(options: StartOptions, bind: Record<string, unknown> = {}) {
  const asked: Message[] = [];
  const worker = await TestWorker.bound(
    {
      ...options,
      onRequest: async (request, to) => {
        asked.push(request);
        await (options.onRequest ?? oblige)(request, to);
      },
    },
    bind,
  );
  await worker.hook("start");
  const ask = (path: string, method = "GET", body?: string) =>
    fetchFrom(worker.socketPath, {
      path,
      method,
      ...(body === undefined ? {} : { body, headers: { "content-type": "application/json" } }),
    });
  return { worker, asked, ask };
}

async function registration(options: StartOptions): Promise<any> {
  const worker = await TestWorker.warm(options);
  return (await worker.control.next(({ type }) => type === "metadata")).registration;
}

describe("where the class is found", () => {
  const body = `constructor() { super({ id: "found", name: "Found" }); }`;
  const CASES: [string, Record<string, string>][] = [
    [
      "a named export",
      { "index.cjs": `${IMPORT} exports.A = class extends HayPlugin { ${body} };` },
    ],
    [
      "module.exports",
      { "index.cjs": `${IMPORT} module.exports = class extends HayPlugin { ${body} };` },
    ],
    [
      "the default export",
      {
        "index.mjs": `import { HayPlugin } from "@hay/plugin-sdk"; export default class extends HayPlugin { ${body} };`,
      },
    ],
    [
      "started behind the guard of CommonJS, and not exported",
      {
        "index.cjs": `${IMPORT} class A extends HayPlugin { ${body} } if (require.main === module) startPluginWorker(A);`,
      },
    ],
    [
      "started behind the guard of an ES module, and not exported",
      {
        "index.mjs": `import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk"; import { fileURLToPath } from "node:url";
          class A extends HayPlugin { ${body} } if (process.argv[1] === fileURLToPath(import.meta.url)) startPluginWorker(A);`,
      },
    ],
    [
      "the started one of two",
      {
        "index.cjs": `${IMPORT} exports.B = class extends HayPlugin {}; exports.A = class A extends HayPlugin { ${body} }; startPluginWorker(exports.A);`,
      },
    ],
    [
      "beside a base class that is handed on",
      {
        "index.cjs": `${IMPORT} exports.HayPlugin = HayPlugin; exports.A = class A extends HayPlugin { ${body} };`,
      },
    ],
  ];

  describe.each(NODES)("on Node $version", ({ binary: node }) => {
    it.each(CASES)("%s", async (_, files) => {
      expect(await registration({ format: "hay-class", files, node })).toMatchObject({
        name: "Found",
      });
    });
  });

  it.each([
    ["none", "exports.a = 1;", "neither exports nor starts a class that extends `HayPlugin`"],
    [
      "two",
      `${IMPORT} exports.A = class extends HayPlugin {}; exports.B = class extends HayPlugin {};`,
      "exports 2 classes",
    ],
  ])("%s is told", async (_, text, message) => {
    const warm = TestWorker.warm({ format: "hay-class", files: { "index.cjs": text } });
    await expect(warm).rejects.toThrow(message);
  });
});

describe("what it says of itself", () => {
  it("comes from the constructor, and from package.json where that says nothing", async () => {
    const manifest = {
      name: "@hay/plugin-shop",
      version: "2.0.0",
      description: "Sells",
      "hay-plugin": {
        displayName: "Shop",
        capabilities: ["routes"],
        config: { key: { type: "string", envVar: "SHOP_KEY" } },
      },
    };
    const seen = await registration({
      format: "hay-class",
      files: {
        "index.cjs": `${IMPORT} exports.A = class extends HayPlugin { constructor() { super(); this.log("meta", this.metadata); } };`,
        "package.json": JSON.stringify(manifest),
      },
    });
    expect(seen).toMatchObject({
      name: "Shop",
      configSchema: { key: { type: "string", env: "SHOP_KEY" } },
      hooks: ["onStart"],
    });
  });

  it("maps the types and names of settings", async () => {
    const seen = await registration(
      plugin(`constructor() { super({ name: "Shop", config: {
        key: { type: "string", label: "Key", required: true, encrypted: true, envVar: "SHOP_KEY" },
        tags: { type: "array", default: ["a"] },
        limits: { type: "object" },
        shops: { type: "array", items: { type: "object", properties: { name: { type: "string", required: true } } } },
      } }); }
      onDisable() {}`),
    );
    expect(seen.configSchema).toEqual({
      key: { type: "string", label: "Key", required: true, sensitive: true, env: "SHOP_KEY" },
      tags: { type: "array", default: ["a"] },
      limits: { type: "object" },
      shops: {
        type: "array",
        items: { type: "object", properties: { name: { type: "string", required: true } } },
      },
    });
    expect(seen.hooks).toEqual(["onStart", "onDisable"]);
  });

  it("is checked, and all that is wrong is told at once", async () => {
    const warm = TestWorker.warm(
      plugin(
        `constructor() { super({ id: "Not An Id", name: 7, capabilities: "mcp", config: { a: { type: "text" }, b: 1 } }); }`,
      ),
    );
    const error = (await warm.catch((thrown: unknown) => thrown)) as { error: any };
    expect(error.error.reason).toBe("configuration");
    expect(error.error.problems.map(({ at }: { at: string }) => at)).toEqual([
      "metadata.name",
      "metadata.id",
      "metadata.capabilities",
      "metadata.config.b",
      "register.config.a.type",
    ]);
  });

  it("is read although the constructor fails without an organization", async () => {
    const options =
      plugin(`constructor() { super({ name: "Shop", config: { key: { type: "string" } } }); this.length = this.config.key.length; }
      onInitialize() { this.log("length " + this.length); }`);
    expect((await registration(options)).name).toBe("Shop");
    const { worker } = await started(options, { config: { key: "four" } });
    expect(await worker.log(({ message }) => message.startsWith("length"))).toMatchObject({
      message: "length 4",
    });
  });
});

describe("its settings", () => {
  const SETTINGS = `constructor() { super({ name: "Shop", capabilities: ["routes"], config: {
      key: { type: "string", required: true, envVar: "SHOP_KEY" },
      limit: { type: "number", envVar: "SHOP_LIMIT" },
      live: { type: "boolean", envVar: "SHOP_LIVE", default: false },
      tags: { type: "array", envVar: "SHOP_TAGS" },
    } }); this.early = process.env.SHOP_KEY; }`;
  const REPORT = `onInitialize() { this.registerRoute("GET", "/", (req, res) => res.json({
      config: this.config, early: this.early, updated: this.updated,
      env: [process.env.SHOP_KEY, process.env.SHOP_LIMIT, process.env.SHOP_LIVE, process.env.SHOP_TAGS, process.env.ORGANIZATION_ID, process.env.PLUGIN_ID, process.env.HAY_CAPABILITIES],
    })); }
    onConfigUpdate(newConfig) { this.updated = newConfig.limit; }`;

  it("are there with their types, and as environment variables", async () => {
    const { ask } = await started(plugin(SETTINGS + REPORT), {
      config: { key: "k", tags: ["a"] },
      environment: { SHOP_LIMIT: "12" },
    });
    expect(JSON.parse((await ask("/")).body)).toEqual({
      config: { key: "k", limit: 12, live: false, tags: ["a"] },
      early: "k",
      env: ["k", "12", "false", '["a"]', "org-1", "hay-plugin-test", "routes,mcp,auth,config,cron"],
    });
  });

  it("change with `onConfigUpdate`", async () => {
    const { worker, ask } = await started(plugin(SETTINGS + REPORT), { config: { key: "k" } });
    await worker.hook("configUpdate", { config: { limit: 3 } });
    expect(JSON.parse((await ask("/")).body)).toMatchObject({
      config: { key: "k", limit: 3 },
      updated: 3,
      env: ["k", "3", "false", null, "org-1", "hay-plugin-test", "routes,mcp,auth,config,cron"],
    });
  });

  it("that are required and missing keep it from starting, each named", async () => {
    const worker = await TestWorker.bound(plugin(SETTINGS + REPORT));
    const failed = (await worker.hook("start").catch((error: unknown) => error)) as { error: any };
    expect(failed.error).toMatchObject({
      name: "ConfigMissingError",
      reason: "configuration",
      message: "required settings have no value: `key` (`SHOP_KEY`)",
    });
  });
});

describe("its life", () => {
  const TRACE = `constructor() { super({ name: "Shop", capabilities: ["mcp"] }); }
    onInitialize() { this.log("1 initialize"); } registerMCP() { this.log("2 mcp"); }
    onEnable() { this.log("3 enable"); } onDisable() { this.log("4 disable"); }`;

  it("runs the hooks in order, `onInitialize` once", async () => {
    const { worker } = await started(plugin(TRACE));
    await worker.hook("enable");
    await worker.hook("disable");
    const lines = [];
    for (let count = 1; count <= 4; count += 1) {
      lines.push((await worker.log(({ message }) => message.startsWith(`${count} `))).message);
    }
    expect(lines).toEqual(["1 initialize", "2 mcp", "3 enable", "4 disable"]);
    expect(await worker.hook("validateAuth")).toEqual({ valid: true });
  });

  it("can clean up after a start that failed", async () => {
    const worker = await TestWorker.bound(
      plugin(
        `onInitialize() { throw new Error("no service"); } onDisable() { this.log("cleaned"); }`,
      ),
    );
    await expect(worker.hook("start")).rejects.toThrow("no service");
    expect(await worker.hook("disable")).toEqual({});
    await worker.log(({ message }) => message === "cleaned");
  });

  it("has its routes where its MCP servers cannot be registered", async () => {
    const asked: Message[] = [];
    const worker = await TestWorker.bound(
      plugin(
        `constructor() { super({ name: "Shop", capabilities: ["routes", "mcp"] }); }
        onInitialize() { this.registerRoute("GET", "/x", (_, response) => response.send("here")); }
        registerMCP() { throw new Error("no servers"); }`,
        {
          onRequest: async (request, to) => {
            asked.push(request);
            await oblige(request, to);
          },
        },
      ),
    );
    await expect(worker.hook("start")).rejects.toThrow("no servers");
    const told = asked.find(({ type }) => type === "updateRegistration");
    expect(told?.registration).toMatchObject({ routes: [{ method: "GET", path: "/x" }] });
    expect((await fetchFrom(worker.socketPath, { path: "/x" })).body).toBe("here");
  });

  it("keeps the ids of its MCP servers when it registers them again", async () => {
    let refusals = 1;
    const asked: Message[] = [];
    const worker = await TestWorker.bound(
      plugin(
        `constructor() { super({ name: "Shop", capabilities: ["mcp"] }); }
        async registerMCP() { for (const startCommand of ["a", "b"]) await this.sdk.mcp.registerLocalMCP({ startCommand, tools: [] }); }`,
        {
          onRequest: (request) => {
            asked.push(request);
            if (request.server?.startCommand === "b" && refusals-- > 0) throw new Error("busy");
          },
        },
      ),
    );
    await expect(worker.hook("start")).rejects.toThrow("busy");
    await worker.hook("start");
    expect(asked.map(({ server }) => server.id)).toEqual(["local", "local-2", "local", "local-2"]);
  });

  it("tries again after a start that failed", async () => {
    const worker = await TestWorker.bound(
      plugin(
        `onInitialize() { globalThis.tries = (globalThis.tries ?? 0) + 1; if (globalThis.tries === 1) throw new Error("not yet"); }`,
      ),
    );
    await expect(worker.hook("start")).rejects.toThrow("not yet");
    expect(await worker.hook("start")).toEqual({});
  });

  it("needs no HTTP for a plugin without routes", async () => {
    const { worker, asked } = await started(plugin(TRACE));
    expect(asked).toEqual([]);
    expect((await fetchFrom(worker.socketPath, { path: "/health" })).status).toBe(200);
    expect((await fetchFrom(worker.socketPath, { path: "/" })).status).toBe(404);
  });
});

describe("its routes", () => {
  it("are served once it started, and the host is told", async () => {
    const { asked, ask } = await started(
      plugin(`onInitialize() {
        this.registerRoute("get", "/hello/:name", (req, res) => res.json({ name: req.params.name, q: req.query.q }));
        this.registerRoute("POST", "/echo", async (req, res) => { res.status(201).send(req.body); });
        this.registerRoute("PUT", "/broken", async () => { throw new Error("no"); });
      }`),
    );
    expect(asked).toMatchObject([
      {
        type: "updateRegistration",
        registration: {
          routes: [
            { method: "GET", path: "/hello/:name" },
            { method: "POST", path: "/echo" },
            { method: "PUT", path: "/broken" },
          ],
        },
      },
    ]);
    expect((await ask("/hello/Ada?q=1")).body).toBe('{"name":"Ada","q":"1"}');
    expect(await ask("/echo", "POST", '{"a":1}')).toMatchObject({ status: 201, body: '{"a":1}' });
    expect((await ask("/broken", "PUT")).status).toBe(500);
  });

  it("that are wrong fail the start with every problem", async () => {
    const worker = await TestWorker.bound(
      plugin(
        `onInitialize() { this.registerRoute("GET", "no-slash", () => {}); this.registerRoute("FETCH", "/a"); }`,
      ),
    );
    const failed = (await worker.hook("start").catch((error: unknown) => error)) as { error: any };
    expect(failed.error.problems.map(({ at }: { at: string }) => at)).toEqual([
      "register.route[0].path",
      "register.route[1].method",
      "register.route[1].handler",
    ]);
  });

  it("pass through Express 5 once the plugin asked for it", async () => {
    const { asked, ask } = await started(
      plugin(`onInitialize() {
        this.registerRoute("GET", "/before", (req, res) => res.json({ by: req.by ?? null }));
        const app = this.getApp();
        app.get("/direct/:id", (req, res) => res.json({ id: req.params.id, express: typeof req.app }));
        app.use((req, res, next) => { req.by = "middleware"; next(); });
        this.registerRoute("POST", "/after", (req, res) => res.type("text/plain").send(req.by + " " + req.body.a + " " + req.rawBody.length));
      }`),
    );
    const [{ registration: told }] = asked as [Message];
    expect(told.routes).toContainEqual({ method: "GET", path: "/*path" });
    expect((await ask("/before")).body).toBe('{"by":null}');
    expect((await ask("/direct/7")).body).toBe('{"id":"7","express":"function"}');
    expect((await ask("/after", "POST", '{"a":1}')).body).toBe("middleware 1 7");
    expect((await ask("/none")).status).toBe(404);
  });

  it("that Express has by plain paths stay the only ones", async () => {
    const { asked } = await started(
      plugin(
        `onInitialize() { this.getApp().get("/a/:b", (req, res) => res.end()).post("/c", (req, res) => res.end()); }`,
      ),
    );
    expect(asked[0]?.registration.routes).toEqual([
      { method: "GET", path: "/a/:b" },
      { method: "POST", path: "/c" },
    ]);
  });

  it("do not load Express unless the plugin asks for it", async () => {
    const { ask } = await started(
      plugin(`onInitialize() { this.registerRoute("GET", "/", (req, res) =>
        res.json(Object.keys(require.cache).filter((file) => file.endsWith("express.cjs")).length)); }`),
    );
    expect((await ask("/")).body).toBe("0");
  });
});

describe("`this.sdk`", () => {
  it("hands MCP servers to the host", async () => {
    const { asked } = await started(
      plugin(`constructor() { super({ name: "Shop", capabilities: ["mcp"] }); }
        getMCPTools() { return [{ name: "own", input_schema: { type: "object" } }]; }
        async registerMCP() {
          await this.sdk.mcp.registerLocalMCP({ serverPath: "./mcp/index.js", startCommand: "node index.js", transport: "stdio|http", env: { A: "1" } });
          await this.sdk.mcp.registerLocalMCP({ startCommand: "node other.js", tools: [] });
          await this.sdk.mcp.registerRemoteMCP({ id: "far", url: "https://mcp.example.com" });
        }`),
    );
    const tools = [{ name: "own", inputSchema: { type: "object" } }];
    expect(asked.map(({ type, server }) => [type, server])).toEqual([
      [
        "registerMcp",
        {
          kind: "local",
          id: "local",
          cwd: "mcp",
          startCommand: "node index.js",
          transports: ["stdio", "http"],
          env: { A: "1" },
          tools,
        },
      ],
      [
        "registerMcp",
        {
          kind: "local",
          id: "local-2",
          cwd: ".",
          startCommand: "node other.js",
          transports: ["stdio"],
          env: {},
          tools: [],
        },
      ],
      [
        "registerMcp",
        {
          kind: "remote",
          id: "far",
          url: "https://mcp.example.com",
          transports: ["http"],
          headers: {},
          tools,
        },
      ],
    ]);
  });

  it.each([
    [
      `this.sdk.mcp.registerLocalMCP({ startCommand: "x" })`,
      [],
      "`sdk.mcp.registerLocalMCP` needs the capability `mcp`",
    ],
    [
      `this.sdk.messages.receive({ channel: "a" })`,
      [],
      "`sdk.messages.receive` needs the capability `messages`",
    ],
    [
      `this.sdk.messages.receive({ channel: "a" })`,
      ["messages"],
      "this host has no Plugin API yet",
    ],
    [`this.sdk.customers.get("1")`, ["customers"], "this host has no Plugin API yet"],
    [`this.sdk.registerSource({ name: "A" })`, ["sources"], "this host has no Plugin API yet"],
    [`this.sdk.registerSource({ name: "A" })`, ["messages"], "needs the capability `sources`"],
    [
      `this.sdk.mcp.registerLocalMCP({ serverPath: "../x", startCommand: "x" })`,
      ["mcp"],
      "leaves the plugin's folder",
    ],
    [`this.sdk.mcp.registerRemoteMCP({ url: "nowhere" })`, ["mcp"], "`url` is not an address"],
    [
      `this.sdk.mcp.registerRemoteMCP({ url: "https://a", transport: "smoke" })`,
      ["mcp"],
      "but got `smoke`",
    ],
  ])("refuses %s with %j", async (call, capabilities, message) => {
    const worker = await TestWorker.bound(
      plugin(`constructor() { super({ name: "Shop", capabilities: ${JSON.stringify(capabilities)} }); }
        async onInitialize() { await ${call}; }`),
    );
    await expect(worker.hook("start")).rejects.toThrow(message);
  });

  it("says how the plugin authenticates where a registration does not", async () => {
    const { asked } = await started(
      plugin(`constructor() { super({ name: "Shop", capabilities: ["mcp"], auth: { type: "bearer", configField: "key" } }); }
        async registerMCP() {
          await this.sdk.mcp.registerRemoteMCP({ url: "https://a.example", tools: [] });
          await this.sdk.mcp.registerRemoteMCP({ url: "https://b.example", tools: [], auth: { type: "none" } });
          this.getAuthConfig = () => ({ methods: ["oauth2"] });
          await this.sdk.mcp.registerRemoteMCP({ url: "https://c.example", tools: [] });
        }`),
    );
    expect(asked.map(({ server }) => (server as { auth?: unknown }).auth)).toEqual([
      { type: "bearer", configField: "key" },
      { type: "none" },
      undefined,
    ]);
  });

  it("gives the plugin the host's refusal", async () => {
    const worker = await TestWorker.bound(
      plugin(
        `constructor() { super({ name: "Shop", capabilities: ["mcp"] }); }
        async registerMCP() { await this.sdk.mcp.registerRemoteMCP({ url: "https://a.example" }); }`,
        {
          onRequest: () => {
            throw new Error("no remote servers here");
          },
        },
      ),
    );
    await expect(worker.hook("start")).rejects.toThrow("no remote servers here");
  });
});

describe("the plugins of the master plan", { timeout: 60_000 }, () => {
  it("WhatsApp: settings, challenge, webhook; its source needs the Plugin API", async () => {
    const root = fixtureFolder("whatsapp", { compile: "commonjs" });
    const options = { format: "hay-class", root, entry: "dist/index.js" };
    const seen = await registration(options);
    expect(seen.name).toBe("WhatsApp Business");
    expect(seen.configSchema.accessToken).toMatchObject({
      type: "string",
      required: true,
      sensitive: true,
      env: "WHATSAPP_ACCESS_TOKEN",
    });
    const worker = await TestWorker.bound(options, {
      config: {
        accessToken: "t",
        phoneNumberId: "1",
        webhookVerifyToken: "v",
        businessAccountId: "2",
      },
    });
    await expect(worker.hook("start")).rejects.toThrow("`sdk.sources.register` is not available");
  });

  it("WhatsApp with a Plugin API: challenge, and a message that arrives", async () => {
    let received: (() => void) | undefined;
    const arrived = new Promise<void>((resolve) => (received = resolve));
    const { url, calls } = await playPluginApi(({ path }) => {
      if (path.endsWith("/receive")) received?.();
      return { body: { success: true, data: { messageId: "m1", conversationId: "c1" } } };
    });
    const root = fixtureFolder("whatsapp", { compile: "commonjs" });
    const { ask } = await started(
      { format: "hay-class", root, entry: "dist/index.js" },
      {
        config: {
          accessToken: "t",
          phoneNumberId: "1",
          webhookVerifyToken: "v",
          businessAccountId: "2",
        },
        api: { url, token: "worker" },
      },
    );
    const challenge = "/webhook?hub.mode=subscribe&hub.challenge=12345&hub.verify_token=";
    expect((await ask(`${challenge}v`)).body).toBe("12345");
    expect((await ask(`${challenge}wrong`)).status).toBe(403);
    const message = {
      from: "+1234567890",
      id: "wamid",
      timestamp: "1",
      type: "text",
      text: { body: "Hi" },
    };
    const value = {
      messages: [message],
      contacts: [{ wa_id: "+1234567890", profile: { name: "Ada" } }],
    };
    const payload = {
      object: "whatsapp_business_account",
      entry: [{ changes: [{ field: "messages", value }] }],
    };
    expect((await ask("/webhook", "POST", JSON.stringify(payload))).status).toBe(200);
    await arrived;
    expect(calls).toMatchObject([
      {
        path: "/v1/plugin-api/sources/register",
        token: "Bearer worker",
        body: { type: "whatsapp" },
      },
      {
        path: "/v1/plugin-api/messages/receive",
        body: {
          externalId: "+1234567890",
          channel: "whatsapp",
          text: "Hi",
          customer: { name: "Ada" },
        },
      },
    ]);
  });

  it("WhatsApp tells in its log what fails, and answers its provider all the same", async () => {
    const error = "`messages.receive` is not available: this host keeps no conversations";
    const { url } = await playPluginApi(({ path }) =>
      path.endsWith("/receive")
        ? { status: 501, body: { success: false, error } }
        : { body: { success: true, data: {} } },
    );
    const { worker, ask } = await started(
      {
        format: "hay-class",
        root: fixtureFolder("whatsapp", { compile: "commonjs" }),
        entry: "dist/index.js",
      },
      {
        config: {
          accessToken: "t",
          phoneNumberId: "1",
          webhookVerifyToken: "v",
          businessAccountId: "2",
        },
        api: { url, token: "worker" },
      },
    );
    const query = "hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1";
    expect((await ask(`/webhook?${query}`)).status).toBe(403);
    await worker.log(
      ({ level, message }) => level === "error" && message === "Webhook verification failed",
    );

    const message = { from: "+1", id: "m", type: "text", timestamp: "1", text: { body: "Hi" } };
    const change = { field: "messages", value: { messages: [message] } };
    const payload = { object: "whatsapp_business_account", entry: [{ changes: [change] }] };
    expect((await ask("/webhook", "POST", JSON.stringify(payload))).status).toBe(200);
    const line = await worker.log(({ message }) => message.startsWith("Error processing message"));
    expect(JSON.stringify(line)).toContain("this host keeps no conversations");
  });

  it("HubSpot: a remote server with OAuth", async () => {
    const root = fixtureFolder("hubspot", { compile: "commonjs" });
    const { asked } = await started({ format: "hay-class", root, entry: "dist/index.js" });
    expect(asked).toMatchObject([
      {
        type: "registerMcp",
        server: {
          kind: "remote",
          id: "remote",
          url: "https://mcp.hubspot.com",
          transports: ["http"],
          auth: { type: "oauth2", clientIdEnvVar: "HUBSPOT_CLIENT_ID" },
          tools: [{ name: "hubspot_get_contact" }],
        },
      },
    ]);
  });

  it("the template: tools from a JSON file", async () => {
    const root = fixtureFolder("local-mcp", { compile: "commonjs" });
    const { asked } = await started({ format: "hay-class", root, entry: "dist/index.js" });
    expect(asked.map(({ server }) => [server.kind, server.id, server.tools[0].title])).toEqual([
      ["local", "local", "Find a record"],
      ["remote", "remote", "Find a record"],
    ]);
  });
});
