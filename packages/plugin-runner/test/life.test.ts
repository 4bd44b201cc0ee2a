import { describe, expect, it } from "vitest";
import { HEADER_LENGTH, MAX_PAYLOAD } from "../src/frame.js";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

describe.each(NODES)("a worker on Node $version", ({ version, binary: node }) => {
  it("says hello, what is registered and ready, in this order", async () => {
    const worker = await TestWorker.warm({
      node,
      plugin: `return { name: "Greeter", onInitialize() {
        ctx.register.config({ greeting: { type: "string", label: "Greeting", required: true } });
        ctx.register.route("GET", "/hello/:who", (req, res) => res.send("hi"));
      }, onStart() {} }`,
    });
    expect(worker.control.all.map(({ type }) => type)).toEqual(["hello", "metadata", "ready"]);
    const [hello, metadata] = worker.control.all;
    expect(hello).toMatchObject({ protocol: 1, runner: "0.1.0", sdk: "0.1.0" });
    expect(hello?.node).toMatch(new RegExp(`^${version}\\.`));
    expect(metadata?.registration).toEqual({
      name: "Greeter",
      configSchema: { greeting: { type: "string", label: "Greeting", required: true } },
      authMethods: [],
      mcp: { local: [], external: [] },
      uiExtensions: [],
      pages: [],
      routes: [{ method: "GET", path: "/hello/:who" }],
      crons: [],
      hooks: ["onInitialize", "onStart"],
    });
  });

  it("is bound once and then knows its organization", async () => {
    const worker = await TestWorker.warm({
      node,
      plugin: `return { name: "Env", onStart({ org, logger }) {
        const { HAY_ORG_ID, ORGANIZATION_ID, HAY_PLUGIN_ID, PLUGIN_ID, HAY_API_URL, HAY_API_TOKEN, FEATURE } = process.env;
        const child = require("node:child_process").execFileSync(process.execPath, ["-p", "process.env.HAY_ORG_ID"]).toString().trim();
        logger.info("env", { org, HAY_ORG_ID, ORGANIZATION_ID, HAY_PLUGIN_ID, PLUGIN_ID, HAY_API_URL, HAY_API_TOKEN, FEATURE, child });
      } }`,
    });
    await expect(worker.hook("start")).rejects.toMatchObject({ error: { reason: "refused" } });
    const api = { url: "http://hayloft.internal", token: "t0ken" };
    expect(await worker.bind({ environment: { FEATURE: "on" }, api })).toEqual({});
    await expect(worker.bind({ organization: { id: "org-2" } })).rejects.toMatchObject({
      error: { reason: "refused", message: "the worker is already bound to an organization" },
    });
    expect(await worker.hook("start")).toEqual({});
    const { meta } = await worker.log(({ message }) => message === "env");
    expect(meta).toEqual({
      org: { id: "org-1", name: "One" },
      HAY_ORG_ID: "org-1",
      ORGANIZATION_ID: "org-1",
      HAY_PLUGIN_ID: "hay-plugin-test",
      PLUGIN_ID: "hay-plugin-test",
      HAY_API_URL: "http://hayloft.internal",
      HAY_API_TOKEN: "t0ken",
      FEATURE: "on",
      child: "org-1",
    });
  });

  it.each([
    ["by name", `process.env.HAY_ORG_ID`, true],
    ["by a test for it", `"ORGANIZATION_ID" in process.env`, true],
    [
      "by taking the environment apart",
      `(({ HAY_API_TOKEN }) => HAY_API_TOKEN)(process.env)`,
      true,
    ],
    ["not at all", `process.env.PATH + Object.keys(process.env).length`, undefined],
  ])("notices who reads the organization early: %s", async (_, expression, early) => {
    const worker = await TestWorker.warm({
      node,
      plugin: `${expression}; return { name: "Early" }`,
    });
    expect(worker.control.all[1]?.registration.readsOrganizationEarly).toBe(early);
  });

  it("leaves the environment usable while it is watched", async () => {
    const worker = await TestWorker.warm({
      node,
      plugin: `
        process.env.ADDED = 1;
        const seen = [process.env.ADDED, "ADDED" in process.env, Object.keys(process.env).includes("ADDED"), { ...process.env }.ADDED];
        const child = require("node:child_process").execFileSync(process.execPath, ["-p", "process.env.ADDED"]).toString().trim();
        delete process.env.ADDED;
        ctx.logger.info("seen", [...seen, child, process.env.ADDED ?? null]);
        return { name: "Env" };`,
    });
    const { meta } = await worker.log(({ message }) => message === "seen");
    expect(meta).toEqual(["1", true, true, "1", "1", null]);
  });

  it("keeps its sockets from the processes that the plugin starts", async () => {
    const worker = await TestWorker.bound({
      node,
      plugin: `return { name: "Child", onStart({ logger }) {
        const list = "require('fs').readdirSync('/proc/self/fd').map((fd) => { try { return require('fs').readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } }).filter((to) => to.startsWith('socket:')).length";
        const { spawnSync } = require("node:child_process");
        logger.info("sockets", spawnSync(process.execPath, ["-p", list], { stdio: ["ignore", "pipe", "ignore"] }).stdout.toString().trim());
      } };`,
    });
    await worker.hook("start");
    // Its standard output is the only one.
    expect((await worker.log(({ message }) => message === "sockets")).meta).toBe("1");
  });

  it("answers a ping, also while it still loads", async () => {
    const worker = await TestWorker.spawn({
      node,
      plugin: `return { name: "Slow", onInitialize: () => new Promise((resolve) => { process.once("SIGUSR2", resolve); }) }`,
    });
    worker.send({ type: "ping", nonce: "n1" });
    expect(await worker.control.next(({ type }) => type === "pong")).toEqual({
      type: "pong",
      nonce: "n1",
    });
    expect(worker.control.all.some(({ type }) => type === "ready")).toBe(false);
    worker.process.kill("SIGUSR2");
    await worker.control.next(({ type }) => type === "ready");
  });

  it.each([
    [
      "a shutdown message",
      (worker: TestWorker) => {
        worker.send({ type: "shutdown", deadlineMs: 5000 });
      },
    ],
    [
      "SIGTERM",
      (worker: TestWorker) => {
        worker.process.kill("SIGTERM");
      },
    ],
    [
      "the end of the channel",
      (worker: TestWorker) => {
        worker.channel.destroy();
      },
    ],
  ])("ends with 0 after %s", async (_, stop) => {
    const worker = await TestWorker.bound({
      node,
      plugin: `setInterval(() => {}, 1000); return { name: "Busy" }`,
    });
    stop(worker);
    expect(await worker.exited).toEqual({ code: 0, signal: null });
  });

  it("reads frames that come in pieces, and many that come at once", async () => {
    const worker = await TestWorker.warm({ node });
    const frame = (nonce: number) => {
      const payload = Buffer.from(JSON.stringify({ type: "ping", nonce, pad: "é".repeat(nonce) }));
      const header = Buffer.alloc(HEADER_LENGTH);
      header.writeUInt32BE(payload.length);
      header[4] = 1;
      return Buffer.concat([header, payload]);
    };
    const whole = Buffer.concat([1, 2, 200_000, 3].map(frame));
    for (const [from, to] of [
      [0, 3],
      [3, 9],
      [9, 60],
      [60, 90_000],
      [90_000, whole.length],
    ] as const) {
      await new Promise((resolve) => worker.channel.write(whole.subarray(from, to), resolve));
    }
    for (const nonce of [1, 2, 200_000, 3]) {
      await worker.control.next((message) => message.type === "pong" && message.nonce === nonce);
    }
  });

  it.each([
    ["a frame over the limit", Buffer.from([0, 0x40, 0, 1, 1])],
    ["an unknown kind", Buffer.from([0, 0, 0, 2, 9, 0x7b, 0x7d])],
    ["what is not JSON", Buffer.from([0, 0, 0, 2, 1, 0x7b, 0x7b])],
    ["no object", Buffer.from([0, 0, 0, 2, 1, 0x5b, 0x5d])],
    ["no type", Buffer.from([0, 0, 0, 2, 1, 0x7b, 0x7d])],
    ["an MCP frame without a server", Buffer.from([0, 0, 0, 2, 2, 0x7b, 0x7d])],
    ["an empty frame", Buffer.from([0, 0, 0, 0, 1])],
  ])("ends with 70 after %s", async (_, bytes) => {
    const worker = await TestWorker.warm({ node });
    worker.channel.write(bytes);
    const fatal = await worker.control.next(({ type }) => type === "fatal");
    expect(fatal).toMatchObject({ stage: "protocol", error: { name: "FrameError" } });
    expect(await worker.exited).toEqual({ code: 70, signal: null });
  });

  it("does not mind deep nesting", async () => {
    const worker = await TestWorker.warm({ node });
    const depth = 1_000_000;
    const payload = Buffer.from(
      `{"type":"ping","nonce":1,"deep":${"[".repeat(depth)}${"]".repeat(depth)}}`,
    );
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUInt32BE(payload.length);
    header[4] = 1;
    expect(payload.length).toBeLessThan(MAX_PAYLOAD);
    worker.channel.write(Buffer.concat([header, payload]));
    await worker.control.next(({ type }) => type === "pong");
  });

  it("answers what it does not know with a failure, and lives on", async () => {
    const worker = await TestWorker.bound({ node });
    await expect(worker.request({ type: "dance" })).rejects.toMatchObject({
      error: { reason: "unsupported", message: "unknown control message `dance`" },
    });
    await expect(worker.hook("dance")).rejects.toMatchObject({ error: { reason: "unsupported" } });
    worker.send({ type: "dance" });
    worker.send({ type: "ping", nonce: 1 });
    await worker.control.next(({ type }) => type === "pong");
  });
});

