/** Programs without a network of their own, and the socket that stands for the host. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

const PRELOAD = fileURLToPath(new URL("../dist/gate.cjs", import.meta.url));

const run = promisify(execFile);

/** Says which request of its connection one is, and what was asked. */
function echo(): RequestListener {
  const requests = new WeakMap<object, number>();
  return ({ socket, headers, url }, response) => {
    const number = (requests.get(socket) ?? 0) + 1;
    requests.set(socket, number);
    response.end(JSON.stringify([number, headers.host, url]));
  };
}

/** A host behind a unix socket, in a folder with a name of the given kind. */
async function host(name = "gate"): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), "hayloft-gate-"));
  const folder = join(root, name);
  mkdirSync(folder);
  // Node refuses to listen at a longer path than a socket may have, so it is given a short one.
  symlinkSync(folder, join(root, "s"));
  const server = createServer(echo());
  await new Promise<void>((resolve) => server.listen(join(root, "s", "gate.sock"), resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(root, { recursive: true, force: true });
  });
  return join(folder, "gate.sock");
}

/**
 * The ways of a program to the host and to others, each with its outcome as JSON. `outcome` never
 * waits for a name server: a look-up is answered by the program itself.
 */
const WAYS = `
  const http = require("node:http");
  const net = require("node:net");
  const body = (response) => new Promise((resolve) => {
    let text = "";
    response.on("data", (part) => { text += part; }).on("end", () => { resolve(JSON.parse(text)); });
  });
  const get = (...asked) => new Promise((resolve, reject) => {
    http.get(...asked, (response) => resolve(body(response))).on("error", reject);
  });
  const dial = (...asked) => new Promise((resolve, reject) => {
    const socket = net.connect(...asked, () => {
      socket.end("GET /dial HTTP/1.1\\r\\nhost: h\\r\\nconnection: close\\r\\n\\r\\n");
      let text = "";
      socket.on("data", (part) => { text += part; });
      socket.on("end", () => { resolve(JSON.parse(text.split("\\r\\n\\r\\n")[1].match(/\\[.*\\]/)[0])); });
    });
    socket.on("error", reject);
  });
  const lookup = (name, _options, done) => { done(new Error("looked up " + name)); };
  const outcome = (promise) => promise.catch((error) => error.cause?.message ?? error.message);
  const outcomes = async () => {
    const own = http.createServer((request, response) => { response.end(JSON.stringify("own")); });
    await new Promise((resolve) => { own.listen(0, "127.0.0.1", resolve); });
    const { port } = own.address();
    const agent = new http.Agent({ keepAlive: true });
    const result = {
      fetch: await outcome(fetch("http://hayloft.internal/fetch").then((response) => response.json())),
      fetchAgain: await outcome(fetch("http://HAYLOFT.internal:80/a?b=c").then((response) => response.text())),
      get: await outcome(get("http://hayloft.internal/get", { agent: false })),
      kept: [
        await outcome(get({ host: "hayloft.internal", path: "/one", agent })),
        await outcome(get({ hostname: "hayloft.internal", port: "80", path: "/two", agent })),
      ],
      options: await outcome(dial({ host: "hayloft.internal", port: 80 })),
      list: await outcome(dial("80", "HAYLOFT.internal")),
      otherPath: await outcome(dial({ host: "hayloft.internal", port: 80, path: "/nowhere" })),
      otherPort: await outcome(dial({ host: "hayloft.internal", port: 81, lookup })),
      otherName: await outcome(dial({ host: "a.hayloft.internal", port: 80, lookup })),
      ownServer: await outcome(get({ host: "127.0.0.1", port, path: "/" })),
      ownFetch: await outcome(fetch("http://127.0.0.1:" + port).then((response) => response.json())),
    };
    agent.destroy();
    own.closeAllConnections();
    own.close();
    return result;
  };
`;

const HOST = "hayloft.internal";

