import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { createMockContext } from "@hatago/test-utils";

const folder = new URL("../", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("hatago.plugin.json", folder), "utf8"));

for (const runtime of ["node", "workers"]) {
  test(`greets on ${runtime}, and counts`, async () => {
    const { capabilities, entry } = manifest;
    const context = createMockContext({ capabilities, runtime, config: { greeting: "Hi" } });
    await context.start(await import(new URL(entry[runtime], folder).href));

    const tools = await context.listTools();
    assert.deepEqual(
      tools.map(({ name, title, description }) => ({ name, title, description })),
      manifest.mcp.tools,
    );
    await context.callTool("hello", { name: "Ada" });
    const { content, structuredContent } = await context.callTool("hello", { name: "Ada" });
    assert.deepEqual(content, [{ type: "text", text: "Hi, Ada!" }]);
    assert.deepEqual(structuredContent, { message: "Hi, Ada!", times: 2, runtime });
    assert.equal(context.store.get("greeted/Ada"), "2");
    assert.equal(context.logs.length, 2);
    await context.dispose();
  });
}

test("does not start without what it declares", async () => {
  const context = createMockContext({ capabilities: ["logger"] });
  const started = context.start(await import("../src/index.js"));
  await assert.rejects(started, { name: "CapabilityError", capability: "kv" });
});
