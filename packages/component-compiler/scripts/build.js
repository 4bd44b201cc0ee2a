// Bundles the compiler into one CommonJS file that needs nothing beside it but the esbuild executable.
import { chmod } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const outfile = here("dist/compile-components.cjs");

/** Compilers of forty other languages for templates, which the compiler of components would load if they were installed. */
const noTemplateLanguages = {
  name: "no-template-languages",
  setup(builder) {
    builder.onResolve(
      { filter: /^[^.]/ },
      async ({ path, importer, kind, pluginData, ...from }) => {
        const asks = importer.endsWith("compiler-sfc.cjs.js") && kind === "require-call";
        if (!asks || pluginData === "asked") return undefined;
        const found = await builder.resolve(path, { ...from, importer, kind, pluginData: "asked" });
        return found.errors.length === 0 ? found : { path, namespace: "nothing" };
      },
    );
    builder.onLoad({ filter: /.*/, namespace: "nothing" }, () => ({ contents: "" }));
  },
};

await build({
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "eof",
  absWorkingDir: here("."),
  entryPoints: [here("src/main.ts")],
  outfile,
  plugins: [noTemplateLanguages],
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
  // esbuild looks for its own package only where nobody named its executable.
  logOverride: { "require-resolve-not-external": "silent" },
});
await chmod(outfile, 0o755);