const THROUGH = {
  fetch: [1, HOST, "/fetch"],
  // Whether `fetch` takes the same connection for it is its own affair.
  fetchAgain: expect.stringContaining(`"${HOST}","/a?b=c"]`),
  get: [1, HOST, "/get"],
  kept: [
    [1, HOST, "/one"],
    [2, HOST, "/two"],
  ],
  options: [1, "h", "/dial"],
  list: [1, "h", "/dial"],
  otherPath: "connect ENOENT /nowhere",
  otherPort: `looked up ${HOST}`,
  otherName: `looked up a.${HOST}`,
  ownServer: "own",
  ownFetch: "own",
};

/** What a program prints that is started with `NODE_OPTIONS`. */
async function child(node: string, program: string, gate?: string, preload = PRELOAD) {
  const quoted = preload.replaceAll(/["\\]/g, "\\$&");
  const { stdout } = await run(node, ["-e", program], {
    env: { NODE_OPTIONS: `--require="${quoted}"`, ...(gate && { HAYLOFT_GATE: gate }) },
  });
  return JSON.parse(stdout) as unknown;
}

const PRINT = `${WAYS} outcomes().then((result) => { console.log(JSON.stringify(result)); });`;

describe.each(NODES)("the gate on Node $version", ({ binary: node }) => {
  it("leads a plugin to the host, and nowhere else", async () => {
    const plugin = `${WAYS} return { name: "Gate", async onStart({ logger }) { logger.info("ways", await outcomes()); } };`;
    const worker = await TestWorker.bound({ node, plugin, gate: await host() });
    await worker.hook("start");
    const { meta } = await worker.log(({ message }) => message === "ways");
    expect(meta).toEqual(THROUGH);
  });

  it("is open from the plugin's first line on", async () => {
    const entry = `
      const { text } = await fetch("http://hayloft.internal/early").then(async (r) => ({ text: await r.text() }));
      console.log("early " + text);
      export default () => ({ name: "Early" });
    `;
    const files = { "index.mjs": entry };
    const worker = await TestWorker.warm({ node, files, gate: await host() });
    await worker.stdout.next((line) => line === `early [1,"${HOST}","/early"]`);
  });

  it("is not there where the host did not say so", async () => {
    const plugin = `${WAYS} return { name: "None", async onStart({ logger }) {
      logger.info("way", { way: await outcome(dial({ host: "${HOST}", port: 80, lookup })) });
    } };`;
    const worker = await TestWorker.bound({ node, plugin });
    await worker.hook("start");
    const { meta } = await worker.log(({ message }) => message === "way");
    expect(meta).toEqual({ way: `looked up ${HOST}` });
  });

  it("leads a program that a plugin brings", async () => {
    expect(await child(node, PRINT, await host())).toEqual(THROUGH);
  });

  it("leads threads of such a program too", async () => {
    const program = `
      const { Worker } = require("node:worker_threads");
      const text = ${JSON.stringify(`${WAYS} outcomes().then((result) => {
        require("node:worker_threads").parentPort.postMessage(result);
      });`)};
      new Worker(text, { eval: true }).on("message", (result) => { console.log(JSON.stringify(result)); });
    `;
    expect(await child(node, program, await host())).toEqual(THROUGH);
  });

  it("does nothing to a program that was given no gate", async () => {
    const program = `${WAYS} outcome(dial({ host: "${HOST}", port: 80, lookup }))
      .then((result) => { console.log(JSON.stringify(result)); });`;
    expect(await child(node, program)).toEqual(`looked up ${HOST}`);
  });

  it("is found by a path that is longer than a socket's may be, with any character", async () => {
    const gate = await host(`${"x".repeat(120)} "\\ä`);
    expect(await child(node, PRINT, gate)).toEqual(THROUGH);
    const link = join(dirname(gate), `my "own\\ runtime`);
    symlinkSync(dirname(PRELOAD), link);
    expect(await child(node, PRINT, gate, join(link, basename(PRELOAD)))).toEqual(THROUGH);
  });
});
