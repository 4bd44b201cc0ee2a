// Builds the package into `dist`, or into the folder that is named as the first argument: ES modules and CommonJS, each
// with types.
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(root, "dist"));
const common = {
  entryPoints: ["index", "host"].map((name) => path.join(root, "src", `${name}.ts`)),
  bundle: true,
  // Plugins for Workers import it too.
  platform: "neutral",
  mainFields: ["module", "main"],
  target: "es2022",
  logLevel: "warning",
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await Promise.all([
  build({ ...common, format: "esm", outdir: path.join(out, "esm") }),
  build({ ...common, format: "cjs", outdir: path.join(out, "cjs") }),
]);
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(
  process.execPath,
  [tsc, "-p", path.join(root, "tsconfig.build.json"), "--outDir", path.join(out, "esm")],
  { stdio: "inherit" },
);
await writeFile(path.join(out, "esm", "package.json"), '{ "type": "module" }\n');
// The same declarations mean CommonJS where the nearest `package.json` says so.
await cp(path.join(out, "esm"), path.join(out, "cjs"), {
  recursive: true,
  filter: (source) => path.extname(source) === "" || source.endsWith(".d.ts"),
});
await writeFile(path.join(out, "cjs", "package.json"), '{ "type": "commonjs" }\n');
