import type { HatagoPlugin, PluginContext } from "@hatago/core/host";
import { describe, expect, it, vi } from "vitest";
import { createMockContext } from "./index.js";

/** The plugin of the specification's document. */
function plugin(_context: PluginContext): HatagoPlugin {
  return async ({ server, capabilities }) => {
    const { logger, fetch } = capabilities;
    server.registerTool(
      "my.tool",
      { title: "My Tool", description: "Example tool", inputSchema: {} },
      async (args: object) => {
        logger.info("Tool called", { args });
        const answer = await fetch("https://service.example/");
        return { content: [{ type: "text", text: await answer.text() }] };
      },
    );
  };
}

describe("a plugin in a test", () => {
  it("runs with the capabilities of the test", async () => {
    const context = createMockContext({
      capabilities: ["logger", "fetch"],
      fetch: () => Promise.resolve(new Response("Hello")),
    });
    await context.start({ default: plugin });
    expect((await context.listTools()).map(({ name, title }) => [name, title])).toEqual([
      ["my.tool", "My Tool"],
    ]);
    expect(await context.callTool("my.tool", { a: 1 })).toEqual({
      content: [{ type: "text", text: "Hello" }],
    });
    expect(context.logs).toEqual([
      { level: "info", message: "Tool called", meta: { args: { a: 1 } } },
    ]);
    expect(context.uses).toEqual([
      { capability: "logger", count: 1, denied: 0 },
      { capability: "fetch", count: 1, denied: 0 },
    ]);
  });

  it("is denied what the test does not declare", async () => {
    const context = createMockContext({ capabilities: ["logger"] });
    await expect(context.start(plugin)).rejects.toMatchObject({
      name: "CapabilityError",
      capability: "fetch",
    });
  });

  it("reaches no network by accident", async () => {
    const context = createMockContext({ capabilities: ["logger", "fetch"] });
    await context.start(plugin);
    const result = await context.callTool("my.tool");
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result)).toContain("https://service.example/");
  });

  it("can be called by hand", async () => {
    const context = createMockContext({ capabilities: ["logger", "fetch"] });
    await plugin(context)(context.host);
    expect(context.server).toBe(context.host.server);
  });

  it("keeps texts for their time", async () => {
    vi.useFakeTimers({ now: 0 });
    const { capabilities, store } = createMockContext({ capabilities: ["kv"] });
    await capabilities.kv.set("a", "1", 10);
    expect(await capabilities.kv.get("a")).toBe("1");
    vi.setSystemTime(10_000);
    expect(await capabilities.kv.get("a")).toBeNull();
    expect(store.size).toBe(0);
    vi.useRealTimers();
  });

  it("tells of errors, notifications and routes, and is disposed of", async () => {
    let disposed = 0;
    const context = createMockContext();
    await context.start(() => ({ server, app }: any) => {
      app.get("/hi", (c: any) => c.text("hi"));
      server.registerTool("slow", {}, async (_args: unknown, extra: any) => {
        await extra.sendNotification({ method: "notifications/message" });
        return "done";
      });
      return () => (disposed += 1);
    });
    await context.callTool("slow");
    expect(context.notifications.map(({ method }) => method)).toEqual(["notifications/message"]);
    await expect(context.callTool("none")).rejects.toMatchObject({ code: -32602 });
    expect(await (await context.fetchRoute("/hi")).text()).toBe("hi");
    await context.dispose();
    expect(disposed).toBe(1);
    await expect(context.callTool("slow")).rejects.toThrow("the plugin was disposed of");
  });

  it.each([[7], [{}], [() => 7]])("refuses %s", async (given) => {
    await expect(createMockContext().start(given)).rejects.toThrow(TypeError);
  });
});
