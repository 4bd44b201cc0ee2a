// What `hayloft migrate-plugin` writes, compiled as its `npm run build` does, against the built package.
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, it } from "vitest";

import { BUILD_WITHIN, folderWithSdk, SOURCE } from "./support/installed-sdk.js";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const golden = path.resolve(SOURCE, "../../crates/hayloft-manifest/tests/golden/migrate");
const cases = readdirSync(golden).filter((name) => existsSync(path.join(golden, name, "after")));

let folder: string;

beforeAll(async () => {
  folder = await folderWithSdk();
}, BUILD_WITHIN);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** What the compiler says of a folder: nothing if it compiles. */
async function complaints(plugin: string): Promise<string> {
  const compiler = require.resolve("typescript/bin/tsc");
  const done = run(process.execPath, [compiler, "--noEmit", "-p", plugin], { cwd: plugin });
  return (await done.catch((error: unknown) => error as { stdout: string })).stdout;
}

it("there are cases", () => {
  expect(cases.length).toBeGreaterThan(3);
});

it.each(cases)("%s compiles", { timeout: 60_000 }, async (name) => {
  const plugin = path.join(folder, name);
  for (const part of ["before", "after"])
    await cp(path.join(golden, name, part), plugin, { recursive: true });
  expect(await complaints(plugin)).toBe("");
});
