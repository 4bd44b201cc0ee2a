import { createMockContext } from "@hatago/test-utils";
import { test } from "uvu";
import * as assert from "uvu/assert";

import manifest from "../hatago.plugin.json" with { type: "json" };

// What is published is tested: the entry of each runtime.
for (const runtime of ["node", "workers"]) {
  test(`greets on ${runtime}`, async () => {
    const { capabilities, entry, mcp } = manifest;
    const context = createMockContext({ capabilities, runtime, config: { greeting: "Hi" } });
    await context.start(await import(new URL(`../${entry[runtime]}`, import.meta.url).href));

    const tools = await context.listTools();
    assert.equal(
      tools.map(({ name }) => name),
      mcp.tools.map(({ name }) => name),
    );
    const { content } = await context.callTool("greet", { name: "Ada" });
    assert.equal(content, [{ type: "text", text: "Hi, Ada!" }]);
    assert.equal(context.logs, [{ level: "info", message: "greeted", meta: { name: "Ada" } }]);
    await context.dispose();
  });
}

test("asks for a name", async () => {
  const context = createMockContext({ capabilities: manifest.capabilities });
  await context.start(await import("../dist/index.js"));
  try {
    await context.callTool("greet");
    assert.unreachable("a call without a name must be refused");
  } catch (error) {
    assert.is(error.code, -32602);
  }
});

test.run();