describe("a worker that cannot start", () => {
  it.each([
    ["another protocol version", { protocol: 2 }, "protocol", "unsupported"],
    ["an unknown format", { format: "hay-cloud" }, "load", "unsupported"],
    ["an unknown format of the prototype", { format: "constructor" }, "load", "unsupported"],
  ])("says so: %s", async (_, options, stage, reason) => {
    const worker = await TestWorker.spawn(options);
    const fatal = await worker.control.next(({ type }) => type === "fatal");
    expect(fatal).toMatchObject({ stage, error: { reason } });
    expect(await worker.exited).toEqual({ code: 70, signal: null });
  });

  it("refuses a first message that is not `load`", async () => {
    const worker = await TestWorker.spawn({ silent: true });
    worker.send({ type: "ping", nonce: 1 });
    const fatal = await worker.control.next(({ type }) => type === "fatal");
    expect(fatal).toMatchObject({
      stage: "protocol",
      error: { message: "the first message is `ping`, not `load`" },
    });
    expect(await worker.exited).toEqual({ code: 70, signal: null });
  });

  it("ends quietly when the host is gone before it said anything", async () => {
    const worker = await TestWorker.spawn({ silent: true });
    worker.channel.destroy();
    expect(await worker.exited).toEqual({ code: 0, signal: null });
  });
});

describe("a shutdown while the plugin still loads", () => {
  it("ends the worker without it ever being ready", async () => {
    const worker = await TestWorker.spawn({
      plugin: `return { name: "Slow", onInitialize() { console.log("loading"); return new Promise(() => setInterval(() => {}, 1000)); } }`,
    });
    await worker.stdout.next((line) => line === "loading");
    worker.send({ type: "shutdown", deadlineMs: 5000 });
    expect(await worker.exited).toEqual({ code: 0, signal: null });
    expect(worker.control.all.map(({ type }) => type)).toEqual(["hello"]);
  });
});
