// An MCP server over standard input and output that does whatever the caller says.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const descriptors = Object.fromEntries(
  fs.readdirSync("/proc/self/fd").flatMap((number) => {
    try {
      return [[number, fs.readlinkSync(`/proc/self/fd/${number}`)]];
    } catch {
      return [];
    }
  }),
);
const environment = { ...process.env };

function attack(...words) {
  const ended = spawnSync(path.join(__dirname, "attack"), words.map(String), { encoding: "utf8", timeout: 50_000 });
  return JSON.parse(ended.stdout);
}

const AsyncFunction = (async () => {}).constructor;

async function call({ code, input }) {
  const known = { attack, descriptors, environment, fs, input, require };
  try {
    const value = await new AsyncFunction(...Object.keys(known), code)(...Object.values(known));
    return JSON.stringify({ value: value ?? null });
  } catch (error) {
    return JSON.stringify({ error: `${error.stack}` });
  }
}

const ANSWERS = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "child", version: "1" } }),
  "tools/list": () => ({ tools: [{ name: "run", inputSchema: { type: "object" } }] }),
  "tools/call": async ({ arguments: given }) => ({ content: [{ type: "text", text: await call(given) }] }),
};

let text = "";
process.stdin.on("data", async (chunk) => {
  text += chunk;
  for (let end; (end = text.indexOf("\n")) >= 0; ) {
    const { id, method, params } = JSON.parse(text.slice(0, end));
    text = text.slice(end + 1);
    if (id === undefined) continue;
    const result = await ANSWERS[method]?.(params);
    process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: result ?? {} })}\n`);
  }
});
