// Serves the plugin's MCP server at http://127.0.0.1:8787/mcp, built anew and loaded anew whenever a source changes.
// Requests to other paths go to the routes of the plugin's `app`. Configuration: HATAGO_CONFIG, as JSON.
import { spawn } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { createMockContext } from "@hatago/test-utils";

const PORT = Number(process.env.PORT ?? 8787);

let plugin;
let loaded;

/** The plugin of the present build. */
async function current() {
  const manifest = JSON.parse(await readFile("hatago.plugin.json", "utf8"));
  const file = manifest.entry.node ?? manifest.entry.default;
  const { mtimeMs } = await stat(file);
  if (mtimeMs === loaded) return plugin;
  await plugin?.dispose();
  plugin = createMockContext({
    capabilities: manifest.capabilities ?? [],
    manifest,
    config: JSON.parse(process.env.HATAGO_CONFIG ?? "{}"),
    fetch: globalThis.fetch,
  });
  await plugin.start(await import(`${pathToFileURL(file).href}?${mtimeMs}`));
  loaded = mtimeMs;
  console.log(`loaded ${manifest.name} with ${(await plugin.listTools()).length} tools`);
  return plugin;
}

async function answer(request) {
  const context = await current();
  const lines = context.logs.length;
  try {
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/mcp") {
      const { method, headers } = request;
      const body = method === "GET" || method === "HEAD" ? undefined : await request.arrayBuffer();
      return await context.fetchRoute(pathname + search, { method, headers, body });
    }
    const { id, method, params } = await request.json();
    if (id === undefined) return new Response(null, { status: 202 });
    try {
      const result = await context.request(method, params);
      return Response.json({ jsonrpc: "2.0", id, result });
    } catch ({ code = -32603, message }) {
      return Response.json({ jsonrpc: "2.0", id, error: { code, message } });
    }
  } finally {
    for (const { level, message, meta } of context.logs.slice(lines)) {
      console.log(`${level}: ${message}`, meta ?? "");
    }
  }
}

const builder = spawn(process.execPath, ["scripts/build.js", "--watch"], { stdio: "inherit" });
builder.once("exit", (code) => process.exit(code ?? 0));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => builder.kill());

createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const { method, url, headers } = req;
  const body = method === "GET" || method === "HEAD" ? undefined : Buffer.concat(chunks);
  try {
    const request = new Request(new URL(url, `http://127.0.0.1:${PORT}`), {
      method,
      headers,
      body,
    });
    const response = await answer(request);
    res.writeHead(response.status, [...response.headers].flat());
    res.end(Buffer.from(await response.arrayBuffer()));
  } catch (error) {
    console.error(error);
    res.writeHead(500).end(String(error));
  }
}).listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/mcp`));
