import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { createTestHost } from "@hay/plugin-sdk/testing";

import plugin from "../index.js";

test("offers the tools of the reference server", async () => {
  const host = await createTestHost(plugin, {
    root: fileURLToPath(new URL("..", import.meta.url)),
  });
  await host.start();
  try {
    const names = (await host.listTools()).map((tool) => tool.name);
    for (const name of ["echo", "get-sum", "get-tiny-image"]) assert.ok(names.includes(name), name);
    const result = await host.callTool("get-sum", { a: 2, b: 40 });
    assert.match(result.content[0].text, /42/);
  } finally {
    await host.stop();
  }
});
