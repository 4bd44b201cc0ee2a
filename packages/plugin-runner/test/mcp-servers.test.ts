import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { oblige, TestWorker } from "./support/test-worker.js";

const start = (body: string) =>
  `return { name: "MCP", async onStart({ mcp, logger, config, auth }) { ${body} } };`;

const opened = (worker: TestWorker) => worker.control.next(({ type }) => type === "openMcp");

describe("the servers of a worker", () => {
  it("are open once the host says so, after it initialized them", async () => {
    const worker = await TestWorker.bound(
      {
        plugin: `return { name: "MCP", onInitialize() { ctx.register.config({ token: { type: "string" } }); },
          async onStart({ mcp, logger }) {
            await mcp.startLocal("s", ({ config, auth, logger }) => { logger.info("initializer", [config.get("token"), auth.get()]); return {}; });
            logger.info("open");
          } };`,
      },
      { config: { token: "abc" }, auth: { methodId: "m", credentials: {} } },
    );
    await worker.hook("start");
    expect((await worker.log(({ message }) => message === "initializer")).meta).toEqual([
      "abc",
      { methodId: "m", credentials: {} },
    ]);
    expect(await opened(worker)).toMatchObject({ server: { id: "s", kind: "inProcess" } });
    expect(worker.mcp.all[0]?.message.result.serverInfo.name).toBe("s");
    await worker.log(({ message }) => message === "open");
  });

  it("are stopped and forgotten when the host refuses them", async () => {
    const worker = await TestWorker.bound({
      plugin: start(`await mcp.startLocal("s", () => ({ stop() { logger.info("stopped"); } }));`),
      onRequest: () => {
        throw new Error("no more servers");
      },
    });
    await expect(worker.hook("start")).rejects.toMatchObject({
      error: { message: "no more servers", reason: "refused" },
    });
    await worker.log(({ message }) => message === "stopped");
    expect((await worker.call("s", "ping")).error.message).toBe(
      "no MCP server `s` runs in this worker",
    );
  });

  it("replace an earlier one of the same id, after stopping it", async () => {
    const worker = await TestWorker.bound({
      plugin: start(`
        const server = (n) => () => { logger.info("made " + n); return { listTools: () => [{ name: "t" }], callTool: () => n, stop() { logger.info("stopped " + n); } }; };
        await mcp.startLocal("s", server("one"));
        await Promise.all([mcp.startLocal("s", server("two")), mcp.startLocal("s", server("three"))]);`),
    });
    await worker.hook("start");
    const { result } = await worker.call("s", "tools/call", { name: "t" });
    expect(result.content[0].text).toBe("three");
    const requests = worker.control.all
      .filter(({ type }) => type.endsWith("Mcp"))
      .map(({ type, serverId }) => [type, serverId]);
    expect(requests).toEqual([
      ["openMcp", undefined],
      ["closeMcp", "s"],
      ["openMcp", undefined],
      ["closeMcp", "s"],
      ["openMcp", undefined],
    ]);
    const lines = worker.stdout.all.map((line) => JSON.parse(line).message as string);
    expect(lines).toEqual(["made one", "stopped one", "made two", "stopped two", "made three"]);
  });

  it("do not keep each other from starting", async () => {
    const worker = await TestWorker.bound({
      plugin: start(`
        const results = await Promise.allSettled([
          mcp.startLocal("bad", () => { throw new Error("no luck"); }),
          mcp.startLocal("good", () => ({})),
        ]);
        logger.info("results", results.map(({ status, reason }) => reason?.message ?? status));`),
    });
    await worker.hook("start");
    expect((await worker.log(({ message }) => message === "results")).meta).toEqual([
      "no luck",
      "fulfilled",
    ]);
    expect((await worker.call("good", "ping")).result).toEqual({});
  });

  it.each([
    ["ends at once", `stop() { logger.info("stopped"); }`, ["stopped"]],
    [
      "takes a while",
      `async stop() { await new Promise((r) => setImmediate(r)); logger.info("stopped"); }`,
      ["stopped"],
    ],
    ["throws", `stop() { throw new Error("stuck"); }`, ["MCP server `s`: `stop` failed: stuck"]],
    [
      "never ends",
      `stop: () => new Promise(() => {})`,
      ["MCP server `s`: `stop` failed: `stop` did not end within"],
    ],
  ])("are stopped on shutdown: one whose stop %s", async (_, stop, logged) => {
    const worker = await TestWorker.bound({
      plugin: start(`await mcp.startLocal("s", () => ({ ${stop} }));`),
    });
    await worker.hook("start");
    worker.send({ type: "shutdown", deadlineMs: 300 });
    expect(await worker.exited).toEqual({ code: 0, signal: null });
    const messages = worker.stdout.all.map((line) => JSON.parse(line).message as string);
    expect(messages.map((message) => message.replace(/ \d+ ms$/, ""))).toEqual(logged);
  });

  it("elsewhere are the host's to open", async () => {
    const worker = await TestWorker.bound({
      files: {
        "index.cjs": `module.exports = () => ({ name: "MCP", async onStart({ mcp }) {
          await mcp.startLocalStdio({ id: "a", command: "node", args: ["server.js"], cwd: "./mcp/", env: { KEY: "1", NONE: undefined }, timeout: 5000 });
          await mcp.startLocalStdio({ id: "b", command: "npx", args: ["-y", "thing@1", "on"], cwd: "mcp" });
          await mcp.startExternal({ id: "c", url: "https://mcp.example/x?y=1", authHeaders: { Authorization: "Bearer t" } });
          await mcp.startExternal({ id: "c", url: "https://mcp.example/" });
        } });`,
        "mcp/server.js": "",
        "mcp/node_modules/thing/package.json": '{ "name": "thing", "bin": "cli.js" }',
        "mcp/node_modules/thing/cli.js": "#!/usr/bin/env node",
      },
    });
    await worker.hook("start");
    const requests = worker.control.all.filter(({ type }) => type.endsWith("Mcp"));
    expect(requests.map(({ id: _, ...request }) => request)).toEqual([
      {
        type: "openMcp",
        server: {
          id: "a",
          kind: "stdio",
          command: "node",
          args: ["server.js"],
          cwd: "mcp",
          env: { KEY: "1" },
          timeoutMs: 5000,
        },
      },
      {
        type: "openMcp",
        server: {
          id: "b",
          kind: "stdio",
          command: "node",
          args: ["node_modules/thing/cli.js", "on"],
          cwd: "mcp",
          env: {},
          timeoutMs: 30_000,
        },
      },
      {
        type: "openMcp",
        server: {
          id: "c",
          kind: "external",
          url: "https://mcp.example/x?y=1",
          headers: { Authorization: "Bearer t" },
        },
      },
      { type: "closeMcp", serverId: "c" },
      {
        type: "openMcp",
        server: { id: "c", kind: "external", url: "https://mcp.example/", headers: {} },
      },
    ]);
  });

  it.each([
    [`startLocal("", () => ({}))`, "the `id` of an MCP server must be a text that is not empty"],
    [`startLocal("s", {})`, "`startLocal` takes an id and a function that returns the MCP server"],
    [`startLocalStdio()`, "`startLocalStdio` takes an object"],
    [`startLocalStdio({ id: "s" })`, "`startLocalStdio` needs `command`, the program to start"],
    [
      `startLocalStdio({ id: "s", command: "x", args: [1] })`,
      "`args` of `startLocalStdio` must be a list of texts",
    ],
    [`startLocalStdio({ id: "s", command: "x", env: { A: 1 } })`, "`env.A` must be a text"],
    [
      `startLocalStdio({ id: "s", command: "x", timeout: -1 })`,
      "`timeout` of `startLocalStdio` must be a positive number of milliseconds",
    ],
    [
      `startLocalStdio({ id: "s", command: "x", cwd: ".." })`,
      "`cwd` of `startLocalStdio` leaves the plugin's folder: `..`",
    ],
    [
      `startLocalStdio({ id: "s", command: "x", cwd: "a/../../b" })`,
      "`cwd` of `startLocalStdio` leaves the plugin's folder: `a/../../b`",
    ],
    [
      `startLocalStdio({ id: "s", command: "x", cwd: "/etc" })`,
      "`cwd` of `startLocalStdio` leaves the plugin's folder: `/etc`",
    ],
    [
      `startLocalStdio({ id: "s", command: "x", cwd: "link" })`,
      "`cwd` of `startLocalStdio` leaves the plugin's folder: `link`",
    ],
    [
      `startExternal({ id: "s", url: "/relative" })`,
      "`startExternal` needs `url`, an absolute address",
    ],
    [
      `startExternal({ url: "https://x" })`,
      "the `id` of an MCP server must be a text that is not empty",
    ],
  ])("are refused before the host is asked: %s", async (call, message) => {
    const worker = await TestWorker.bound({ plugin: start(`await mcp.${call};`) });
    symlinkSync("/etc", join(worker.root, "link"));
    mkdirSync(join(worker.root, "a"));
    await expect(worker.hook("start")).rejects.toMatchObject({ error: { message } });
    expect(worker.control.all.some(({ type }) => type === "openMcp")).toBe(false);
  });

  it("can be started after `onStart` ran out of time", async () => {
    const worker = await TestWorker.bound({
      plugin: start(`await mcp.startLocal("slow", () => ({})); logger.info("open after all");`),
      deadlines: { onStart: 30 },
      onRequest: async (request, host) => {
        await host.control.next(({ type }) => type === "failure");
        return oblige(request, host);
      },
    });
    worker.send({ type: "hook", hook: "start", id: 99 });
    await worker.log(({ message }) => message === "open after all");
    expect((await worker.call("slow", "ping")).result).toEqual({});
  });
});
