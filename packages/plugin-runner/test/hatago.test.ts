/**
 * Hatago plugins on both of their runtimes: what they are given, what they are denied, and what they may register.
 * The same cases run on Node and on workerd.
 */
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { fetchFrom } from "./support/http-client.js";
import { type Message, oblige, type StartOptions, TestWorker } from "./support/test-worker.js";

const RUNTIMES = ["node", "workers"] as const;

type Runtime = (typeof RUNTIMES)[number];

const MANIFEST = {
  $schema: "https://hatago.dev/schemas/plugin.json",
  name: "@example/my-plugin",
  version: "1.0.0",
  description: "Example Hatago plugin",
  engines: { hatago: "^1.0.0", node: ">=18", workers: ">=2023-10-30" },
  capabilities: ["fetch", "kv", "logger"],
  entry: { node: "./dist/index.js", workers: "./dist/worker.js", default: "./dist/index.js" },
};

/** A plugin whose setup has the given body, which sees the host's parts and `context`. */
function plugin(
  runtime: Runtime,
  body: string,
  manifest: Record<string, unknown> = {},
  more: Partial<StartOptions> = {},
): StartOptions {
  const text = `export default function plugin(context) {
    return async (host) => { const { server, capabilities } = host; ${body} };
  }`;
  return module(runtime, text, manifest, more);
}

function module(
  runtime: Runtime,
  text: string,
  manifest: Record<string, unknown> = {},
  more: Partial<StartOptions> = {},
): StartOptions {
  return {
    format: "hatago",
    id: "my-plugin",
    capabilities: ["mcp"],
    entry: runtime === "node" ? "./dist/index.js" : "./dist/worker.js",
    files: {
      "hatago.plugin.json": JSON.stringify({ ...MANIFEST, ...manifest }),
      "package.json": '{"type":"module"}',
      [runtime === "node" ? "dist/index.js" : "dist/worker.js"]: text,
    },
    ...more,
  };
}

/** The sums of all that a worker reported. */
function reportedUses(asked: readonly Message[]): Record<string, object> {
  const sums: Record<string, { count: number; denied: number }> = {};
  for (const report of asked.filter(({ type }) => type === "reportUse")) {
    expect(typeof report.since).toBe("number");
    const uses = report.uses as { capability: string; count: number; denied: number }[];
    for (const { capability, count, denied } of uses) {
      const sum = (sums[capability] ??= { count: 0, denied: 0 });
      sum.count += count;
      sum.denied += denied;
    }
  }
  return sums;
}

/** A host that keeps texts, and everything that it was asked. */
function keeper() {
  const asked: Message[] = [];
  const kept = new Map<string, string>();
  const onRequest = async (request: Message, worker: TestWorker) => {
    asked.push(request);
    if (request.type === "kv") {
      if (request.op === "get") return { value: kept.get(request.key as string) ?? null };
      if (request.op === "set") kept.set(request.key as string, request.value as string);
      if (request.op === "delete") kept.delete(request.key as string);
      if (request.key === "full") throw new Error("the store is full");
    }
    return oblige(request, worker);
  };
  return { asked, kept, onRequest };
}

async function started(options: StartOptions, bind: Record<string, unknown> = {}) {
  const { asked, kept, onRequest } = keeper();
  const worker = await TestWorker.bound({ ...options, onRequest }, bind);
  await worker.hook("start");
  const call = async (name: string, args: object = {}, meta?: object) =>
    worker.call("mcp", "tools/call", {
      name,
      arguments: args,
      ...(meta === undefined ? {} : { _meta: meta }),
    });
  const text = async (name: string, args: object = {}) => {
    const { result } = await call(name, args);
    return result.content[0].text as string;
  };
  return { worker, asked, kept, call, text };
}

async function startFailure(options: StartOptions): Promise<any> {
  const worker = await TestWorker.bound(options);
  const failed = await worker.hook("start").catch((error: unknown) => error);
  return (failed as { error: unknown }).error;
}

