import assert from "node:assert/strict";
import { test } from "node:test";

import { createTestHost } from "@hay/plugin-sdk/testing";

import plugin from "../index.js";

test("greets by name", async () => {
  const host = await createTestHost(plugin);
  await host.start();
  const tools = await host.listTools();
  assert.deepEqual(
    tools.map(({ name, serverId }) => ({ name, serverId })),
    [{ name: "hello", serverId: "hello" }],
  );
  const result = await host.callTool("hello", { name: "Ada" });
  assert.deepEqual(result.content, [{ type: "text", text: "Hello, Ada!" }]);
  await host.stop();
});
