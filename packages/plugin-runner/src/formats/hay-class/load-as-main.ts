/**
 * Loads an entry the way `node entry.js` does, as far as the entry can tell: `require.main === module` holds, and
 * `process.argv[1]` is its path. Entries of this format start themselves behind such a guard.
 */
import { createRequire, Module } from "node:module";
import { dirname } from "node:path";
import { loadNamespace, type PluginModule, resolveFile } from "../../loader.js";

/** The parts of Node's module loader that have no types. */
interface LoadableModule {
  exports: unknown;
  filename: string;
  paths: string[];
  load(file: string): void;
}
interface ModuleLoader {
  new (id: string): LoadableModule;
  _cache: Record<string, LoadableModule>;
  _nodeModulePaths(folder: string): string[];
}

export async function loadAsMain(root: string, entry: string): Promise<unknown> {
  const module: PluginModule = { root, file: entry, role: "entry" };
  process.argv[1] = resolveFile(module);
  return loadNamespace(module, requireAsMain);
}

function requireAsMain(file: string): unknown {
  const loader = Module as unknown as ModuleLoader;
  const path = createRequire(file).resolve(file);
  process.argv[1] = path;
  const main = new loader(path);
  main.filename = path;
  main.paths = loader._nodeModulePaths(dirname(path));
  loader._cache[path] = main;
  // Each `require` takes its `main` from here; there is no other way to set it.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  process.mainModule = main as unknown as NodeJS.Module;
  try {
    main.load(path);
  } catch (error) {
    Reflect.deleteProperty(loader._cache, path);
    throw error;
  }
  return main.exports;
}