describe.each(RUNTIMES)("on %s", { timeout: 60_000 }, (runtime) => {
  it("the document's plugin", async () => {
    const { worker, text } = await started(
      plugin(
        runtime,
        `const { logger, fetch } = capabilities;
        server.registerTool('my.tool', { title: 'My Tool', description: 'Example tool', inputSchema: {} }, async (args) => {
          logger.info('Tool called', { args });
          return { content: [{ type: 'text', text: 'Hello' }] };
        });`,
        { mcp: { tools: [{ name: "my.tool", title: "My Tool", description: "Example tool" }] } },
      ),
    );
    const { result } = await worker.call("mcp", "tools/list");
    expect(result.tools).toEqual([
      {
        name: "my.tool",
        title: "My Tool",
        description: "Example tool",
        inputSchema: { type: "object" },
      },
    ]);
    expect(await text("my.tool", { a: 1 })).toBe("Hello");
    expect(await worker.log(({ message }) => message === "Tool called")).toMatchObject({
      level: "info",
      meta: { args: { a: 1 } },
    });
  });

  it("gives the context and the allowed environment", async () => {
    const { text } = await started(
      plugin(
        runtime,
        `server.registerTool("seen", {}, () => JSON.stringify({ ...context, env: host.env }));`,
        {},
        { env: ["ALLOWED"] },
      ),
      { config: { tone: "warm" }, environment: { ALLOWED: "yes", OTHER: "no" } },
    );
    expect(JSON.parse(await text("seen"))).toEqual({
      manifest: MANIFEST,
      config: { tone: "warm" },
      runtime,
      tone: "warm",
      env: { ALLOWED: "yes" },
    });
  });

  it("the sample plugin", async () => {
    const root = fileURLToPath(new URL("../../../plugins/examples/hatago-hello/", import.meta.url));
    const entry = runtime === "node" ? "./src/index.js" : "./src/worker.js";
    const { call } = await started(
      { format: "hatago", root, entry },
      { config: { greeting: "Hi" } },
    );
    for (const times of [1, 2]) {
      const { result } = await call("hello", { name: "Ada" });
      expect(result.structuredContent).toEqual({ message: "Hi, Ada!", times, runtime });
    }
  });

  describe("capabilities", () => {
    it("that are not declared are denied, with the name, the capability and a hint", async () => {
      const error = await startFailure(plugin(runtime, `const { crypto } = capabilities;`));
      expect(error).toMatchObject({
        name: "CapabilityError",
        message: "the plugin does not declare the capability `crypto`",
        reason: "configuration",
        problems: [
          { at: "capabilities", hint: 'add "crypto" to "capabilities" in `hatago.plugin.json`' },
        ],
      });
    });

    it("that are not declared are denied within a call too, and the call says so", async () => {
      const { call } = await started(
        plugin(
          runtime,
          `server.registerTool("a", {}, () => {
          try { capabilities.timer } catch (error) { return JSON.stringify({ name: error.name, capability: error.capability, hint: error.hint }); }
        });
        server.registerTool("b", {}, () => capabilities.timer.setTimeout(() => {}, 1));`,
        ),
      );
      expect(JSON.parse((await call("a")).result.content[0].text)).toEqual({
        name: "CapabilityError",
        capability: "timer",
        hint: 'add "timer" to "capabilities" in `hatago.plugin.json`',
      });
      expect((await call("b")).result).toMatchObject({ isError: true });
    });

    it("that do not exist are denied by that name", async () => {
      const error = await startFailure(plugin(runtime, `capabilities.disk;`));
      expect(error).toMatchObject({
        name: "CapabilityError",
        message: "there is no capability `disk`",
      });
    });

    it("list what was declared", async () => {
      const { text } = await started(
        plugin(
          runtime,
          `server.registerTool("a", {}, () => Object.keys(capabilities).join() + ("kv" in capabilities) + ("timer" in capabilities));`,
        ),
      );
      expect(await text("a")).toBe("fetch,kv,loggertruefalse");
    });

    it("kv is kept by the host", async () => {
      const { asked, kept, call, text } = await started(
        plugin(
          runtime,
          `const { kv } = capabilities;
        server.registerTool("set", {}, async ({ key, value, ttl }) => { await kv.set(key, value, ttl); return "set"; });
        server.registerTool("get", {}, async ({ key }) => JSON.stringify(await kv.get(key)));
        server.registerTool("delete", {}, async ({ key }) => { await kv.delete(key); return "deleted"; });`,
        ),
      );
      expect(await text("get", { key: "a" })).toBe("null");
      expect(await text("set", { key: "a", value: "1", ttl: 60 })).toBe("set");
      expect(kept.get("a")).toBe("1");
      expect(await text("get", { key: "a" })).toBe('"1"');
      expect(await text("delete", { key: "a" })).toBe("deleted");
      expect(
        asked.filter(({ type }) => type === "kv").map(({ id: _id, type: _type, ...more }) => more),
      ).toEqual([
        { op: "get", key: "a" },
        { op: "set", key: "a", value: "1", ttlSeconds: 60 },
        { op: "get", key: "a" },
        { op: "delete", key: "a" },
      ]);
      const wrong = [
        [{ key: "full", value: "1" }, "the store is full"],
        [{ key: "", value: "1" }, "a key of `kv` must be a text"],
        [{ key: "a", value: 1 }, "the value of `kv.set` must be a text"],
        [{ key: "a", value: "1", ttl: 0.5 }, "a whole number of seconds above 0"],
        [{ key: "a", value: "x".repeat(1024 * 1024 + 1) }, "`kv` keeps at most 1048576"],
        [{ key: "k".repeat(513), value: "" }, "at most 512 bytes"],
      ] as const;
      for (const [args, message] of wrong) {
        const { result } = await call("set", args);
        expect(result.isError).toBe(true);
        expect(result.content[0].text).toContain(message);
      }
    });

    it("timer and crypto work", async () => {
      const { text } = await started(
        plugin(
          runtime,
          `const { timer, crypto } = capabilities;
          server.registerTool("wait", {}, () => new Promise((resolve) => {
            const never = timer.setTimeout(() => resolve("never"), 1); timer.clearTimeout(never);
            let ticks = 0; const every = timer.setInterval(() => { if (++ticks === 3) { timer.clearInterval(every); resolve("ticked"); } }, 1);
          }));
          server.registerTool("hash", {}, async () => {
            const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("a"));
            return [...new Uint8Array(digest)].slice(0, 2).join() + " " + crypto.randomUUID().length + " " + crypto.getRandomValues(new Uint8Array(4)).length;
          });`,
          { capabilities: ["timer", "crypto"] },
        ),
      );
      expect(await text("wait")).toBe("ticked");
      expect(await text("hash")).toBe("202,151 36 4");
    });

    it("fetch reaches the network only when it is declared", async () => {
      const server = createServer((req, res) => {
        let body = "";
        req.on("data", (chunk: Buffer) => (body += chunk.toString()));
        req.on("end", () => res.end(`${String(req.method)} ${String(req.url)} ${body}`));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      onTestFinished(() => void server.close());
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
      const body = `server.registerTool("own", {}, async ({ url }) => (await capabilities.fetch(url, { method: "POST", body: "b" })).text());
        server.registerTool("global", {}, async ({ url }) => { const answer = await fetch(url); if (!answer.ok) throw new Error(await answer.text()); return answer.text(); });`;
      const allowed = await started(plugin(runtime, body));
      expect(await allowed.text("own", { url })).toBe("POST /x b");
      expect(await allowed.text("global", { url })).toBe("GET /x ");
      const denied = await started(plugin(runtime, body, { capabilities: [] }));
      for (const tool of ["own", "global"]) {
        const { result } = await denied.call(tool, { url });
        expect(result.isError).toBe(true);
        expect(result.content[0].text).toContain("does not declare the capability `fetch`");
      }
    });

    it("are counted, and reported together", async () => {
      const { worker, asked, text, call } = await started(
        plugin(
          runtime,
          `server.registerTool("use", {}, async () => { capabilities.logger.info("a"); await capabilities.kv.get("a"); return "used"; });
          server.registerTool("deny", {}, () => { capabilities.timer; });`,
        ),
      );
      await text("use");
      await text("use");
      await call("deny");
      worker.send({ type: "shutdown", deadlineMs: 10_000 });
      await worker.exited;
      expect(reportedUses(asked)).toEqual({
        kv: { count: 2, denied: 0 },
        logger: { count: 2, denied: 0 },
        timer: { count: 0, denied: 1 },
      });
    });

    it("are reported soon, while the worker goes on", async () => {
      const { asked, text } = await started(
        plugin(
          runtime,
          `server.registerTool("use", {}, async () => { await capabilities.kv.get("a"); return "used"; });`,
        ),
      );
      for (const count of [1, 2]) {
        await text("use");
        await vi.waitFor(() => expect(reportedUses(asked)).toEqual({ kv: { count, denied: 0 } }), {
          timeout: 5_000,
        });
      }
    });
  });

  describe("tools", () => {
    it("have their arguments and results checked", async () => {
      const { worker, call } = await started(
        plugin(
          runtime,
          `const inputSchema = { type: "object", properties: { n: { type: "number", minimum: 1 } }, required: ["n"] };
          const outputSchema = { type: "object", properties: { doubled: { type: "number" } }, required: ["doubled"] };
          server.registerTool("double", { inputSchema, outputSchema, annotations: { readOnlyHint: true } }, ({ n }) =>
            n === 13 ? { structuredContent: { doubled: "bad luck" } } : n === 14 ? "nothing" : { structuredContent: { doubled: n * 2 } });`,
        ),
      );
      const { result } = await worker.call("mcp", "tools/list");
      expect(result.tools[0]).toMatchObject({
        annotations: { readOnlyHint: true },
        outputSchema: { required: ["doubled"] },
      });
      expect((await call("double", { n: 4 })).result).toEqual({
        content: [{ type: "text", text: '{"doubled":8}' }],
        structuredContent: { doubled: 8 },
      });
      expect((await call("double", { n: 0 })).error).toMatchObject({ code: -32602 });
      expect((await call("double", {})).error.message).toContain(
        "arguments of the tool `double` are wrong",
      );
      expect((await call("double", { n: 13 })).result).toMatchObject({ isError: true });
      expect((await call("double", { n: 13 })).result.content[0].text).toContain(
        "does not match its schema",
      );
      expect((await call("double", { n: 14 })).result.content[0].text).toContain(
        "gave no structured content",
      );
      expect((await call("none")).error).toEqual({ code: -32602, message: "unknown tool: none" });
    });

    it("that throw give a result that says so, and the plugin lives", async () => {
      const { text, call } = await started(
        plugin(
          runtime,
          `server.registerTool("a", {}, ({ fail }) => { if (fail) throw new Error("no luck"); return "fine"; });`,
        ),
      );
      expect((await call("a", { fail: true })).result).toEqual({
        content: [{ type: "text", text: "no luck" }],
        isError: true,
      });
      expect(await text("a")).toBe("fine");
    });

    it("report progress", async () => {
      const { worker, call } = await started(
        plugin(
          runtime,
          `server.registerTool("slow", {}, async (args, extra) => {
          await extra.sendProgress({ progress: 1, total: 2 });
          await extra.sendNotification({ method: "notifications/progress", params: { progress: 2, total: 2, progressToken: extra._meta?.progressToken } });
          return "done";
        });`,
        ),
      );
      const answer = await call("slow", {}, { progressToken: "p" });
      expect(answer.result.content[0].text).toBe("done");
      for (const progress of [1, 2]) {
        const { params } = await worker.notification("mcp", "notifications/progress");
        expect(params).toEqual({ progress, total: 2, progressToken: "p" });
      }
    });

    it("may be registered and taken back later", async () => {
      const { worker, text } = await started(
        plugin(
          runtime,
          `server.registerTool("add", {}, () => { const added = server.registerTool("late", {}, () => { added.remove(); return "gone"; }); return "added"; });`,
        ),
      );
      const names = async () =>
        (await worker.call("mcp", "tools/list")).result.tools.map(
          ({ name }: { name: string }) => name,
        );
      expect(await text("add")).toBe("added");
      await worker.notification("mcp", "notifications/tools/list_changed");
      expect(await names()).toEqual(["add", "late"]);
      expect(await text("late")).toBe("gone");
      expect(await names()).toEqual(["add"]);
    });

    it.each([
      [`server.registerTool("", {}, () => {})`, "the name of a tool must be a text"],
      [`server.registerTool("a", {})`, "the tool `a` needs a function"],
      [
        `server.registerTool("a", {}, () => {}); server.registerTool("a", {}, () => {})`,
        "the tool `a` is registered twice",
      ],
      [
        `server.registerTool("a", { inputSchema: 7 }, () => {})`,
        "the input schema of the tool `a` is not an object",
      ],
      [
        `server.registerTool("a", { inputSchema: { $ref: "https://example.com/s.json" } }, () => {})`,
        "refers to another document: `https://example.com/s.json`",
      ],
    ])("that are wrong are refused: %s", async (body, message) => {
      expect((await startFailure(plugin(runtime, body))).message).toContain(message);
    });
  });

  it("resources and prompts", async () => {
    const { worker } = await started(
      plugin(
        runtime,
        `server.registerResource("readme", "notes://readme", { title: "Read me", mimeType: "text/plain" }, (uri) => ({ contents: [{ uri: uri.href, text: "hi" }] }));
        server.registerResource("note", "notes://by-id/{id}", {}, (uri, { id }) => ({ contents: [{ uri: uri.href, text: id }] }));
        server.registerPrompt("greet", { title: "Greet", argsSchema: { type: "object", properties: { name: { type: "string", description: "Who" } }, required: ["name"] } },
          ({ name }) => ({ messages: [{ role: "user", content: { type: "text", text: "Hello " + name } }] }));`,
      ),
    );
    const ask = async (method: string, params?: object) => {
      const { result, error } = await worker.call("mcp", method, params);
      return result ?? error;
    };
    expect(await ask("resources/list")).toEqual({
      resources: [
        { uri: "notes://readme", name: "readme", title: "Read me", mimeType: "text/plain" },
      ],
    });
    expect((await ask("resources/templates/list")).resourceTemplates).toEqual([
      { uriTemplate: "notes://by-id/{id}", name: "note" },
    ]);
    expect((await ask("resources/read", { uri: "notes://readme" })).contents[0].text).toBe("hi");
    expect((await ask("resources/read", { uri: "notes://by-id/a%20b" })).contents[0].text).toBe(
      "a b",
    );
    expect((await ask("resources/read", { uri: "notes://none" })).code).toBe(-32002);
    expect((await ask("prompts/list")).prompts).toEqual([
      {
        name: "greet",
        title: "Greet",
        arguments: [{ name: "name", description: "Who", required: true }],
      },
    ]);
    expect(
      (await ask("prompts/get", { name: "greet", arguments: { name: "Ada" } })).messages[0].content
        .text,
    ).toBe("Hello Ada");
    expect((await ask("prompts/get", { name: "greet", arguments: {} })).code).toBe(-32602);
    expect((await ask("unknown/method")).code).toBe(-32601);
  });

  it("HTTP routes by a Hono application", async () => {
    const { worker, asked } = await started(
      plugin(
        runtime,
        `host.app.get("/hello/:name", (c) => c.json({ name: c.req.param("name"), q: c.req.query("q"), base: host.getBaseUrl(c.req.raw) }));
        host.app.post("/echo", async (c) => c.text(await c.req.text(), 201, { "x-a": "b" }));`,
      ),
    );
    expect(asked.filter(({ type }) => type === "updateRegistration")).toMatchObject([
      {
        registration: {
          routes: [
            { method: "GET", path: "/hello/:name" },
            { method: "POST", path: "/echo" },
          ],
        },
      },
    ]);
    const outside = "https://hay.example/v1/plugins/my-plugin/hello/Ada?q=1";
    const hello = await fetchFrom(worker.socketPath, {
      path: "/hello/Ada?q=1",
      headers: { "x-original-url": outside },
    });
    expect(JSON.parse(hello.body)).toEqual({
      name: "Ada",
      q: "1",
      base: "https://hay.example/v1/plugins/my-plugin",
    });
    for (const type of ["application/json", "application/octet-stream"]) {
      const echo = await fetchFrom(worker.socketPath, {
        method: "POST",
        path: "/echo",
        body: '{"a":1}',
        headers: { "content-type": type },
      });
      expect([echo.status, echo.body, echo.headers["x-a"]]).toEqual([201, '{"a":1}', "b"]);
    }
    expect((await fetchFrom(worker.socketPath, { path: "/none" })).status).toBe(404);
  });

  it("new settings give a new start, and the old one is disposed of", async () => {
    const { worker, text } = await started(
      module(
        runtime,
        `let disposed = 0; export default ({ config }) => ({ server }) => {
          server.registerTool("seen", {}, () => config.tone + " " + disposed);
          return { dispose() { disposed += 1; } };
        };`,
      ),
      { config: { tone: "warm" } },
    );
    expect(await text("seen")).toBe("warm 0");
    await worker.hook("configUpdate", { config: { tone: "cold" } });
    expect(await text("seen")).toBe("cold 1");
  });

  it("disposes when it is disabled and when the worker ends", async () => {
    const options = module(
      runtime,
      `export default () => ({ capabilities }) => () => { capabilities.logger.info("disposed"); };`,
    );
    const disabled = await started(options);
    await disabled.worker.hook("disable");
    await disabled.worker.log(({ message }) => message === "disposed");
    const ended = await started(options);
    ended.worker.send({ type: "shutdown", deadlineMs: 10_000 });
    await ended.worker.log(({ message }) => message === "disposed");
    expect((await ended.worker.exited).code).toBe(0);
  });

  it("warns where the manifest announces other tools", async () => {
    const { worker } = await started(
      plugin(runtime, `server.registerTool("b", {}, () => "");`, {
        mcp: { tools: [{ name: "a" }] },
      }),
    );
    await worker.log(({ message }) => message === "declared and not registered: a");
    await worker.log(({ message }) => message === "registered and not declared: b");
  });

  describe("is refused at load", () => {
    const refusal = async (options: StartOptions) =>
      ((await TestWorker.warm(options).catch((error: unknown) => error)) as { error: any }).error;

    it("with a capability that does not exist, and with engines that this is not", async () => {
      const error = await refusal(
        plugin(runtime, "", {
          capabilities: ["fetch", "disk"],
          engines: { hatago: "^2.0.0", node: ">=99", workers: ">=2099-01-01" },
        }),
      );
      expect(error.reason).toBe("configuration");
      expect(error.problems.map(({ at }: { at: string }) => at)).toEqual([
        "capabilities[1]",
        "engines.hatago",
        runtime === "node" ? "engines.node" : "engines.workers",
      ]);
    });

    it("with engines that are no ranges", async () => {
      const engines = { hatago: "newest", node: "x.y", workers: "yesterday" };
      const error = await refusal(plugin(runtime, "", { engines }));
      expect(error.problems).toHaveLength(2);
    });

    it("without its entry, and without a default function", async () => {
      const gone = { ...plugin(runtime, ""), entry: "./dist/none.js" };
      expect((await refusal(gone)).message).toContain("does not exist");
      expect((await refusal(module(runtime, "export default 7;"))).message).toContain(
        "default export that is a function",
      );
      expect((await refusal(module(runtime, "export default (;"))).message).toMatch(
        /syntax|does not load/i,
      );
    });
  });

  it("fails to start with a setup that throws, and says what it threw", async () => {
    expect(
      await startFailure(plugin(runtime, `throw new TypeError("no such thing");`)),
    ).toMatchObject({
      name: "TypeError",
      message: "no such thing",
    });
    expect((await startFailure(module(runtime, "export default () => 7;"))).message).toBe(
      "the plugin must be a function, but is number",
    );
  });
});

describe("on workers", { timeout: 60_000 }, () => {
  it("no socket leads around the capability `fetch`", async () => {
    let connections = 0;
    const server = createTcpServer((socket) => {
      connections += 1;
      socket.end("hi");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const { call } = await started(
      module(
        "workers",
        `import { connect } from "cloudflare:sockets";
        export default () => ({ server }) => server.registerTool("connect", {}, async ({ port }) => { await connect("127.0.0.1:" + port).opened; return "open"; });`,
        { capabilities: [] },
      ),
    );
    expect((await call("connect", { port })).result.isError).toBe(true);
    expect(connections).toBe(0);
  });

  it.each(["the host is gone", "the worker is shut down"])("workerd ends when %s", async (how) => {
    const { worker } = await started(plugin("workers", ""));
    const group = -Number(worker.process.pid);
    if (how === "the host is gone") worker.channel.destroy();
    else worker.send({ type: "shutdown", deadlineMs: 10_000 });
    await worker.exited;
    await vi.waitFor(() => {
      expect(() => process.kill(group, 0)).toThrow("ESRCH");
    }, 10_000);
  });

  it("no binding leads around the capability `kv`", async () => {
    const { asked, call } = await started(
      module(
        "workers",
        `import { env } from "cloudflare:workers";
        export default () => ({ server }) => server.registerTool("get", {}, async () => (await env.HOST.fetch("http://host/kv/get", { method: "POST", body: '["a"]' })).text());`,
        { capabilities: [] },
      ),
    );
    expect((await call("get")).result.content[0].text).toContain(
      "does not declare the capability `kv`",
    );
    expect(asked.filter(({ type }) => type === "kv")).toEqual([]);
  });
});

describe("on node", () => {
  it("takes schemas of Zod, new and old, whole or as a shape", async () => {
    const { worker, call } = await started(
      plugin(
        "node",
        `const { z } = await import("zod"); const { z: old } = await import("zod/v3");
        server.registerTool("shape", { inputSchema: { name: z.string().describe("Who"), count: z.number().default(2) } }, (args) => JSON.stringify(args));
        server.registerTool("whole", { inputSchema: z.object({ tags: z.array(z.string()).optional() }) }, (args) => JSON.stringify(args));
        server.registerTool("old", { inputSchema: { kind: old.enum(["a", "b"]), when: old.coerce.number().int().optional(), more: old.object({ x: old.string().nullable() }) } }, (args) => JSON.stringify(args));`,
      ),
    );
    const { result } = await worker.call("mcp", "tools/list");
    const schemas = Object.fromEntries(
      result.tools.map((tool: any) => [tool.name, tool.inputSchema]),
    );
    expect(schemas.shape).toEqual({
      type: "object",
      properties: {
        name: { type: "string", description: "Who" },
        count: { type: "number", default: 2 },
      },
      required: ["name"],
    });
    expect(schemas.whole).toMatchObject({
      type: "object",
      properties: { tags: { type: "array", items: { type: "string" } } },
    });
    expect(schemas.old).toEqual({
      type: "object",
      properties: {
        kind: { enum: ["a", "b"] },
        when: { type: "integer" },
        more: {
          type: "object",
          properties: { x: { anyOf: [{ type: "string" }, { type: "null" }] } },
          required: ["x"],
        },
      },
      required: ["kind", "more"],
    });
    expect((await call("shape", { name: "Ada" })).result.content[0].text).toBe(
      '{"name":"Ada","count":2}',
    );
    expect((await call("shape", {})).error).toMatchObject({ code: -32602 });
    expect((await call("old", { kind: "c", more: { x: null } })).error.message).toContain("kind:");
    expect(
      (await call("old", { kind: "a", when: "3", more: { x: null } })).result.content[0].text,
    ).toBe('{"kind":"a","when":3,"more":{"x":null}}');
  });

  it("ends a call that the caller gave up", async () => {
    const { worker } = await started(
      plugin(
        "node",
        `server.registerTool("wait", {}, (args, { signal }) => new Promise((resolve) => {
        signal.addEventListener("abort", () => { capabilities.logger.info("aborted " + signal.reason.message); resolve("late"); });
        capabilities.logger.info("waiting");
      }));`,
      ),
    );
    worker.sendMcp("mcp", {
      jsonrpc: "2.0",
      id: "x",
      method: "tools/call",
      params: { name: "wait" },
    });
    await worker.log(({ message }) => message === "waiting");
    worker.sendMcp("mcp", {
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: "x", reason: "enough" },
    });
    await worker.log(({ message }) => message === "aborted enough");
    expect((await worker.call("mcp", "ping")).result).toEqual({});
  });
});
