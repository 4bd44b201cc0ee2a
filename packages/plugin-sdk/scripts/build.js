// Builds the package into `dist`, or into the folder that is named as the first argument: ES modules and CommonJS, each
// with types. Every entry is one file, since opening files is what costs when a worker starts. So a process can hold
// several copies of an error class or of the brand; `Symbol.for` makes them one.
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(root, "dist"));
const sources = (...names) => names.map((name) => path.join(root, "src", `${name}.ts`));
const common = {
  bundle: true,
  platform: "node",
  target: "node20",
  // Comments and blanks cost start time; names stay, for readable stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  define: { HAY_SDK_EXPRESS: '"../express.cjs"' },
  logLevel: "warning",
};
const esm = { ...common, format: "esm", outdir: path.join(out, "esm") };
const cjs = {
  ...common,
  format: "cjs",
  outdir: path.join(out, "cjs"),
  // `createRequire` takes either.
  define: { ...common.define, "import.meta.url": "__filename" },
};
const entries = sources(
  ...["index", "types", "runner", "host", "testing", "stdio-mcp-client", "trpc"],
);

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await Promise.all([
  build({ ...esm, entryPoints: entries }),
  build({ ...cjs, entryPoints: [...entries, ...sources("standalone")] }),
  // Express is loaded by plugins that ask for it, from a file of its own.
  build({
    ...common,
    stdin: { contents: 'module.exports = require("express");', resolveDir: root },
    format: "cjs",
    legalComments: "eof",
    outfile: path.join(out, "express.cjs"),
  }),
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
