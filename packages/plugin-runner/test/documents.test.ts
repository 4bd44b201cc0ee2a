/** The plugins that the specification's documents print, compiled from what their authors wrote, unmodified. */
import { describe, expect, it } from "vitest";
import { fixtureFolder } from "./support/fixtures.js";
import { fetchFrom } from "./support/http-client.js";
import { TestWorker } from "./support/test-worker.js";

const json = { "content-type": "application/json" };

describe("the plugins of the documents", { timeout: 60_000 }, () => {
  it("document 1: Stripe, by `defineHayPlugin`", async () => {
    const root = fixtureFolder("stripe", { compile: "nodenext" });
    const worker = await TestWorker.bound(
      { root, entry: "dist/index.js", env: ["STRIPE_API_KEY"] },
      { auth: { methodId: "apiKey", credentials: { apiKey: "sk_test_1" } } },
    );
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    expect(registration).toMatchObject({
      name: "Stripe",
      configSchema: { apiKey: { type: "string", env: "STRIPE_API_KEY", sensitive: true } },
      authMethods: [{ type: "apiKey", id: "apiKey", configField: "apiKey" }],
      uiExtensions: [{ slot: "after-settings", component: "components/StripeSettings.vue" }],
      routes: [{ method: "POST", path: "/webhook" }],
    });
    expect(await worker.hook("validateAuth")).toEqual({ valid: true });
    expect(await worker.hook("start")).toEqual({});
    expect((await worker.call("stripe-mcp", "tools/list")).result).toEqual({ tools: [] });
    const answer = await fetchFrom(worker.socketPath, {
      method: "POST",
      path: "/webhook",
      headers: json,
      body: "{}",
    });
    expect([answer.status, answer.body]).toEqual([200, '{"ok":true}']);
    expect(await worker.hook("disable")).toEqual({});
    await worker.log(({ message }) => message === "Stripe plugin disabled for org org-1");
  });

  it("document 2: a route handler behind `auth`, and a tRPC router", async () => {
    const root = fixtureFolder("my-plugin", { compile: "commonjs" });
    const worker = await TestWorker.bound({ format: "hay-manifest", root, entry: "dist/index.js" });
    const { registration } = await worker.control.next(({ type }) => type === "metadata");
    expect(registration).toMatchObject({
      routes: [{ method: "POST", path: "/webhook" }],
      procedures: [{ path: "myEndpoint", type: "query" }],
    });
    const answer = await fetchFrom(worker.socketPath, {
      method: "POST",
      path: "/webhook",
      headers: json,
      body: '{"a":1}',
    });
    expect(answer.body).toBe('{"received":{"a":1}}');
    const call = { type: "procedure", path: "myEndpoint", kind: "query", caller: null };
    expect((await worker.request(call)).body).toEqual({
      result: { data: { message: "Hello from plugin" } },
    });
  });

  it("document 4: a tool with two of its capabilities", async () => {
    const root = fixtureFolder("example-hatago", { compile: "nodenext" });
    const worker = await TestWorker.bound({ format: "hatago", root, entry: "./dist/index.js" });
    await worker.hook("start");
    const { result } = await worker.call("mcp", "tools/call", { name: "my.tool", arguments: {} });
    expect(result).toEqual({ content: [{ type: "text", text: "Hello" }] });
    await worker.log(({ message }) => message === "Tool called");
  });
});
