/** The plugins that the specification's documents show, made whole, built as their authors build them. */
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { NODE, NODE_MODULES } from "./nodes.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));
const TSC = join(NODE_MODULES, "typescript/bin/tsc");

/** A copy of a fixture; with `src`, compiled by TypeScript into `dist`, errors in types included. */
export function fixtureFolder(
  name: string,
  options: { compile?: "commonjs" | "nodenext" } = {},
): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "hayloft-fixture-")));
  onTestFinished(() => {
    rmSync(root, { recursive: true, force: true });
  });
  cpSync(join(FIXTURES, name), root, { recursive: true });
  symlinkSync(NODE_MODULES, join(root, "node_modules"));
  if (options.compile === undefined) return root;
  const resolution =
    options.compile === "commonjs"
      ? ["--module", "commonjs", "--moduleResolution", "node10", "--ignoreDeprecations", "6.0"]
      : ["--module", "nodenext"];
  const flags = ["--strict", "--esModuleInterop", "--resolveJsonModule", "--skipLibCheck"];
  const output = ["--target", "es2022", "--types", "node", "--rootDir", "src", "--outDir", "dist"];
  try {
    execFileSync(NODE, [TSC, ...flags, ...resolution, ...output, "src/index.ts"], { cwd: root });
  } catch (error) {
    throw new Error(String((error as { stdout: Buffer }).stdout), { cause: error });
  }
  return root;
}
