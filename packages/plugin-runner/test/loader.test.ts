import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { NODES } from "./support/nodes.js";
import { type StartOptions, TestWorker } from "./support/test-worker.js";

const NAMED = `(ctx) => ({ name: "Loaded" })`;

const GOOD: [string, StartOptions][] = [
  ["CommonJS, module.exports", { files: { "index.cjs": `module.exports = ${NAMED};` } }],
  ["CommonJS, exports.default", { files: { "index.cjs": `exports.default = ${NAMED};` } }],
  [
    "CommonJS, compiled from an ES module",
    {
      files: {
        "index.cjs": `Object.defineProperty(exports, "__esModule", { value: true }); exports.default = ${NAMED};`,
      },
    },
  ],
  ["an ES module", { files: { "index.mjs": `export default ${NAMED};` } }],
  [
    "an ES module by the package's type",
    { files: { "dist/index.js": `export default ${NAMED};`, "package.json": `{"type":"module"}` } },
  ],
  [
    "an ES module that hands on compiled CommonJS",
    {
      files: {
        "index.mjs": `import plugin from "./lib.cjs"; export default plugin;`,
        "lib.cjs": `Object.defineProperty(exports, "__esModule", { value: true }); exports.default = ${NAMED};`,
      },
    },
  ],
  [
    "an ES module with top-level await",
    {
      files: {
        "index.mjs": `const name = await Promise.resolve("Loaded"); export default (ctx) => ({ name });`,
      },
    },
  ],
  [
    "an ES module that imports one with top-level await",
    {
      files: {
        "index.mjs": `import { name } from "./late.mjs"; export default (ctx) => ({ name });`,
        "late.mjs": `export const name = await Promise.resolve("Loaded");`,
      },
    },
  ],
  [
    "CommonJS that looks whether it is the main module",
    {
      files: {
        "index.cjs": `if (require.main === module) throw new Error("main"); module.exports = ${NAMED};`,
      },
    },
  ],
];

const SECRET_COUNT = `globalThis.loads = (globalThis.loads ?? 0) + 1;`;

const BAD: [string, StartOptions, string, object][] = [
  [
    "a missing entry",
    { files: { "other.cjs": "" }, entry: "dist/index.js" },
    "load",
    {
      message: "the entry `dist/index.js` does not exist",
      reason: "configuration",
      problems: [
        {
          at: "entry",
          message: "the entry `dist/index.js` does not exist",
          hint: "build the plugin, or correct `entry` in its manifest",
        },
      ],
    },
  ],
  [
    "an entry outside the plugin",
    { files: { "index.cjs": "" }, entry: "../index.cjs" },
    "load",
    { message: "the entry `../index.cjs` lies outside the plugin's folder" },
  ],
  [
    "a folder as the entry",
    { files: { "dist/index.cjs": "" }, entry: "dist" },
    "load",
    { message: "the entry `dist` is not a file" },
  ],
  [
    "a syntax error",
    { files: { "index.cjs": "const a = 1;\nconst b = ;\n" } },
    "load",
    { message: "the entry `index.cjs` has a syntax error: Unexpected token ';' (index.cjs:2)" },
  ],
  [
    "a missing dependency",
    { files: { "index.cjs": `require("not-installed");` } },
    "load",
    {
      message:
        "a module that the entry `index.cjs` needs is missing: Cannot find module 'not-installed'",
    },
  ],
  [
    "an entry that throws",
    { files: { "index.cjs": `throw new RangeError("no luck");` } },
    "load",
    { message: "the entry `index.cjs` failed to load: no luck", reason: "thrown" },
  ],
  [
    "an entry that throws a text",
    { files: { "index.cjs": `throw "no luck";` } },
    "load",
    { message: "the entry `index.cjs` failed to load: no luck" },
  ],
  [
    "an ES module that throws after an await",
    { files: { "index.mjs": `await Promise.resolve(); throw new Error("late");` } },
    "load",
    { message: "the entry `index.mjs` failed to load: late" },
  ],
  [
    "an exception outside of every promise while it loads",
    {
      files: {
        "index.mjs": `setImmediate(() => { throw new Error("loose"); }); await new Promise(() => setInterval(() => {}, 1000));`,
      },
    },
    "load",
    { message: "loose" },
  ],
  [
    "no default export",
    { files: { "index.mjs": `export const plugin = ${NAMED};` } },
    "load",
    {
      message: "the entry `index.mjs` has no default export",
      problems: [{ hint: "end the entry with `export default defineHayPlugin(…)`" }],
    },
  ],
  [
    "an empty module",
    { files: { "index.cjs": "" } },
    "load",
    { message: "the entry `index.cjs` has no default export" },
  ],
  [
    "a wrong default export",
    { files: { "index.mjs": `export default { name: "Plain" };` } },
    "load",
    {
      message:
        "the entry `index.mjs` must have a default export that is a plugin made by `defineHayPlugin`, or a function that returns a plugin's definition, not an object",
    },
  ],
  [
    "a class",
    { files: { "index.cjs": `module.exports = class Plugin {};` } },
    "load",
    {
      message:
        "the entry `index.cjs` must have a default export that is a plugin made by `defineHayPlugin`, or a function that returns a plugin's definition, not a class",
    },
  ],
  [
    "a factory that throws",
    { plugin: `throw new Error("factory");` },
    "initialize",
    { message: "factory", reason: "thrown" },
  ],
  [
    "a definition that is none",
    { plugin: `return { onStart: 1 };` },
    "initialize",
    {
      name: "PluginDefinitionError",
      reason: "configuration",
      problems: [{ at: "definition.name" }, { at: "definition.onStart" }],
    },
  ],
  [
    "an `onInitialize` that throws",
    { plugin: `return { name: "Bad", onInitialize() { throw new Error("initialize"); } };` },
    "initialize",
    { message: "initialize" },
  ],
  [
    "an `onInitialize` that never ends",
    {
      plugin: `return { name: "Bad", onInitialize: () => new Promise(() => {}) };`,
      deadlines: { onInitialize: 50 },
    },
    "initialize",
    { message: "`onInitialize` did not end within 50 ms", reason: "timeout" },
  ],
  [
    "wrong registrations, all at once",
    {
      plugin: `return { name: "Bad", onInitialize() { ctx.register.route("FETCH", "no-slash", 1); ctx.register.cron({}); } };`,
    },
    "register",
    { name: "PluginDefinitionError", reason: "configuration" },
  ],
];

