import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, test } from "node:test";

const folder = new URL("..", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", folder), "utf8"));
const { mcp } = manifest.capabilities;

// As a host starts it: the manifest's command in the plugin's folder, its settings in the environment.
const server = spawn(mcp.startCommand, {
  cwd: folder,
  shell: true,
  env: { PATH: process.env.PATH, ECHO_PREFIX: "> " },
  stdio: ["pipe", "pipe", "inherit"],
});
after(() => server.stdin.end());
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();

async function ask(method, params) {
  server.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })}\n`);
  return JSON.parse((await lines.next()).value);
}

test("says hello as an MCP server", async () => {
  const { result } = await ask("initialize", { protocolVersion: "2025-06-18" });
  assert.equal(result.protocolVersion, "2025-06-18");
});

test("lists the tools that the manifest declares", async () => {
  const { result } = await ask("tools/list");
  assert.deepEqual(
    result.tools.map(({ name, title, inputSchema }) => ({ name, label: title, input_schema: inputSchema })),
    mcp.tools.map(({ name, label, input_schema }) => ({ name, label, input_schema })),
  );
});

test("echoes, with the configured prefix", async () => {
  const { result } = await ask("tools/call", { name: "echo", arguments: { message: "test" } });
  assert.deepEqual(result.content, [{ type: "text", text: "> test" }]);
});

test("knows what it does not have", async () => {
  assert.equal((await ask("tools/call", { name: "none" })).error.code, -32602);
  assert.equal((await ask("none")).error.code, -32601);
});
