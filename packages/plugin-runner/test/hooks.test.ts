import { describe, expect, it } from "vitest";
import { TestWorker } from "./support/test-worker.js";

const SCHEMA = `ctx.register.config({
  apiKey: { type: "string", label: "API key", env: "TEST_API_KEY" },
  region: { type: "string", default: "eu" },
});`;

describe("hooks", () => {
  it("answer even when the plugin has none of them", async () => {
    const worker = await TestWorker.bound({});
    for (const hook of ["start", "configUpdate", "disable", "enable", "connected"]) {
      expect(await worker.hook(hook)).toEqual({});
    }
    expect(await worker.hook("validateAuth")).toEqual({ valid: true });
  });

  it.each([
    [
      "throws",
      `() => { throw new TypeError("broken"); }`,
      { name: "TypeError", message: "broken", reason: "thrown" },
    ],
    [
      "rejects",
      `async () => { throw new Error("broken"); }`,
      { message: "broken", reason: "thrown" },
    ],
    ["rejects with a text", `() => Promise.reject("broken")`, { message: "broken" }],
    ["rejects with nothing", `() => Promise.reject()`, { message: "undefined" }],
    [
      "rejects with something hostile",
      `() => Promise.reject({ get message() { throw 1; } })`,
      { message: "a value that cannot be read was thrown" },
    ],
    [
      "never ends",
      `() => new Promise(() => {})`,
      { message: "`onStart` did not end within 60 ms", reason: "timeout" },
    ],
  ])("survive an `onStart` that %s", async (_, onStart, error) => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Bad", onStart: ${onStart}, onDisable() {} };`,
      deadlines: { onStart: 60 },
    });
    await expect(worker.hook("start")).rejects.toMatchObject({ error });
    await worker.log(
      ({ level, message }) => level === "error" && message.startsWith("`onStart` failed"),
    );
    expect(await worker.hook("disable")).toEqual({});
  });

  it("log a failure that comes after the deadline", async () => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Late", onStart: () => new Promise((_, reject) => { process.once("SIGUSR2", () => reject(new Error("too late"))); }) };`,
      deadlines: { onStart: 20 },
    });
    await expect(worker.hook("start")).rejects.toMatchObject({ error: { reason: "timeout" } });
    worker.process.kill("SIGUSR2");
    await worker.log(({ message }) => message === "`onStart` failed after its deadline: too late");
  });

  it("give each its context", async () => {
    const worker = await TestWorker.bound({
      capabilities: ["products"],
      plugin: `
        const log = (hook) => (context) => { ctx.logger.info(hook, Object.keys(context).sort()); };
        return { name: "Contexts", onEnable: log("onEnable"), onStart: log("onStart"),
          onValidateAuth(context) { log("onValidateAuth")(context); return true; },
          onConfigUpdate: log("onConfigUpdate"), onDisable: log("onDisable"), onConnected: log("onConnected") };`,
    });
    const expected = {
      enable: ["config", "logger", "register"],
      validateAuth: ["auth", "config", "logger", "org"],
      configUpdate: ["config", "logger", "org"],
      start: ["auth", "config", "logger", "mcp", "org", "productSource"],
      connected: ["auth", "config", "logger", "org"],
      disable: ["logger", "org"],
    };
    for (const [hook, keys] of Object.entries(expected)) {
      await worker.hook(hook);
      const method = `on${hook[0]?.toUpperCase() ?? ""}${hook.slice(1)}`;
      expect((await worker.log(({ message }) => message === method)).meta).toEqual(keys);
    }
  });

  it("resolve configuration from the organization, the allowed environment, the default", async () => {
    const plugin = `return { name: "Config", onInitialize() { ${SCHEMA} }, onStart({ config, logger }) {
      logger.info("config", [config.get("apiKey") ?? null, config.get("region"), config.keys()]); } };`;
    const table: [string[], object, (string | null)[]][] = [
      [
        ["TEST_API_KEY"],
        { config: { apiKey: "own", region: "us" }, environment: { TEST_API_KEY: "env" } },
        ["own", "us"],
      ],
      [["TEST_API_KEY"], { environment: { TEST_API_KEY: "env" } }, ["env", "eu"]],
      [[], { environment: { TEST_API_KEY: "env" } }, [null, "eu"]],
    ];
    for (const [env, bind, values] of table) {
      const worker = await TestWorker.bound({ env, plugin }, bind as Record<string, unknown>);
      await worker.hook("start");
      expect((await worker.log(({ message }) => message === "config")).meta).toEqual([
        ...values,
        ["apiKey", "region"],
      ]);
    }
  });

  it.each([
    ["true", `() => true`, { valid: true }],
    ["false", `async () => false`, { valid: false }],
    [
      "an error for the person",
      `() => { throw new Error("the key was revoked"); }`,
      { valid: false, error: "the key was revoked" },
    ],
  ])("give the verdict on credentials: %s", async (_, hook, verdict) => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Auth", onValidateAuth: ${hook} };`,
    });
    expect(await worker.hook("validateAuth")).toEqual(verdict);
  });

  it("refuse a verdict that is none", async () => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Auth", onValidateAuth: () => "yes" };`,
    });
    await expect(worker.hook("validateAuth")).rejects.toMatchObject({
      error: { message: "`onValidateAuth` must return true or false, not string" },
    });
  });

  it("validate the values that are submitted, not those that are bound", async () => {
    const worker = await TestWorker.bound(
      {
        plugin: `return { name: "Auth", onInitialize() { ${SCHEMA} }, onValidateAuth({ config, auth, logger }) {
          logger.info("seen", [config.get("apiKey") ?? null, config.get("region"), auth.get()]); return true; } };`,
      },
      {
        config: { apiKey: "stored", region: "stored" },
        auth: { methodId: "apiKey", credentials: { apiKey: "bound" } },
      },
    );
    const seen = async () => (await worker.log(({ message }) => message === "seen")).meta;
    await worker.hook("validateAuth");
    expect(await seen()).toEqual([
      "bound",
      "stored",
      { methodId: "apiKey", credentials: { apiKey: "bound" } },
    ]);
    const auth = { methodId: "apiKey", credentials: { apiKey: "new" } };
    await worker.hook("validateAuth", {
      config: { region: "submitted", apiKey: "submitted" },
      auth,
    });
    expect(await seen()).toEqual(["new", "submitted", auth]);
    await worker.hook("validateAuth", { config: { region: "submitted" }, auth: null });
    expect(await seen()).toEqual(["stored", "submitted", null]);
    await worker.hook("validateAuth");
    expect(await seen()).toEqual([
      "bound",
      "stored",
      { methodId: "apiKey", credentials: { apiKey: "bound" } },
    ]);
  });

  it("let `onStart` see what `onConfigUpdate` was told", async () => {
    const worker = await TestWorker.bound(
      {
        plugin: `const log = ({ config, logger }) => { logger.info("seen", config.get("region")); };
          return { name: "Update", onInitialize() { ${SCHEMA} }, onConfigUpdate: log, onStart: log };`,
      },
      { config: { region: "old" } },
    );
    for (const [hook, fields, region] of [
      ["start", {}, "old"],
      ["configUpdate", { config: { region: "new" } }, "new"],
      ["start", {}, "new"],
    ] as const) {
      await worker.hook(hook, fields);
      expect((await worker.log(({ message }) => message === "seen")).meta).toBe(region);
    }
  });

  it("hand on the routing keys of `onConnected`", async () => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Keys", onConnected({ auth }) { return { routingKeys: [auth.get().credentials.page] }; } };`,
    });
    const auth = { methodId: "oauth", credentials: { page: "page-7" } };
    expect(await worker.hook("connected", { auth })).toEqual({ routingKeys: ["page-7"] });
  });
});

