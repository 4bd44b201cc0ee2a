// What the template's `node index.js` starts: one message per line.
const { createInterface } = require("node:readline");

const tool = {
  name: "attio_find_record",
  title: "Find a record",
  description: "Finds a record by its name",
  inputSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
};

const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "attio", version: "1.0.0" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [tool] }),
  "tools/call": (params) => ({ content: [{ type: "text", text: `found ${params.arguments.name}` }] }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params = {} } = JSON.parse(line);
  if (id === undefined) return;
  const result = methods[method]?.(params);
  const error = { code: -32601, message: `method not found: ${method}` };
  const answer = { jsonrpc: "2.0", id, ...(result === undefined ? { error } : { result }) };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
