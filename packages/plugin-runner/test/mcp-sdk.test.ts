/** Real servers of the official SDKs, connected to the channel by their shape alone. */
import { describe, expect, it } from "vitest";
import { MAX_PAYLOAD } from "../src/frame.js";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

const HANDLERS = `
  const finished = [];
  const tool = async ({ text, size }, extra) => {
    const token = extra._meta?.progressToken ?? extra.mcpReq?._meta?.progressToken;
    const send = extra.sendNotification ?? extra.mcpReq?.notify;
    const signal = extra.signal ?? extra.mcpReq?.signal;
    if (token !== undefined) await send({ method: "notifications/progress", params: { progressToken: token, progress: 1 } });
    if (text === "throw") throw new Error("the plugin said no");
    if (text === "wait") await new Promise((resolve) => { console.log("running"); signal.addEventListener("abort", () => { console.log("aborted"); resolve(); }); });
    return { content: [{ type: "text", text: size === undefined ? text : "x".repeat(size) }], _meta: { kept: true } };
  };
  const input = { text: z.string().optional(), size: z.number().optional() };
`;

const SERVERS: [string, Record<string, string>][] = [
  [
    "McpServer of 1.x in CommonJS",
    {
      "index.cjs": `
        const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
        const { z } = require("zod");
        ${HANDLERS}
        module.exports = () => ({ name: "V1", onStart: ({ mcp }) => mcp.startLocal("s", () => {
          const server = new McpServer({ name: "echo", version: "1.0.0" });
          server.registerTool("echo", { title: "Echo", inputSchema: input }, tool);
          server.later = () => server.registerTool("later", {}, () => ({ content: [] }));
          setImmediate(() => process.once("SIGUSR2", server.later));
          return server;
        }) });`,
    },
  ],
  [
    "Server of 1.x in an ES module",
    {
      "index.mjs": `
        import { Server } from "@modelcontextprotocol/sdk/server/index.js";
        import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
        import { z } from "zod";
        ${HANDLERS}
        export default () => ({ name: "V1", onStart: ({ mcp }) => mcp.startLocal("s", async () => {
          const server = new Server({ name: "echo", version: "1.0.0" }, { capabilities: { tools: { listChanged: true } } });
          server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [{ name: "echo", title: "Echo", inputSchema: { type: "object" } }] }));
          server.setRequestHandler(CallToolRequestSchema, async (request, extra) => {
            try { return await tool(request.params.arguments, extra); }
            catch (error) { return { content: [{ type: "text", text: error.message }], isError: true }; }
          });
          process.once("SIGUSR2", () => server.sendToolListChanged());
          return server;
        }) });`,
    },
  ],
  [
    "McpServer of 2.x",
    {
      "index.mjs": `
        import { McpServer } from "@modelcontextprotocol/server";
        import { z } from "zod";
        ${HANDLERS}
        export default () => ({ name: "V2", onStart: ({ mcp }) => mcp.startLocal("s", () => {
          const server = new McpServer({ name: "echo", version: "1.0.0" });
          server.registerTool("echo", { title: "Echo", inputSchema: z.object(input) }, tool);
          process.once("SIGUSR2", () => server.registerTool("later", {}, () => ({ content: [] })));
          return server;
        }) });`,
    },
  ],
  [
    "a class of the plugin around McpServer of 1.x",
    {
      "index.cjs": `
        const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
        const { z } = require("zod");
        ${HANDLERS}
        class Orders {
          constructor() {
            this.server = new McpServer({ name: "echo", version: "1.0.0" });
            this.server.registerTool("echo", { title: "Echo", inputSchema: input }, tool);
            process.once("SIGUSR2", () => this.server.registerTool("later", {}, () => ({ content: [] })));
          }
          stop() { console.log("stopped by the plugin"); }
        }
        module.exports = () => ({ name: "Wrapped", onStart: ({ mcp }) => mcp.startLocal("s", () => new Orders()) });`,
    },
  ],
];

const REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

describe.each(NODES)("on Node $version", ({ binary: node }) => {
  describe.each(SERVERS)("%s", (_, files) => {
    it("serves its tools", async () => {
      const worker = await TestWorker.bound({ node, files, onRequest: () => undefined });
      await worker.hook("start");
      const { result } = await worker.initialize("s");
      expect(result).toMatchObject({ protocolVersion: "2025-11-25", serverInfo: { name: "echo" } });
      expect(result.capabilities.tools).toBeDefined();

      const list = await worker.call("s", "tools/list");
      expect(list.result.tools).toMatchObject([
        { name: "echo", title: "Echo", inputSchema: { type: "object" } },
      ]);

      const call = (args: object, meta?: object) =>
        worker.call("s", "tools/call", {
          name: "echo",
          arguments: args,
          ...(meta && { _meta: meta }),
        });
      expect((await call({ text: "hello" })).result).toMatchObject({
        content: [{ type: "text", text: "hello" }],
        _meta: { kept: true },
      });
      expect((await call({ text: "throw" })).result).toMatchObject({
        isError: true,
        content: [{ type: "text", text: "the plugin said no" }],
      });

      await call({ text: "x" }, { progressToken: "p" });
      expect((await worker.notification("s", "notifications/progress")).params).toMatchObject({
        progressToken: "p",
        progress: 1,
      });

      const large = await call({ size: MAX_PAYLOAD });
      expect(large.result).toMatchObject({ isError: true });
      expect(large.result.content[0].text).toMatch(
        /^the result of the tool `echo` has \d+ bytes; at most 4194304/,
      );

      worker.sendMcp("s", {
        jsonrpc: "2.0",
        id: "w",
        method: "tools/call",
        params: { name: "echo", arguments: { text: "wait" } },
      });
      await worker.stdout.next((line) => line === "running");
      worker.sendMcp("s", {
        jsonrpc: "2.0",
        method: "notifications/cancelled",
        params: { requestId: "w" },
      });
      await worker.stdout.next((line) => line === "aborted");

      worker.process.kill("SIGUSR2");
      await worker.notification("s", "notifications/tools/list_changed");
    });

    it("closes on shutdown", async () => {
      const worker = await TestWorker.bound({ node, files });
      await worker.hook("start");
      worker.send({ type: "shutdown", deadlineMs: 5000 });
      expect(await worker.exited).toEqual({ code: 0, signal: null });
      if (files["index.cjs"]?.includes("stopped by the plugin")) {
        expect(worker.stdout.all).toContain("stopped by the plugin");
      }
    });
  });
});

describe.each(SERVERS)("%s", (_, files) => {
  it.each(REVISIONS)("negotiates %s", async (revision) => {
    const worker = await TestWorker.bound({ files, onRequest: () => undefined });
    await worker.hook("start");
    expect((await worker.initialize("s", revision)).result.protocolVersion).toBe(revision);
  });
});
