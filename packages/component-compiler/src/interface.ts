/** Makes one module of a plugin's components: what a dashboard loads. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, posix, relative } from "node:path";
import type { Loader, Message, Plugin } from "esbuild";
import { compileComponent, type Component } from "./component.js";
import { ComponentsError, place, type Problem } from "./problem.js";

/** The module of an interface, and the styles of all of its components. */
export interface Interface {
  module: string;
  style: string | undefined;
}

/** Files that components show: they become a part of the module. */
const ASSETS: Record<string, Loader> = Object.fromEntries(
  [".avif", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp", ".woff", ".woff2"].map((kind) => [
    kind,
    "dataurl",
  ]),
);

/**
 * Compiles components. Each is an export with its path for a name, such as `"components/Settings.vue"`, as places in
 * problems have it, too. Vue stays outside, and so does `@/…`: the dashboard has both.
 *
 * @param named paths below `root`, with `/` between folders; a leading `./` counts for nothing
 * @throws ComponentsError with all that is wrong in them
 */
export async function compileInterface(root: string, named: readonly string[]): Promise<Interface> {
  const paths = [...new Set(named.map((path) => posix.normalize(path)))];
  const gone = paths.filter((path) => !existsSync(join(root, path)));
  if (gone.length > 0) {
    throw new ComponentsError(gone.map((at) => ({ at, message: "is missing" })));
  }
  // Loaded as late as this, since it looks for its executable when it is loaded.
  const { build } = await import("esbuild");
  const exports = paths.map(
    (path) => `export { default as ${JSON.stringify(path)} } from ${JSON.stringify(`./${path}`)};`,
  );
  const components = new Map<string, Component>();
  const problems: Problem[] = [];
  const result = await build({
    stdin: { contents: exports.join("\n"), resolveDir: root, sourcefile: "components" },
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    external: ["vue", "@/*"],
    loader: ASSETS,
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [sources(root, components, problems)],
    outdir: "dist",
    entryNames: "ui",
    write: false,
    logLevel: "silent",
  }).catch((error: unknown) => {
    const errors = (error as { errors?: Message[] }).errors;
    if (errors === undefined) throw error;
    throw new ComponentsError([
      ...problems,
      ...errors
        .filter(({ detail }) => detail !== SAID)
        .map((error) => problemOf(root, error, components)),
    ]);
  });
  const [module] = result.outputFiles.filter(({ path }) => path.endsWith(".js"));
  const [style] = result.outputFiles.filter(({ path }) => path.endsWith(".css"));
  if (module === undefined) throw new Error("esbuild made no module");
  return { module: module.text, style: style?.text };
}

/** Marks what is among the problems already. */
const SAID = "said";

function sources(root: string, components: Map<string, Component>, problems: Problem[]): Plugin {
  return {
    name: "components",
    setup(builder) {
      builder.onResolve({ filter: /\.vue\?style=\d+$/ }, ({ path, importer }) => ({
        path: importer + path.slice(path.lastIndexOf("?")),
        namespace: "style",
      }));
      // An address of the dashboard's own, such as `url(/fonts/a.woff2)`.
      builder.onResolve({ filter: /^\// }, ({ path, kind }) =>
        kind === "url-token" ? { path, external: true } : undefined,
      );
      builder.onLoad({ filter: /.*/, namespace: "style" }, ({ path }) => {
        const style = styleAt(path);
        if (style === undefined) return undefined;
        const contents = components.get(relative(root, style.file))?.styles[style.number];
        return { contents: contents ?? "", loader: "css", resolveDir: dirname(style.file) };
      });
      builder.onLoad({ filter: /\.vue$/ }, async ({ path: file }) => {
        const path = relative(root, file);
        try {
          const component = await compileComponent(path, await readFile(file, "utf8"));
          components.set(path, component);
          return { contents: component.code, loader: component.loader, resolveDir: dirname(file) };
        } catch (error) {
          if (!(error instanceof ComponentsError)) throw error;
          problems.push(...error.problems);
          return { errors: [{ text: error.message, detail: SAID }] };
        }
      });
    },
  };
}

/** The component that a style is of, and which of its styles it is, from the style's path or place. */
function styleAt(path: string): { file: string; number: number } | undefined {
  const [, file, number] = /^(?:style:)?(.*)\?style=(\d+)$/.exec(path) ?? [];
  return file === undefined ? undefined : { file, number: Number(number) };
}

function problemOf(
  root: string,
  { text, location }: Message,
  components: Map<string, Component>,
): Problem {
  if (location === null) return { at: "components", message: text };
  const { file, line, column } = location;
  const style = styleAt(file);
  if (style !== undefined) {
    const path = relative(root, style.file);
    const above = (components.get(path)?.styleLines[style.number] ?? 1) - 1;
    return { at: place(path, above + line, column), message: text };
  }
  const component = components.get(file);
  if (component === undefined) return { at: place(file, line, column), message: text };
  const origin = component.origin(line, column);
  return { at: place(file, origin?.line, origin?.column), message: text };
}
