/**
 * Loads a plugin's entry, whatever module system it is written in, and finds its export.
 *
 * Says precisely what is wrong with an entry. Knows nothing of what the export must be: the format
 * that asks gives the test for it.
 */
import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, relative, resolve } from "node:path";
import { messageOf, RunnerError } from "./wire-error.js";

export interface EntryExport<T> {
  /** What the export must be, completing "the entry must have a default export that is …". */
  readonly expected: string;
  accepts(value: unknown): value is T;
}

/** Loads `entry` of the plugin at `root` and gives the export that `wanted` accepts. */
export async function loadEntry<T>(
  root: string,
  entry: string,
  wanted: EntryExport<T>,
): Promise<T> {
  const file = resolveEntry(root, entry);
  const namespace = await loadModule(file, entry);
  return findExport(namespace, entry, wanted);
}

function resolveEntry(root: string, entry: string): string {
  const file = resolve(root, entry);
  const inside = relative(root, file);
  if (inside === "" || inside.startsWith("..") || isAbsolute(inside)) {
    throw entryError(entry, `the entry \`${entry}\` lies outside the plugin's folder`);
  }
  // A stat says at once what a failed `require` would make us guess: which of all modules is missing.
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw entryError(
      entry,
      `the entry \`${entry}\` does not exist`,
      "build the plugin, or correct `entry` in its manifest",
    );
  }
  if (!stat.isFile()) throw entryError(entry, `the entry \`${entry}\` is not a file`);
  return file;
}

async function loadModule(file: string, entry: string): Promise<unknown> {
  try {
    return createRequire(file)(file) as unknown;
  } catch (error) {
    if (!needsImport(error)) throw loadError(error, entry);
  }
  try {
    const { pathToFileURL } = process.getBuiltinModule("node:url");
    return await (import(pathToFileURL(file).href) as Promise<unknown>);
  } catch (error) {
    throw loadError(error, entry);
  }
}

/** Whether `require` refused the module before running any of it, only because of its kind. */
function needsImport(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  return code === "ERR_REQUIRE_ESM" || code === "ERR_REQUIRE_ASYNC_MODULE";
}

function loadError(error: unknown, entry: string): RunnerError {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  if (error instanceof SyntaxError) {
    return wrap(error, `the entry \`${entry}\` has a syntax error: ${syntaxDetail(error)}`, entry);
  }
  if (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND") {
    const reason = messageOf(error).split("\n", 1)[0] ?? "";
    return wrap(
      error,
      `a module that the entry \`${entry}\` needs is missing: ${reason}`,
      entry,
      "install the plugin's dependencies, or add the module to its `dependencies`",
    );
  }
  return wrap(error, `the entry \`${entry}\` failed to load: ${messageOf(error)}`, entry);
}

/** The place of a syntax error stands in the first line of its stack and nowhere else. */
function syntaxDetail(error: SyntaxError): string {
  const first = error.stack?.split("\n", 1)[0] ?? "";
  const place = /([^/\\]+:\d+)$/.exec(first)?.[1];
  return place === undefined ? error.message : `${error.message} (${place})`;
}

function findExport<T>(namespace: unknown, entry: string, wanted: EntryExport<T>): T {
  for (const candidate of candidates(namespace)) {
    if (wanted.accepts(candidate)) return candidate;
  }
  const found = candidates(namespace).at(-1);
  const hint = "end the entry with `export default defineHayPlugin(…)`";
  if (isNamespace(namespace) && !("default" in namespace)) {
    throw entryError(entry, `the entry \`${entry}\` has no default export`, hint);
  }
  throw entryError(
    entry,
    `the entry \`${entry}\` must have a default export that is ${wanted.expected}, not ${kindOf(found)}`,
    hint,
  );
}

/**
 * Where a default export may be: the module itself (`module.exports = …`), its `default`, and the
 * `default` of that, which is what an ES module sees of compiled CommonJS.
 */
function candidates(namespace: unknown): unknown[] {
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

function entryError(entry: string, message: string, hint?: string): RunnerError {
  const problem = hint === undefined ? { at: "entry", message } : { at: "entry", message, hint };
  return new RunnerError("EntryError", message, "configuration", [problem]);
}

function wrap(cause: unknown, message: string, entry: string, hint?: string): RunnerError {
  const error =
    hint === undefined
      ? new RunnerError("EntryError", message, "thrown")
      : new RunnerError("EntryError", message, "thrown", [{ at: entry, message, hint }]);
  if (cause instanceof Error && cause.stack !== undefined) error.stack = cause.stack;
  return error;
}