/** Code that ends the process, what the worker was doing by then, and where. */
const EXITS: [string, StartOptions, string, string][] = [
  ["an ES module", { files: { "index.mjs": `\nprocess.exit(3);` } }, "load", "index.mjs:2"],
  ["a CommonJS module", { files: { "index.cjs": `\nprocess.exit(3);` } }, "load", "index.cjs:2"],
  [
    "what an entry waits for",
    { files: { "index.mjs": `await new Promise(setImmediate);\nprocess.exit(3);` } },
    "load",
    "index.mjs:2",
  ],
  [
    "a factory",
    { files: { "index.cjs": `module.exports = () => {\nprocess.exit(3); };` } },
    "initialize",
    "index.cjs:2",
  ],
  [
    "an `onInitialize`",
    {
      files: {
        "index.cjs": `module.exports = () => ({ name: "Ends", async onInitialize() {
          await new Promise(setImmediate);
          process.exit(3); } });`,
      },
    },
    "initialize",
    "index.cjs:3",
  ],
];

describe.each(NODES)("loading on Node $version", ({ binary: node }) => {
  it.each(GOOD)("takes %s", async (_, options) => {
    const worker = await TestWorker.warm({ node, ...options });
    expect(worker.control.all[1]?.registration.name).toBe("Loaded");
    // The engine's own warnings would be the plugin's log.
    worker.send({ type: "shutdown", deadlineMs: 5000 });
    await worker.exited;
    expect(worker.stderr.all).toEqual([]);
  });

  it.each(BAD)("explains %s", async (_, options, stage, error) => {
    const worker = await TestWorker.spawn({ node, ...options });
    const fatal = await worker.control.next(({ type }) => type === "fatal" || type === "ready");
    expect(fatal).toMatchObject({ type: "fatal", stage, error });
    expect(await worker.exited).toEqual({ code: 70, signal: null });
  });

  it.each(EXITS)("says that %s ended the process", async (_, options, stage, at) => {
    const worker = await TestWorker.spawn({ node, ...options });
    const fatal = await worker.control.next(({ type }) => type === "fatal" || type === "ready");
    const message = "its code ended the process with exit code 3";
    expect(fatal).toMatchObject({
      type: "fatal",
      stage,
      error: { message, problems: [{ at, message }] },
    });
    expect(await worker.exited).toEqual({ code: 3, signal: null });
  });

  it("runs an entry once, whichever way it is loaded", async () => {
    const worker = await TestWorker.warm({
      node,
      files: {
        "index.mjs": `${SECRET_COUNT} import "./late.mjs"; export default (ctx) => ({ name: String(globalThis.loads) });`,
        "late.mjs": `${SECRET_COUNT} await Promise.resolve();`,
      },
    });
    expect(worker.control.all[1]?.registration.name).toBe("2");
  });

  it("loads a plugin that is made with the SDK", async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `
          import { defineHayPlugin } from "@hay/plugin-sdk";
          export default defineHayPlugin(({ register }) => ({
            name: "With SDK",
            onInitialize() { register.config({ token: { type: "string", required: true, label: "Token" } }); },
            onStart({ config }) { config.get("token"); },
          }));`,
        resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      },
      alias: {
        "@hay/plugin-sdk": fileURLToPath(new URL("../../plugin-sdk/src/index.ts", import.meta.url)),
      },
      bundle: true,
      platform: "node",
      format: "esm",
      write: false,
    });
    const worker = await TestWorker.bound({
      node,
      files: { "index.mjs": outputFiles[0]?.text ?? "" },
    });
    await expect(worker.hook("start")).rejects.toMatchObject({
      error: { name: "ConfigMissingError", reason: "configuration" },
    });
  });
});
