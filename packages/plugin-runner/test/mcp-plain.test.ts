import { describe, expect, it } from "vitest";
import { MAX_PAYLOAD } from "../src/frame.js";
import { TestWorker } from "./support/test-worker.js";

/** A worker whose `onStart` starts one in-process server `s`, made by the given expression. */
async function serve(expression: string, before = ""): Promise<TestWorker> {
  const worker = await TestWorker.bound({
    plugin: `${before}
      return { name: "MCP", onStart: ({ mcp, logger }) => mcp.startLocal("s", () => (${expression})) };`,
  });
  await worker.hook("start");
  return worker;
}

const text = (value: string) => [{ type: "text", text: value }];

const ECHO = `{
  listTools: () => [{ name: "echo", description: "says it again", input_schema: { properties: { text: { type: "string" } } } }],
  callTool: (name, args) => args.text,
}`;

describe("a plain object as an MCP server", () => {
  it.each([
    ["2025-11-25", "2025-11-25"],
    ["2025-06-18", "2025-06-18"],
    ["2025-03-26", "2025-03-26"],
    ["2024-11-05", "2024-11-05"],
    ["2099-01-01", "2025-11-25"],
  ])("negotiates %s as %s", async (asked, given) => {
    const worker = await serve(ECHO);
    expect((await worker.initialize("s", asked)).result).toEqual({
      protocolVersion: given,
      capabilities: { tools: {} },
      serverInfo: { name: "s", version: "0.1.0" },
    });
  });

  it("answers ping, and refuses what it does not have", async () => {
    const worker = await serve(ECHO);
    expect(await worker.call("s", "ping")).toMatchObject({ jsonrpc: "2.0", result: {} });
    expect((await worker.call("s", "resources/list")).error).toEqual({
      code: -32601,
      message: "method not found: resources/list",
    });
    worker.sendMcp("s", { jsonrpc: "2.0", method: "notifications/unheard-of" });
    expect((await worker.call("absent", "ping")).error).toEqual({
      code: -32603,
      message: "no MCP server `absent` runs in this worker",
    });
  });

  it.each([
    ["an array", `[{ name: "a" }]`, [{ name: "a", inputSchema: { type: "object" } }]],
    [
      "MCP's own shape",
      `({ tools: [{ name: "a", title: "A", inputSchema: { type: "object", properties: {} }, annotations: { readOnlyHint: true }, _meta: { x: 1 }, future: [1] }] })`,
      [
        {
          name: "a",
          title: "A",
          inputSchema: { type: "object", properties: {} },
          annotations: { readOnlyHint: true },
          _meta: { x: 1 },
          future: [1],
        },
      ],
    ],
    [
      "the older names",
      `[{ name: "a", label: "A", input_schema: { type: "object", required: ["x"] }, output_schema: { type: "object" } }]`,
      [
        {
          name: "a",
          title: "A",
          inputSchema: { type: "object", required: ["x"] },
          outputSchema: { type: "object" },
        },
      ],
    ],
    [
      "a promise",
      `Promise.resolve([{ name: "a", handler() {} }])`,
      [{ name: "a", inputSchema: { type: "object" } }],
    ],
    [
      "junk among tools",
      `[null, 7, {}, { name: "" }, { name: "a", inputSchema: 3 }, { name: "a" }]`,
      [{ name: "a", inputSchema: { type: "object" } }],
    ],
    ["nothing", `undefined`, []],
    ["junk", `"tools"`, []],
  ])("lists tools given as %s", async (_, list, tools) => {
    const worker = await serve(`{ listTools: () => ${list} }`);
    expect((await worker.call("s", "tools/list")).result).toEqual({ tools });
  });

  it("passes pages of tools on", async () => {
    const worker = await serve(
      `{ listTools: (params) => params ? { tools: [{ name: "b" }] } : { tools: [{ name: "a" }], nextCursor: "2" }, callTool: (name) => name }`,
    );
    expect((await worker.call("s", "tools/list")).result).toMatchObject({
      tools: [{ name: "a" }],
      nextCursor: "2",
    });
    expect((await worker.call("s", "tools/list", { cursor: "2" })).result).toMatchObject({
      tools: [{ name: "b" }],
    });
    expect((await worker.call("s", "tools/call", { name: "b" })).result.content).toEqual(text("b"));
  });

  it("reports a list that fails", async () => {
    const worker = await serve(
      `{ listTools() { throw new Error("no list"); }, callTool: (name) => name }`,
    );
    expect((await worker.call("s", "tools/list")).error).toEqual({
      code: -32603,
      message: "`listTools` failed: no list",
    });
    expect((await worker.call("s", "tools/call", { name: "x" })).result.content).toEqual(text("x"));
  });

  it.each([
    ["a text", `"hello"`, { content: text("hello") }],
    ["a number", `42`, { content: text("42") }],
    ["a big integer", `42n`, { content: text("42") }],
    ["nothing", `undefined`, { content: [] }],
    ["null", `null`, { content: [] }],
    ["an object", `({ a: [1] })`, { content: text('{"a":[1]}'), structuredContent: { a: [1] } }],
    ["an array", `[1, 2]`, { content: text("[1,2]") }],
    ["a promise", `Promise.resolve("later")`, { content: text("later") }],
    [
      "content parts",
      `[{ type: "image", data: "AA==", mimeType: "image/png" }]`,
      { content: [{ type: "image", data: "AA==", mimeType: "image/png" }] },
    ],
    [
      "a result with unknown fields",
      `({ content: [{ type: "text", text: "x", later: { y: 1 } }], isError: false, _meta: { z: 1 }, future: true })`,
      {
        content: [{ type: "text", text: "x", later: { y: 1 } }],
        isError: false,
        _meta: { z: 1 },
        future: true,
      },
    ],
    [
      "a failed result",
      `({ content: [{ type: "text", text: "no" }], isError: true })`,
      { content: text("no"), isError: true },
    ],
    [
      "only structured content",
      `({ structuredContent: { a: 1 } })`,
      { structuredContent: { a: 1 }, content: text('{"a":1}') },
    ],
    [
      "a throw",
      `(() => { throw new Error("the plugin said no"); })()`,
      { content: text("the plugin said no"), isError: true },
    ],
    ["a rejection with a text", `Promise.reject("no")`, { content: text("no"), isError: true }],
    [
      "a cycle",
      `(() => { const a = {}; a.a = a; return { content: [{ type: "text", a }] }; })()`,
      { isError: true },
    ],
    [
      "a nesting too deep to write",
      `(() => { let a = {}; for (let i = 0; i < 1e6; i++) a = { a }; return { content: [{ type: "text", a }] }; })()`,
      { isError: true },
    ],
  ])("wraps %s", async (_, value, result) => {
    const worker = await serve(`{ listTools: () => [{ name: "t" }], callTool: () => ${value} }`);
    const answer = await worker.call("s", "tools/call", { name: "t", arguments: {} });
    if ("content" in result) expect(answer.result).toEqual(result);
    else expect(answer.result).toMatchObject(result);
  });

  it.each([
    ["(name, args)", `callTool(name, args) { return [name, args.x].join(); }`],
    ["(name, args) with a default", `callTool(name, args = {}) { return [name, args.x].join(); }`],
    ["an arrow", `callTool: async (toolName, input) => [toolName, input.x].join()`],
    ["(...rest)", `callTool(...rest) { return [rest[0], rest[1].x].join(); }`],
    [
      "a request taken apart",
      `callTool({ name, arguments: args }) { return [name, args.x].join(); }`,
    ],
    [
      "a request taken apart, async",
      `async callTool({ name, arguments: { x } }) { return [name, x].join(); }`,
    ],
    ["a lone name, as minifiers leave it", `callTool: (t) => [t, 7].join()`],
    ["a request", `callTool: (request) => [request.name, request.arguments.x].join()`],
    [
      "a request without parentheses",
      `callTool: request => [request.name, request.arguments.x].join()`,
    ],
    [
      "a client's method",
      `getServerCapabilities: () => ({}), callTool(params, schema = null, options) { return [params.name, params.arguments.x].join(); }`,
    ],
  ])("calls a tool as it is written: %s", async (_, callTool) => {
    const worker = await serve(`{ ${callTool} }`);
    const { result } = await worker.call("s", "tools/call", { name: "t", arguments: { x: 7 } });
    expect(result.content).toEqual(text("t,7"));
  });

  it.each([
    ["an unknown tool", { name: "other", arguments: {} }, "unknown tool: other"],
    ["no name", {}, "`params.name` must be a string"],
    [
      "arguments that are no object",
      { name: "echo", arguments: [1] },
      "`params.arguments` must be an object",
    ],
    ["a name of the prototype", { name: "__proto__" }, "unknown tool: __proto__"],
  ])("refuses %s", async (_, params, message) => {
    const worker = await serve(ECHO);
    expect((await worker.call("s", "tools/call", params)).error).toEqual({ code: -32602, message });
  });

  it("finds a tool that was added after the list was read", async () => {
    const worker = await serve(
      `{ listTools: () => tools, callTool(name) { tools.push({ name: "second" }); return name; } }`,
      `const tools = [{ name: "first" }];`,
    );
    await worker.call("s", "tools/list");
    expect((await worker.call("s", "tools/call", { name: "second" })).error).toMatchObject({
      code: -32602,
    });
    await worker.call("s", "tools/call", { name: "first" });
    expect((await worker.call("s", "tools/call", { name: "second" })).result.content).toEqual(
      text("second"),
    );
  });

  it("turns a result that no frame can carry into an error", async () => {
    const worker = await serve(`{ callTool: (name, args) => "x".repeat(args.size) }`);
    const { result } = await worker.call("s", "tools/call", {
      name: "big",
      arguments: { size: 10_000_000 },
    });
    expect(result).toEqual({
      content: text(
        `the result of the tool \`big\` has ${result.content[0].text.match(/has (\d+)/)[1]} bytes; at most ${MAX_PAYLOAD} can be passed on`,
      ),
      isError: true,
    });
    const fits = await worker.call("s", "tools/call", {
      name: "big",
      arguments: { size: 4_000_000 },
    });
    expect(fits.result.content[0].text).toHaveLength(4_000_000);
  });

  it("reports progress to a caller who asked, and to nobody else", async () => {
    const worker = await serve(`{ async callTool(name, args, extra) {
      await extra.sendProgress({ progress: 1, total: 2, message: "half" });
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data: "x" } });
      return "done"; } }`);
    await worker.call("s", "tools/call", {
      name: "t",
      arguments: {},
      _meta: { progressToken: "p1" },
    });
    await worker.call("s", "tools/call", { name: "t", arguments: {} });
    const sent = worker.mcp.all
      .map(({ message }) => message)
      .filter(({ method }) => method !== undefined);
    expect(sent).toEqual([
      {
        jsonrpc: "2.0",
        method: "notifications/progress",
        params: { progress: 1, total: 2, message: "half", progressToken: "p1" },
      },
      { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "x" } },
      { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "x" } },
    ]);
  });

  it("passes a cancellation on as a signal, and does not answer the call", async () => {
    const worker = await serve(
      `{ callTool: (name, args, { signal }) => new Promise((resolve) => {
        logger.info("running");
        signal.addEventListener("abort", () => { logger.info("aborted", [signal.reason.name, signal.reason.message]); resolve("late"); });
      }) }`,
    );
    worker.sendMcp("s", { jsonrpc: "2.0", id: "c1", method: "tools/call", params: { name: "t" } });
    await worker.log(({ message }) => message === "running");
    worker.sendMcp("s", {
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: "c1", reason: "enough" },
    });
    expect((await worker.log(({ message }) => message === "aborted")).meta).toEqual([
      "AbortError",
      "enough",
    ]);
    await worker.call("s", "ping");
    expect(worker.mcp.all.some(({ message }) => message.id === "c1")).toBe(false);
  });

  it.each([
    [
      "a listener",
      `{ onToolsChanged(listener) { change = listener; }, listTools: () => [], callTool() { change(); return "ok"; } }`,
    ],
    [
      "an event emitter",
      `Object.assign(new (require("node:events"))(), { listTools: () => [{ name: "t" }], callTool() { this.emit("toolsChanged"); return "ok"; } })`,
    ],
  ])("announces changed tools through %s", async (_, expression) => {
    const worker = await serve(
      expression.replace("listTools: () => []", `listTools: () => [{ name: "t" }]`),
      "let change;",
    );
    expect((await worker.initialize("s")).result.capabilities).toEqual({
      tools: { listChanged: true },
    });
    await worker.call("s", "tools/call", { name: "t" });
    await worker.notification("s", "notifications/tools/list_changed");
  });

  it.each([
    ["only stop()", `{ stop() {} }`],
    ["nothing", `{}`],
    ["undefined", `undefined`],
    ["a number", `7`],
  ])("accepts an instance with %s: no tools", async (_, expression) => {
    const worker = await serve(expression);
    expect((await worker.call("s", "tools/list")).result).toEqual({ tools: [] });
    expect((await worker.call("s", "tools/call", { name: "t" })).result).toMatchObject({
      isError: true,
    });
  });

  it("says what the object says of itself", async () => {
    const worker = await serve(
      `{ name: "orders", version: "3.1", instructions: "ask first", listTools: () => [] }`,
    );
    expect((await worker.initialize("s")).result).toMatchObject({
      serverInfo: { name: "orders", version: "3.1" },
      instructions: "ask first",
    });
  });

  it("answers many calls at once, each with its own", async () => {
    const worker = await serve(ECHO);
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, index) =>
        worker.call("s", "tools/call", { name: "echo", arguments: { text: `t${index}` } }),
      ),
    );
    expect(answers.map(({ result }) => result.content[0].text)).toEqual(
      answers.map((_, index) => `t${index}`),
    );
  });
});
