/** What the routes of a worker do beyond what Express does. */
import { Agent, request } from "node:http";
import { createConnection } from "node:net";
import { createHmac } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { routesPlugin, type TwinRoute } from "./support/express-twin.js";
import { fetchFrom, type RequestOptions } from "./support/http-client.js";
import { NODES } from "./support/nodes.js";
import { type StartOptions, TestWorker } from "./support/test-worker.js";

async function serve(routes: TwinRoute[], options: StartOptions = {}) {
  const worker = await TestWorker.bound({ plugin: routesPlugin(routes), ...options });
  return { worker, ask: (asked: RequestOptions) => fetchFrom(worker.socketPath, asked) };
}

const post = (handler: string): TwinRoute => ({ method: "POST", path: "/r", handler });
const get = (handler: string): TwinRoute => ({ method: "GET", path: "/r", handler });

describe.each(NODES)("routes on Node $version", ({ binary: node }) => {
  it("give the exact bytes of a body, for a signature", async () => {
    const { ask } = await serve(
      [
        post(`(req, res) => {
          const hmac = require("node:crypto").createHmac("sha256", "k").update(req.rawBody).digest("hex");
          res.json({ valid: hmac === req.get("x-signature"), length: req.rawBody.length, body: req.body });
        }`),
      ],
      { node },
    );
    const bodies = [
      ["application/json", Buffer.from('{ "a":  1.0,\r\n "é": "\\u00e9" }'), { a: 1, é: "é" }],
      ["application/x-www-form-urlencoded", Buffer.from("b=%20+&a=1"), { b: "  ", a: "1" }],
      ["text/plain", Buffer.from([0xff, 0xfe, 0x00, 0x41]), {}],
      ["application/xml", Buffer.from("<a/>"), {}],
      ["application/cloudevents+json", Buffer.from("{}"), {}],
      [
        "application/json",
        Buffer.from(`{"pad":"${"x".repeat(1_000_000)}"}`),
        { pad: "x".repeat(1_000_000) },
      ],
    ] as const;
    for (const [type, bytes, body] of bodies) {
      const signature = createHmac("sha256", "k").update(bytes).digest("hex");
      for (const framing of [
        { "content-length": String(bytes.length) },
        { "transfer-encoding": "chunked", "content-length": [] },
      ]) {
        const answer = await ask({
          method: "POST",
          path: "/r",
          headers: { "content-type": type, "x-signature": signature, ...framing },
          body: bytes,
        });
        expect(JSON.parse(answer.body)).toEqual({ valid: true, length: bytes.length, body });
      }
    }
    const zipped = gzipSync('{"a":1}');
    const signature = createHmac("sha256", "k").update(zipped).digest("hex");
    const answer = await ask({
      method: "POST",
      path: "/r",
      headers: {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "x-signature": signature,
      },
      body: zipped,
    });
    expect(JSON.parse(answer.body)).toEqual({ valid: true, length: zipped.length, body: { a: 1 } });
  });

  it("leave the stream of a body that was held readable", async () => {
    const { ask } = await serve(
      [
        post(
          `async (req, res) => { let text = ""; req.setEncoding("utf8"); for await (const part of req) text += part; res.json([text === req.rawBody.toString(), req.body.pad.length]); }`,
        ),
      ],
      { node },
    );
    const answer = await ask({
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ pad: "é".repeat(400_000) }),
    });
    expect(JSON.parse(answer.body)).toEqual([true, 400_000]);
  });

  it("hand uploads over while they arrive", async () => {
    const { worker } = await serve(
      [
        post(
          `(req, res) => { res.write(JSON.stringify([req.rawBody ?? null, req.body])); req.on("data", (part) => res.write(part)); req.on("end", () => res.end()); }`,
        ),
      ],
      { node },
    );
    const req = request({
      socketPath: worker.socketPath,
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/octet-stream" },
    });
    req.flushHeaders();
    const answered = await new Promise<AsyncIterator<Buffer>>((resolve) => {
      req.once("response", (res) => {
        resolve(res[Symbol.asyncIterator]() as AsyncIterator<Buffer>);
      });
    });
    expect(String((await answered.next()).value)).toBe("[null,{}]");
    // Each part comes back before the next one is sent.
    for (const part of ["one", "two"]) {
      req.write(part);
      expect(String((await answered.next()).value)).toBe(part);
    }
    req.end();
    expect((await answered.next()).done).toBe(true);
  });

  it("do not load HTTP before somebody connects", async () => {
    const plugin = `return { name: "Quiet", onStart({ logger }) { logger.info("http", process.moduleLoadList.includes("NativeModule _http_server")); } };`;
    const worker = await TestWorker.bound({ node, plugin });
    const loaded = async () => {
      await worker.hook("start");
      return (await worker.log(({ message }) => message === "http")).meta;
    };
    expect(await loaded()).toBe(false);
    expect(await fetchFrom(worker.socketPath, { path: "/health" })).toMatchObject({
      status: 200,
      body: '{"status":"ok"}',
    });
    expect(await loaded()).toBe(true);
  });

  it("keep a connection open, and many requests on it apart", async () => {
    const { ask } = await serve([post(`(req, res) => res.json(req.body)`)], { node });
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        ask({
          method: "POST",
          path: "/r",
          headers: { "content-type": "application/json" },
          body: `{"i":${index}}`,
          agent,
        }),
      ),
    );
    expect(answers.map(({ body }) => body)).toEqual(answers.map((_, index) => `{"i":${index}}`));
    // Without a timeout there is none to announce.
    expect(answers[0]?.headers["keep-alive"]).toBeUndefined();
    agent.destroy();
  });

  it("let running requests end before the worker does", async () => {
    const { worker, ask } = await serve(
      [
        get(
          `(req, res) => { req.app; console.log("asked"); process.once("SIGUSR2", () => res.send("done")); }`,
        ),
      ],
      { node },
    );
    const answer = ask({ path: "/r" });
    await worker.stdout.next((line) => line === "asked");
    worker.send({ type: "shutdown", deadlineMs: 20_000 });
    worker.send({ type: "ping", nonce: 1 });
    await worker.control.next(({ type }) => type === "pong");
    worker.process.kill("SIGUSR2");
    expect((await answer).body).toBe("done");
    expect(await worker.exited).toEqual({ code: 0, signal: null });
  });
});

