// Bundles the runner, and the gate for other programs, into one CommonJS file each that needs nothing beside it.
import { readFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { version } = JSON.parse(await readFile(here("package.json"), "utf8"));

/** Of the table of media types only what names a file extension is of use; it is parsed on demand. */
const smallMimeTable = {
  name: "small-mime-table",
  setup(builder) {
    builder.onLoad({ filter: /[\\/]mime-db[\\/]db\.json$/ }, async ({ path }) => {
      const types = Object.entries(JSON.parse(await readFile(path, "utf8")))
        .filter(([, type]) => type.extensions !== undefined)
        .map(([name, { source, charset, extensions }]) => [name, { source, charset, extensions }]);
      const table = JSON.stringify(JSON.stringify(Object.fromEntries(types)));
      return { contents: `module.exports = JSON.parse(${table});`, loader: "js" };
    });
  },
};

/**
 * Packages below Express that cost much and do little here: traces that nobody can switch on, and a
 * weak map for engines that have none.
 */
const replacements = {
  debug: "module.exports = () => () => {};",
  "side-channel": `module.exports = () => {
    const map = new WeakMap();
    return { get: (key) => map.get(key), set: (key, value) => { map.set(key, value); }, has: (key) => map.has(key) };
  };`,
};

const replaced = {
  name: "replaced",
  setup(builder) {
    const filter = new RegExp(`^(${Object.keys(replacements).join("|")})$`);
    builder.onResolve({ filter }, ({ path }) => ({ path, namespace: "replaced" }));
    builder.onLoad({ filter: /.*/, namespace: "replaced" }, ({ path }) => ({
      contents: replacements[path],
      loader: "js",
    }));
  },
};

const options = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  // Comments and blanks cost start time; names stay, for readable stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
  alias: {
    "@hay/plugin-sdk/host": here("../plugin-sdk/src/host.ts"),
    "@hatago/core/host": here("../hatago-core/src/host.ts"),
  },
  define: { HAYLOFT_RUNNER_VERSION: JSON.stringify(version), "import.meta.url": "__filename" },
  absWorkingDir: here("."),
  metafile: true,
  logLevel: "warning",
};

/**
 * What the runner imports dynamically, as a text within the bundle: the engine skips over a text,
 * but looks through every function of a program, which doubles the time to start. What most workers
 * never need (the formats beside the canonical one) is compressed too, so that they need not read it.
 */
const packed = {
  name: "packed",
  setup(builder) {
    builder.onResolve({ filter: /^\.\// }, ({ path, kind, resolveDir }) =>
      kind === "dynamic-import"
        ? {
            // The path becomes a name in the bundle, where this machine's folders are nobody's business.
            path: relative(here("."), join(resolveDir, path.replace(/\.js$/, ".ts"))),
            namespace: "packed",
          }
        : undefined,
    );
    builder.onLoad({ filter: /.*/, namespace: "packed" }, async ({ path }) => {
      const { outputFiles, metafile } = await build({
        ...options,
        entryPoints: [here(path)],
        plugins: [smallMimeTable, replaced, workerShim],
        write: false,
      });
      metafiles.push(metafile);
      const { text } = outputFiles[0];
      const source = path.startsWith("src/formats/")
        ? `require("node:zlib").brotliDecompressSync(Buffer.from("${brotliCompressSync(text).toString("base64")}", "base64")).toString("utf8")`
        : JSON.stringify(text);
      return {
        contents: `
          const { compileFunction, constants } = require("node:vm");
          const filename = __filename + "#${basename(path, ".ts")}";
          const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
          compileFunction(${source}, ["exports", "require", "module", "__filename"], { filename, importModuleDynamically })(exports, require, module, __filename);
        `,
        loader: "js",
      };
    });
  },
};

/** The program that surrounds a plugin on Workers, as a text. */
const workerShim = {
  name: "worker-shim",
  setup(builder) {
    builder.onResolve({ filter: /^hatago:worker-shim$/ }, ({ path }) => ({
      path,
      namespace: "worker-shim",
    }));
    builder.onLoad({ filter: /.*/, namespace: "worker-shim" }, async () => {
      const { outputFiles } = await build({
        ...options,
        entryPoints: [here("src/formats/hatago/worker-shim.ts")],
        platform: "neutral",
        mainFields: ["module", "main"],
        target: "es2022",
        format: "esm",
        define: {},
        // The plugin, which is put beside it.
        external: ["./plugin-entry.js"],
        metafile: false,
        write: false,
      });
      return { contents: outputFiles[0].text, loader: "text" };
    });
  },
};

const metafiles = [];
const { metafile } = await build({
  ...options,
  entryPoints: [here("src/main.ts")],
  outfile: here("dist/runner.cjs"),
  plugins: [packed],
});
metafiles.push(metafile);
const gate = await build({
  ...options,
  // Plugins bring programs that choose their Node themselves.
  target: "node16",
  entryPoints: [here("src/gate-preload.ts")],
  outfile: here("dist/gate.cjs"),
});
metafiles.push(gate.metafile);

if (process.argv.includes("--sizes")) {
  for (const { outputs } of metafiles) {
    for (const { bytes, inputs } of Object.values(outputs)) {
      const parts = Object.entries(inputs).sort(
        ([, a], [, b]) => b.bytesInOutput - a.bytesInOutput,
      );
      for (const [name, { bytesInOutput }] of parts.slice(0, 20)) console.log(bytesInOutput, name);
      console.log(bytes, "in all\n");
    }
  }
}
