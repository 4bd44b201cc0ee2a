// The MCP server that the plugin registers: one message per line. The plugin's settings are in its environment.
const { createInterface } = require("node:readline");

const ping = {
  name: "ping",
  title: "Ping",
  description: "Answers with the configured greeting.",
  inputSchema: { type: "object", properties: { name: { type: "string" } } },
};

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "simple-http-test", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [ping] }),
  "tools/call": ({ name, arguments: { name: who = "world" } = {} }) => {
    if (name !== ping.name) throw Object.assign(new Error(`unknown tool: ${name}`), { code: -32602 });
    const greeting = process.env.SIMPLE_HTTP_GREETING ?? "Hello";
    return { content: [{ type: "text", text: `${greeting}, ${who}!` }] };
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params = {} } = JSON.parse(line);
  if (id === undefined) return;
  const send = (more) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...more })}\n`);
  const run = methods[method];
  try {
    if (run === undefined) send({ error: { code: -32601, message: `method not found: ${method}` } });
    else send({ result: run(params) });
  } catch ({ code = -32603, message }) {
    send({ error: { code, message } });
  }
});
