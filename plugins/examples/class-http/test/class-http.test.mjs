import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

const folder = new URL("..", import.meta.url);
const run = promisify(execFile);

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

describe("on its own, as `npm start` runs it", () => {
  const registered = [];
  const host = createServer(async (req, res) => {
    let text = "";
    for await (const chunk of req) text += chunk;
    registered.push({ path: req.url, ...JSON.parse(text) });
    res.end(JSON.stringify({ success: true, data: {} }));
  });
  let plugin;
  let address;

  before(async () => {
    const hostPort = await listen(host);
    const probe = createServer();
    const port = await listen(probe);
    probe.close();
    await once(probe, "close");
    address = `http://127.0.0.1:${port}`;
    plugin = spawn(process.execPath, ["dist/index.js"], {
      cwd: folder,
      env: {
        HAY_API_URL: `http://127.0.0.1:${hostPort}`,
        HAY_API_TOKEN: "token",
        HAY_WORKER_PORT: String(port),
        SIMPLE_HTTP_GREETING: "Hi",
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: plugin.stdout })) {
      if (line.includes("listening")) break;
    }
  });
  after(() => {
    plugin.kill();
    host.close();
  });

  test("it registers its MCP server with the host", () => {
    const [server] = registered;
    assert.equal(server.path, "/v1/plugin-api/mcp/register-local");
    assert.equal(server.startCommand, "node index.js");
    assert.deepEqual(
      server.tools.map(({ name, title }) => [name, title]),
      [["ping", "Ping"]],
    );
  });

  test("it answers its routes, with its settings", async () => {
    const hello = await fetch(`${address}/hello?name=Ada`);
    assert.deepEqual(await hello.json(), { message: "Hi, Ada!" });
    const body = JSON.stringify({ a: 1 });
    const headers = { "content-type": "application/json" };
    const echo = await fetch(`${address}/echo`, { method: "POST", body, headers });
    assert.equal(echo.status, 201);
    assert.deepEqual(await echo.json(), { body: { a: 1 }, bytes: 7 });
  });

  test("it tells its health and what it registered", async () => {
    assert.deepEqual(await (await fetch(`${address}/health`)).json(), { status: "ok" });
    const { routes } = await (await fetch(`${address}/metadata`)).json();
    assert.deepEqual(routes, [
      { method: "GET", path: "/hello" },
      { method: "POST", path: "/echo" },
    ]);
  });
});

test("without its environment it ends and says what is missing", async () => {
  const failed = await run(process.execPath, ["dist/index.js"], { cwd: folder, env: {} }).catch(
    (error) => error,
  );
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /`HAY_API_URL`.*`HAY_API_TOKEN`.*`HAY_WORKER_PORT`/);
});

test("its MCP server answers its tool", async () => {
  const server = spawn(process.execPath, ["index.js"], {
    cwd: new URL("mcp/", folder),
    env: { SIMPLE_HTTP_GREETING: "Hi" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const params = { name: "ping", arguments: { name: "Ada" } };
  server.stdin.end(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params })}\n`);
  const [line] = await once(createInterface({ input: server.stdout }), "line");
  assert.deepEqual(JSON.parse(line).result.content, [{ type: "text", text: "Hi, Ada!" }]);
});
