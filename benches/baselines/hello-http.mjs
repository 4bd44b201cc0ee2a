// The tool of the sample plugin `hello-tool` served by the official SDK over Streamable HTTP, without a framework.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const sessions = new Map();

async function openSession() {
  const server = new McpServer({ name: "hello", version: "1.0.0" });
  server.registerTool(
    "hello",
    { description: "Greets somebody.", inputSchema: { name: z.string() } },
    ({ name }) => ({ content: [{ type: "text", text: `Hello, ${name}!` }] }),
  );
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    enableJsonResponse: true,
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await server.connect(transport);
  return transport;
}

const server = createServer(async (req, res) => {
  const transport = sessions.get(req.headers["mcp-session-id"]) ?? (await openSession());
  await transport.handleRequest(req, res);
});
// Callers keep their connections while others take their turn.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(
    `${JSON.stringify({ address: `127.0.0.1:${server.address().port}`, path: "/mcp" })}\n`,
  );
});
