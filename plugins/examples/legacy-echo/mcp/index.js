// The MCP server: one message per line, in on standard input, out on standard output. It knows nothing of the plugin
// around it but what the environment says.
const { createInterface } = require("node:readline");

const prefix = process.env.ECHO_PREFIX ?? "";

const echo = {
  name: "echo",
  title: "Echo",
  description: "Echoes input",
  inputSchema: { type: "object", properties: { message: { type: "string" } } },
};

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "legacy-echo", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [echo] }),
  "tools/call": ({ name, arguments: { message = "" } = {} }) => {
    if (name !== echo.name) throw Object.assign(new Error(`unknown tool: ${name}`), { code: -32602 });
    return { content: [{ type: "text", text: prefix + message }] };
  },
};

function answer({ id, method, params = {} }) {
  if (id === undefined) return;
  const send = (more) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...more })}\n`);
  const run = methods[method];
  if (run === undefined) {
    send({ error: { code: -32601, message: `method not found: ${method}` } });
    return;
  }
  try {
    send({ result: run(params) });
  } catch ({ code = -32603, message }) {
    send({ error: { code, message } });
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  answer(JSON.parse(line));
});
