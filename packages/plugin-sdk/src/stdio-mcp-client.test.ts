import { createRequire } from "node:module";
import path from "node:path";

import { afterEach, describe, expect, it, vi } from "vitest";

import { createLogger } from "./logger.js";
import { StdioMcpClient, StdioMcpError, type StdioMcpClientOptions } from "./stdio-mcp-client.js";

const require = createRequire(import.meta.url);
const everything = path.join(
  path.dirname(require.resolve("@modelcontextprotocol/server-everything/package.json")),
  "dist/index.js",
);

const clients: StdioMcpClient[] = [];

function client(options: Partial<StdioMcpClientOptions> = {}): StdioMcpClient {
  const made = new StdioMcpClient({ command: process.execPath, ...options });
  clients.push(made);
  return made;
}

/** A server whose reaction to each message is the given body of a function of `message` and `reply`. */
function scripted(body: string, options: Partial<StdioMcpClientOptions> = {}): StdioMcpClient {
  const source = `
    const reply = (id, result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
    const say = (message) => console.log(JSON.stringify({ jsonrpc: "2.0", ...message }));
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const message = JSON.parse(line);
      if (message.method === "initialize") return reply(message.id, { capabilities: {} });
      ${body}
    });`;
  return client({ args: ["-e", source], ...options });
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((one) => one.stop()));
});

describe("with the real `server-everything`", () => {
  it("lists and calls tools", async () => {
    const server = client({ args: [everything, "stdio"] });
    const tools = await server.listTools();
    expect(tools.map(({ name }) => name)).toContain("echo");
    expect(tools.find(({ name }) => name === "echo")?.inputSchema).toMatchObject({
      type: "object",
    });
    await expect(server.callTool("echo", { message: "hello" })).resolves.toMatchObject({
      content: [{ type: "text", text: "Echo: hello" }],
    });
    const calls = [1, 2, 3].map((n) => server.callTool("get-sum", { a: n, b: n }));
    const sums = await Promise.all(calls);
    expect(sums.map(({ content }) => content[0]?.text)).toEqual([
      expect.stringContaining("2"),
      expect.stringContaining("4"),
      expect.stringContaining("6"),
    ]);
  });

  it("starts again after a stop", async () => {
    const server = client({ args: [everything, "stdio"] });
    await server.start();
    await server.stop();
    await expect(server.callTool("echo", { message: "again" })).resolves.toBeDefined();
  });
});