describe("routes", () => {
  it.each([
    [
      "an unknown path",
      { path: "/absent" },
      404,
      "Not Found",
      "no route for GET /absent",
      undefined,
    ],
    [
      "an unknown method",
      { method: "DELETE", path: "/r" },
      405,
      "Method Not Allowed",
      "the path has no DELETE",
      "GET, HEAD, POST",
    ],
    [
      "a bad escape",
      { path: "/p/%zz" },
      400,
      "Bad Request",
      "the path has an escape that cannot be decoded",
      undefined,
    ],
    [
      "broken JSON",
      { method: "POST", path: "/r", headers: { "content-type": "application/json" }, body: "{" },
      400,
      "Bad Request",
      "the body is not valid JSON",
      undefined,
    ],
    [
      "a fault of the handler",
      { path: "/throw" },
      500,
      "Internal Server Error",
      undefined,
      undefined,
    ],
    [
      "a refusal of the handler",
      { path: "/refuse" },
      402,
      "Payment Required",
      "pay first",
      undefined,
    ],
  ])("answer %s with problem details", async (_, asked, status, title, detail, allow) => {
    const { worker, ask } = await serve([
      get(`(req, res) => res.send("x")`),
      post(`(req, res) => { console.log("handled"); res.send("x"); }`),
      { method: "GET", path: "/p/:id", handler: `(req, res) => res.send("x")` },
      { method: "GET", path: "/throw", handler: `() => { throw new Error("secret detail"); }` },
      {
        method: "GET",
        path: "/refuse",
        handler: `(req, res, next) => next(Object.assign(new Error("pay first"), { status: 402, headers: { "X-Price": "1" } }))`,
      },
    ]);
    const answer = await ask(asked);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(answer.headers.allow).toBe(allow);
    expect(JSON.parse(answer.body)).toEqual({
      type: "about:blank",
      title,
      status,
      ...(detail === undefined ? {} : { detail }),
    });
    if (status === 402) expect(answer.headers["x-price"]).toBe("1");
    if (status === 500) {
      const entry = await worker.log(({ level }) => level === "error");
      expect(entry.message).toBe("route `GET /throw` failed: secret detail");
    }
    expect(worker.stdout.all).not.toContain("handled");
  });

  it("refuse a body that inflates without end", async () => {
    const { ask } = await serve([post(`(req, res) => res.send("x")`)]);
    const bomb = gzipSync(Buffer.alloc(50_000_000, " "));
    const answer = await ask({
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: bomb,
    });
    expect(answer.status).toBe(413);
  });

  it.each([
    [
      "its own",
      [{ method: "GET", path: "/health", handler: `(req, res) => res.json({ mine: true })` }],
      200,
      '{"mine":true}',
    ],
    ["the built-in one", [get(`(req, res) => res.send("x")`)], 200, '{"status":"ok"}'],
  ])("have a health answer: %s", async (_, routes, status, body) => {
    const { ask } = await serve(routes);
    expect(await ask({ path: "/health" })).toMatchObject({ status, body });
  });

  it("know the address that the outside used", async () => {
    const { ask } = await serve([
      get(
        `(req, res) => res.json([req.originalUrl, req.url, req.path, req.protocol, req.secure, req.host, req.hostname, req.ip ?? null, req.ips])`,
      ),
    ]);
    const seen = async (headers: Record<string, string>) =>
      JSON.parse((await ask({ path: "/r?a=1", headers })).body) as unknown;
    expect(await seen({})).toEqual([
      "/r?a=1",
      "/r?a=1",
      "/r",
      "http",
      false,
      "plugin.test:8080",
      "plugin.test",
      null,
      [],
    ]);
    expect(
      await seen({
        "x-original-url": "https://hay.example:444/v1/plugins/p/r?a=1&organizationId=o",
        "x-forwarded-for": "192.0.2.1, 10.0.0.1",
      }),
    ).toEqual([
      "/v1/plugins/p/r?a=1&organizationId=o",
      "/r?a=1",
      "/r",
      "https",
      true,
      "hay.example:444",
      "hay.example",
      "192.0.2.1",
      ["192.0.2.1", "10.0.0.1"],
    ]);
    expect(
      await seen({
        "x-original-url": "/v1/plugins/p/r?a=1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "h.example",
      }),
    ).toEqual([
      "/v1/plugins/p/r?a=1",
      "/r?a=1",
      "/r",
      "https",
      true,
      "h.example",
      "h.example",
      null,
      [],
    ]);
  });

  it("break the connection when a handler fails after it began to answer", async () => {
    const { ask } = await serve([
      get(`(req, res) => { res.write("half"); throw new Error("x"); }`),
    ]);
    await expect(ask({ path: "/r" })).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("survive a client that goes away, in the request and in the answer", async () => {
    const { worker, ask } = await serve([
      post(`(req, res) => { console.log("never"); res.send("x"); }`),
      get(`(req, res) => { res.write("first"); res.on("close", () => console.log("closed")); }`),
    ]);
    const upload = createConnection(worker.socketPath);
    upload.write(
      "POST /r HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    upload.destroySoon();
    const download = request({ socketPath: worker.socketPath, path: "/r" }, (res) => {
      res.once("data", () => download.destroy());
    });
    download.on("error", () => undefined);
    download.end();
    await worker.stdout.next((line) => line === "closed");
    expect((await ask({ path: "/health" })).status).toBe(200);
    expect(worker.stdout.all).not.toContain("never");
  });

  it("answer what is no HTTP with 400", async () => {
    const { worker } = await serve([get(`(req, res) => res.send("x")`)]);
    const socket = createConnection(worker.socketPath);
    socket.write("GARBAGE\r\n\r\n");
    const answer = await new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString();
      });
      socket.on("close", () => {
        resolve(text);
      });
    });
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request/);
  });

  it("try the next route of the same path when a handler passes on", async () => {
    const { ask } = await serve([
      {
        method: "GET",
        path: "/a/:id",
        handler: `(req, res, next) => req.params.id === "special" ? res.send("first") : next()`,
      },
      { method: "GET", path: "/a/*rest", handler: `(req, res) => res.json(req.params)` },
    ]);
    expect((await ask({ path: "/a/special" })).body).toBe("first");
    expect((await ask({ path: "/a/other" })).body).toBe('{"rest":["other"]}');
  });
});
