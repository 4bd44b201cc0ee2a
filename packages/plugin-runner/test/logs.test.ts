import { describe, expect, it } from "vitest";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

const FLOOD = `return { name: "Flood", onStart({ logger }) {
  const start = Date.now();
  for (let i = 0; i < 5000; i += 1) { console.log("x".repeat(1000)); console.error("y".repeat(100)); logger.info("z"); }
} };`;

describe.each(NODES)("logs on Node $version", ({ binary: node }) => {
  it("are one line each: JSON from the logger, text from the console", async () => {
    const worker = await TestWorker.bound({
      node,
      plugin: `return { name: "Logs", onStart({ logger }) {
        logger.debug("d"); logger.warn("two\\nlines", { error: new Error("inner"), big: 1n });
        console.log("plain %s", { a: 1 }); console.error("oops");
      } };`,
    });
    await worker.hook("start");
    const warning = await worker.log(({ level }) => level === "warn");
    expect(warning).toMatchObject({
      level: "warn",
      message: "two\nlines",
      meta: { error: { message: "inner" } },
    });
    await worker.stdout.next((line) => line === "plain { a: 1 }");
    await worker.stderr.next((line) => line === "oops");
    expect(JSON.parse(worker.stdout.all[0] ?? "")).toEqual({ level: "debug", message: "d" });
  });

  it("never hold the plugin up, and say how much was dropped", async () => {
    const worker = await TestWorker.bound({ node, plugin: FLOOD, unreadLogs: true });
    expect(await worker.hook("start")).toEqual({});
    worker.readLogs();
    worker.send({ type: "ping", nonce: 1 });
    await worker.control.next(({ type }) => type === "pong");
    // Once there is room again, the next line comes after the number of those that are missing.
    const dropped = worker.stdout.next((line) => /^\d+ log writes were dropped/.test(line));
    await worker.stdout.next((line) => line.startsWith("x"));
    const written = async () => {
      await worker.hook("start");
      return Promise.race([
        dropped,
        new Promise<null>((resolve) =>
          setImmediate(() => {
            resolve(null);
          }),
        ),
      ]);
    };
    let line: string | null = null;
    while (line === null) line = await written();
    expect(Number.parseInt(line, 10)).toBeGreaterThan(1000);
  });

  it.each(["logger.info", "console.log", "process.stdout.write"])(
    "do not end the worker when nobody reads them: %s",
    async (method) => {
      const worker = await TestWorker.bound({
        node,
        unreadLogs: true,
        plugin: `return { name: "Logs", onStart({ logger }) { for (let i = 0; i < 100; i += 1) ${method}("x".repeat(5000) + "\\n"); process.stderr.write("e"); } };`,
      });
      worker.process.stdout?.destroy();
      worker.process.stderr?.destroy();
      for (let round = 0; round < 3; round += 1) expect(await worker.hook("start")).toEqual({});
      worker.send({ type: "shutdown", deadlineMs: 5000 });
      expect(await worker.exited).toEqual({ code: 0, signal: null });
    },
  );

  it("leave completely before the worker ends", async () => {
    const worker = await TestWorker.bound({
      node,
      plugin: `return { name: "Last", onStart: ({ mcp, logger }) => mcp.startLocal("s", () => ({ stop() { for (let i = 0; i < 900; i += 1) logger.info("line " + i + "x".repeat(1000)); } })) };`,
    });
    await worker.hook("start");
    worker.send({ type: "shutdown", deadlineMs: 10_000 });
    expect(await worker.exited).toEqual({ code: 0, signal: null });
    expect(worker.stdout.all).toHaveLength(900);
  });
});
