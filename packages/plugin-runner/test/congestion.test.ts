import { describe, expect, it } from "vitest";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

describe.each(NODES)("a host that does not read, on Node $version", ({ binary: node }) => {
  it("gets every answer in the end, and progress only while it keeps up", async () => {
    const worker = await TestWorker.bound({
      node,
      plugin: `return { name: "Large", onStart: ({ mcp, logger }) => mcp.startLocal("s", () => ({
        async callTool(name, { size }, extra) {
          if (size === undefined) {
            await new Promise((resolve) => setImmediate(resolve));
            logger.info("small");
          }
          await extra.sendProgress({ progress: 1 });
          return "x".repeat(size ?? 1);
        } })) };`,
    });
    await worker.hook("start");
    worker.channel.pause();
    // Written as one, so that the worker reads all of them at once: the second read is where it would stop.
    worker.channel.cork();
    const large = Array.from({ length: 40 }, () =>
      worker.call("s", "tools/call", {
        name: "t",
        arguments: { size: 1_000_000 },
        _meta: { progressToken: "large" },
      }),
    );
    const small = worker.call("s", "tools/call", {
      name: "t",
      arguments: {},
      _meta: { progressToken: "small" },
    });
    worker.channel.uncork();
    // The small call came in the same read as the large ones, and goes on once they are answered.
    await worker.log(({ message }) => message === "small");
    // By now more is unsent than the worker lets pile up: it reads this one and then no more.
    const last = worker.call("s", "tools/call", { name: "t", arguments: {} });
    await worker.log(({ message }) => message === "small");
    const unread = worker.call("s", "tools/call", { name: "t", arguments: {} });
    worker.channel.resume();
    for (const { result } of await Promise.all(large))
      expect(result.content[0].text).toHaveLength(1_000_000);
    expect((await small).result.content[0].text).toBe("x");
    const reported = worker.mcp.all
      .filter(({ message }) => message.method === "notifications/progress")
      .map(({ message }) => message.params.progressToken as string);
    expect(reported).toEqual(large.map(() => "large"));
    // And it reads on.
    for (const { result } of [await last, await unread]) expect(result.content[0].text).toBe("x");
  });
});
