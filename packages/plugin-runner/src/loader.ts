/**
 * Loads a plugin's entry, whatever module system it is written in, and finds its export.
 *
 * Says precisely what is wrong with an entry. Knows nothing of what the export must be: the format
 * that asks gives the test for it.
 */
import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, relative, resolve } from "node:path";
import { placeIn } from "./place.js";
import type { WireProblem } from "./protocol.js";
import { findSyntaxError } from "./syntax-place.js";
import { messageOf, RunnerError } from "./wire-error.js";

export interface EntryExport<T> {
  /** What the export must be, completing "the entry must have a default export that is …". */
  readonly expected: string;
  /** How an author makes one. */
  readonly hint: string;
  accepts(value: unknown): value is T;
}

/** One file of a plugin that is to be loaded. */
export interface PluginModule {
  /** The plugin's folder. */
  readonly root: string;
  /** The file, relative to the folder. */
  readonly file: string;
  /** What the file is to the plugin, such as `entry`. */
  readonly role: string;
  /** Where the manifest names it; the role if absent. */
  readonly at?: string;
}

/** Loads `entry` of the plugin at `root` and gives the export that `wanted` accepts. */
export async function loadEntry<T>(
  root: string,
  entry: string,
  wanted: EntryExport<T>,
): Promise<T> {
  return loadExport({ root, file: entry, role: "entry" }, wanted);
}

/** Loads a file of a plugin and gives the export that `wanted` accepts. */
export async function loadExport<T>(module: PluginModule, wanted: EntryExport<T>): Promise<T> {
  return findExport(await loadNamespace(module), module, wanted);
}

/** Loads a file of a plugin and gives all that it exports. `require` stands in for Node's own. */
export async function loadNamespace(
  module: PluginModule,
  require: (file: string) => unknown = (file) => createRequire(file)(file) as unknown,
): Promise<unknown> {
  const file = resolveFile(module);
  try {
    return require(file);
  } catch (error) {
    if (!needsImport(error)) throw loadError(error, module);
  }
  try {
    const { pathToFileURL } = process.getBuiltinModule("node:url");
    return await (import(pathToFileURL(file).href) as Promise<unknown>);
  } catch (error) {
    throw loadError(error, module);
  }
}

/** Where a file of a plugin lies; throws unless it is one, inside the plugin's folder. */
export function resolveFile(module: PluginModule): string {
  const { root, file: path, role } = module;
  const file = resolve(root, path);
  const inside = relative(root, file);
  if (inside === "" || inside.startsWith("..") || isAbsolute(inside)) {
    throw entryError(module, `the ${role} \`${path}\` lies outside the plugin's folder`);
  }
  // A stat says at once what a failed `require` would make us guess: which of all modules is missing.
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw entryError(
      module,
      `the ${role} \`${path}\` does not exist`,
      `build the plugin, or correct \`${module.at ?? role}\` in its manifest`,
    );
  }
  if (!stat.isFile()) throw entryError(module, `the ${role} \`${path}\` is not a file`);
  return file;
}

/** Whether `require` refused the module before running any of it, only because of its kind. */
function needsImport(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  return code === "ERR_REQUIRE_ESM" || code === "ERR_REQUIRE_ASYNC_MODULE";
}

function loadError(error: unknown, module: PluginModule): RunnerError {
  const { file: entry, role } = module;
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  if (error instanceof SyntaxError) {
    const place =
      placeIn(module.root, error.stack ?? "") ??
      findSyntaxError(module.root, resolve(module.root, entry));
    const detail = place === undefined ? error.message : `${error.message} (${place})`;
    const message = `the ${role} \`${entry}\` has a syntax error: ${detail}`;
    const placed = wrap(error, message, entry);
    return place === undefined
      ? placed
      : withProblems(placed, [{ at: place, message: `syntax error: ${error.message}` }]);
  }
  if (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND") {
    const reason = messageOf(error).split("\n", 1)[0] ?? "";
    return wrap(
      error,
      `a module that the ${role} \`${entry}\` needs is missing: ${reason}`,
      entry,
      "install the plugin's dependencies, or add the module to its `dependencies`",
    );
  }
  return wrap(error, `the ${role} \`${entry}\` failed to load: ${messageOf(error)}`, entry);
}

function findExport<T>(namespace: unknown, module: PluginModule, wanted: EntryExport<T>): T {
  const { file: entry, role } = module;
  for (const candidate of candidates(namespace)) {
    if (wanted.accepts(candidate)) return candidate;
  }
  const found = candidates(namespace).at(-1);
  const { hint } = wanted;
  if (isNamespace(namespace) && !("default" in namespace)) {
    throw entryError(module, `the ${role} \`${entry}\` has no default export`, hint);
  }
  throw entryError(
    module,
    `the ${role} \`${entry}\` must have a default export that is ${wanted.expected}, not ${kindOf(found)}`,
    hint,
  );
}

/**
 * Where a default export may be: the module itself (`module.exports = …`), its `default`, and the
 * `default` of that, which is what an ES module sees of compiled CommonJS.
 */
export function candidates(namespace: unknown): unknown[] {
  const found = [namespace];
  let value = namespace;
  for (let depth = 0; depth < 2 && isNamespace(value) && "default" in value; depth += 1) {
    value = value.default;
    found.push(value);
  }
  return found;
}

function isNamespace(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value))) {
    return "a class";
  }
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function entryError(module: PluginModule, message: string, hint?: string): RunnerError {
  const at = module.at ?? module.role;
  const problem = hint === undefined ? { at, message } : { at, message, hint };
  return new RunnerError("EntryError", message, "configuration", [problem]);
}

function withProblems(error: RunnerError, problems: WireProblem[]): RunnerError {
  const placed = new RunnerError(error.name, error.message, error.reason, problems);
  if (error.stack !== undefined) placed.stack = error.stack;
  return placed;
}

function wrap(cause: unknown, message: string, entry: string, hint?: string): RunnerError {
  const error =
    hint === undefined
      ? new RunnerError("EntryError", message, "thrown")
      : new RunnerError("EntryError", message, "thrown", [{ at: entry, message, hint }]);
  if (cause instanceof Error && cause.stack !== undefined) error.stack = cause.stack;
  return error;
}