describe("what hooks return", () => {
  it.each([
    ["nothing", "undefined", {}],
    ["an object without keys", "({ other: 1 })", {}],
    ["no keys", "({ routingKeys: [] })", { routingKeys: [] }],
  ])("is read from `onConnected`: %s", async (_, value, result) => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Keys", onConnected: () => ${value} };`,
    });
    expect(await worker.hook("connected")).toEqual(result);
  });

  it.each(["7", "({ routingKeys: 'a' })", "({ routingKeys: [1] })", "(() => {})"])(
    "is refused from `onConnected`: %s",
    async (value) => {
      const worker = await TestWorker.bound({
        plugin: `return { name: "Keys", onConnected: () => ${value} };`,
      });
      await expect(worker.hook("connected")).rejects.toMatchObject({
        error: {
          message: "`onConnected` must return nothing or `{ routingKeys }`, a list of texts",
        },
      });
    },
  );
});

describe("scheduled jobs", () => {
  const plugin = `return { name: "Cron", onInitialize() {
    ctx.register.cron({ name: "refresh", schedule: "0 * * * *", async handler({ org, auth, logger }) {
      await auth.update({ accessToken: "fresh-" + org.id });
      logger.info("auth", auth.get());
    } });
    ctx.register.cron({ name: "broken", schedule: "0 * * * *", handler() { throw new Error("no luck"); } });
  } };`;

  it("run, and can renew credentials", async () => {
    const worker = await TestWorker.bound(
      { plugin },
      { auth: { methodId: "oauth", credentials: { accessToken: "stale" } } },
    );
    expect(await worker.request({ type: "cron", name: "refresh" })).toEqual({});
    expect(await worker.control.next(({ type }) => type === "updateAuth")).toMatchObject({
      methodId: "oauth",
      credentials: { accessToken: "fresh-org-1" },
    });
    const { meta } = await worker.log(({ message }) => message === "auth");
    expect(meta).toEqual({ methodId: "oauth", credentials: { accessToken: "fresh-org-1" } });
  });

  it("fail without ending the worker", async () => {
    const worker = await TestWorker.bound({ plugin });
    const run = (name: string) => worker.request({ type: "cron", name });
    await expect(run("broken")).rejects.toMatchObject({
      error: { message: "no luck", reason: "thrown" },
    });
    await expect(run("absent")).rejects.toMatchObject({ error: { reason: "refused" } });
    await expect(run("refresh")).rejects.toMatchObject({
      error: { message: "`auth.update` needs a method id: the organization chose no method" },
    });
  });
});

describe("loose ends of a plugin", () => {
  it("end the worker with 1 when they are an exception", async () => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Crash", onStart() { setImmediate(() => { throw new Error("loose"); }); } };`,
    });
    await worker.hook("start");
    expect(await worker.exited).toEqual({ code: 1, signal: null });
    await worker.log(
      ({ level, message }) => level === "error" && message === "uncaught exception: loose",
    );
  });

  it("are logged when they are a rejection, and the worker lives", async () => {
    const worker = await TestWorker.bound({
      plugin: `return { name: "Loose", onStart() { void Promise.reject(new Error("loose")); } };`,
    });
    await worker.hook("start");
    await worker.log(
      ({ level, message }) => level === "error" && message === "unhandled rejection: loose",
    );
    expect(await worker.hook("start")).toEqual({});
  });
});
