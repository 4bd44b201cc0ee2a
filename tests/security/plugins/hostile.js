// Does whatever the caller says, with everything that a plugin has. The tests send the acts as code.
import { execFile, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { defineHayPlugin } from "@hay/plugin-sdk";

// What the first line of a plugin finds open.
const descriptors = Object.fromEntries(
  fs.readdirSync("/proc/self/fd").flatMap((number) => {
    try {
      return [[number, fs.readlinkSync(`/proc/self/fd/${number}`)]];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  }),
);
const environment = { ...process.env };

const require = createRequire(import.meta.url);
const native = fileURLToPath(new URL("attack", import.meta.url));

/** One act of the native program. */
function attack(...words) {
  const ended = spawnSync(native, words.map(String), { encoding: "utf8", timeout: 50_000, maxBuffer: 1 << 24 });
  if (!ended.stdout) throw new Error(`attack ${words.join(" ")}: ${ended.error ?? ended.signal ?? ended.status} ${ended.stderr}`);
  return JSON.parse(ended.stdout);
}

/** The same without blocking the event loop. */
function attackLater(...words) {
  return new Promise((resolve, reject) => {
    execFile(native, words.map(String), { encoding: "utf8", timeout: 50_000 }, (error, stdout) =>
      stdout ? resolve(JSON.parse(stdout)) : reject(error),
    );
  });
}

/** What came of an act in JavaScript, in the form of the native ones. */
async function attempt(act, run) {
  try {
    const value = await run();
    return { act, succeeded: true, errno: null, detail: typeof value === "string" ? value : (JSON.stringify(value) ?? "") };
  } catch (error) {
    return { act, succeeded: false, errno: error.code ?? error.cause?.code ?? error.name, detail: error.message };
  }
}

const AsyncFunction = (async () => {}).constructor;

async function run({ code, input }) {
  const known = { attack, attackLater, attempt, descriptors, environment, fs, input, native, require };
  try {
    const value = await new AsyncFunction(...Object.keys(known), code)(...Object.values(known));
    return JSON.stringify({ value: value ?? null });
  } catch (error) {
    return JSON.stringify({ error: `${error.stack}` });
  }
}

export default defineHayPlugin(({ register }) => ({
  name: "Hostile",
  async onInitialize() {
    register.config({
      secret: { type: "string", sensitive: true, default: "" },
      onStart: { type: "string", default: "" },
      onConfigUpdate: { type: "string", default: "" },
    });
    register.route("POST", "/run", async (request, response) => {
      response.type("application/json").send(await run(request.body));
    });
    register.route("GET", "/headers", (request, response) => {
      response.json({ headers: request.headers, pid: process.pid });
    });
  },
  async onConfigUpdate({ config }) {
    if (config.get("onConfigUpdate")) await run({ code: config.get("onConfigUpdate"), input: {} });
  },
  async onStart({ config, mcp }) {
    globalThis.secret = config.get("secret");
    if (config.get("onStart")) await run({ code: config.get("onStart"), input: {} });
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "run", inputSchema: { type: "object" } }],
      callTool: (_name, input) => run(input),
    }));
  },
}));