describe("with servers that misbehave", () => {
  it("says which program could not be started, and tries again", async () => {
    const server = client({ command: "/no/such/program" });
    for (const _ of [1, 2]) {
      await expect(server.start()).rejects.toThrow(
        /^the MCP server `\/no\/such\/program` could not be started: .*ENOENT/,
      );
    }
  });

  it("says in which folder, since that may be what is missing", async () => {
    const server = client({ args: ["-e", ""], cwd: "/no/such/folder" });
    await expect(server.start()).rejects.toThrow("could not be started in `/no/such/folder`");
  });

  it("rejects what waits when the server ends, and starts it anew for the next call", async () => {
    const server = scripted(`
      if (message.params?.name === "die") process.exit(3);
      if (message.method === "tools/call") reply(message.id, { content: [] });`);
    const waiting = server.request("some/thing");
    const dying = server.callTool("die");
    await expect(dying).rejects.toThrow("ended with code 3");
    await expect(waiting).rejects.toThrow(StdioMcpError);
    await expect(server.callTool("live")).resolves.toEqual({ content: [] });
  });

  it("gives up on an answer in time, and tells the server", async () => {
    const lines: string[] = [];
    const server = scripted(
      `if (message.method === "notifications/cancelled") console.error("cancelled " + message.params.requestId);`,
      { timeout: 300, logger: createLogger((line) => lines.push(line)) },
    );
    await expect(server.callTool("slow")).rejects.toThrow(
      "did not answer `tools/call` within 300 ms",
    );
    await vi.waitFor(() => {
      expect(lines.join()).toContain("cancelled 2");
    });
  });

  it("passes a refusal on", async () => {
    const server = scripted(
      `say({ id: message.id, error: { code: -32602, message: "no such tool", data: { a: 1 } } });`,
    );
    const error: unknown = await server.callTool("nope").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(StdioMcpError);
    expect(error).toMatchObject({ code: -32602, data: { a: 1 } });
    expect((error as Error).message).toContain("refused `tools/call`: no such tool");
  });

  it("reads past banners, notifications and unknown answers", async () => {
    const server = scripted(`
      console.log("Welcome!"); console.log("{}"); console.log("null");
      say({ method: "notifications/message", params: {} }); say({ id: 999, result: {} });
      if (message.id) reply(message.id, { tools: [] });`);
    await expect(server.listTools()).resolves.toEqual([]);
  });

  it("follows pages, but not in a circle", async () => {
    const paged = scripted(`
      const next = { undefined: "b", b: "c" }[message.params?.cursor];
      if (message.id) reply(message.id, { tools: [{ name: String(message.params.cursor) }], nextCursor: next });`);
    const tools = await paged.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["undefined", "b", "c"]);
    const circle = scripted(
      `if (message.id) reply(message.id, { tools: [], nextCursor: "same" });`,
    );
    await expect(circle.listTools()).rejects.toThrow("again and again");
  });

  it("answers `ping` and refuses what it did not offer", async () => {
    const server = scripted(`
      if (message.method === "tools/list") { globalThis.pending = message.id; say({ id: "p", method: "ping" }); }
      if (message.id === "p") { globalThis.got = message; say({ id: "r", method: "roots/list" }); }
      if (message.id === "r") reply(pending, { tools: [{ name: JSON.stringify([got, message]) }] });`);
    const [tool] = await server.listTools();
    expect(JSON.parse(tool?.name ?? "")).toEqual([
      { jsonrpc: "2.0", id: "p", result: {} },
      { jsonrpc: "2.0", id: "r", error: { code: -32601, message: expect.any(String) as string } },
    ]);
  });

  it("reads text that is cut in the middle of a letter", async () => {
    const server = scripted(`
      if (!message.id) return;
      const bytes = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: { tools: [{ name: "é" }] } }) + "\\n");
      const cut = bytes.indexOf(0xc3) + 1;
      process.stdout.write(bytes.subarray(0, cut), () => setImmediate(() => process.stdout.write(bytes.subarray(cut))));`);
    await expect(server.listTools()).resolves.toEqual([{ name: "é" }]);
  });

  it(
    "ends a server that ignores the end of its input and SIGTERM",
    { timeout: 20_000 },
    async () => {
      const server = scripted(`
      process.on("SIGTERM", () => {});
      setInterval(() => {}, 1000);
      if (message.id) reply(message.id, { content: [{ type: "text", text: String(process.pid) }] });`);
      const { content } = await server.callTool("pid");
      const pid = Number(content[0]?.text);
      expect(isAlive(pid)).toBe(true);
      await server.stop();
      expect(isAlive(pid)).toBe(false);
    },
  );
});

it("passes on no more of the environment than is meant for it", async () => {
  vi.stubEnv("HAY_API_TOKEN", "canary");
  const server = scripted(
    `if (message.id) reply(message.id, { content: [{ type: "text", text: JSON.stringify(process.env) }] });`,
    { env: { SHOP_KEY: "k" } },
  );
  const { content } = await server.callTool("env");
  vi.unstubAllEnvs();
  const environment = JSON.parse(content[0]?.text ?? "") as Record<string, string>;
  expect(environment.SHOP_KEY).toBe("k");
  expect(environment.PATH).toBe(process.env.PATH);
  expect(environment).not.toHaveProperty("HAY_API_TOKEN");
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
