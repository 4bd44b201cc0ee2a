// Builds the package into `dist`: one ES module with everything that runs in it, and types, which are `@hatago/core`'s.
import { mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = path.join(root, "dist");

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  entryPoints: [path.join(root, "src/index.ts")],
  bundle: true,
  platform: "neutral",
  alias: {
    "@hatago/core/host": path.join(root, "../hatago-core/src/host.ts"),
    "@hatago/core": path.join(root, "../hatago-core/src/index.ts"),
  },
  mainFields: ["module", "main"],
  target: "es2022",
  format: "esm",
  outdir: out,
  logLevel: "warning",
});
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(
  process.execPath,
  [tsc, "-p", path.join(root, "tsconfig.build.json"), "--outDir", out],
  { stdio: "inherit" },
);
