/**
 * Where in a plugin's own files something went wrong.
 *
 * Authors read it beside the message, so that they need not look for the stack. It must not know what is done with it.
 */
import { relative } from "node:path";
import type { WireError } from "./protocol.js";
import { toWireError } from "./wire-error.js";

/** What was thrown as the protocol's error, with its place in the plugin's own files where it has one. */
export function toPlacedError(thrown: unknown, root: string): WireError {
  const error = toWireError(thrown);
  const at = error.stack === undefined ? undefined : placeIn(root, error.stack);
  // Whoever named what is to be mended knows better.
  if (error.problems === undefined && at !== undefined) {
    error.problems = [{ at, message: error.message }];
  }
  return error;
}

/**
 * The file and line of the first place of a stack that is in the plugin's folder and no dependency's. That of a syntax
 * error stands in the first line, all others are those of calls.
 */
export function placeIn(root: string, stack: string): string | undefined {
  for (const line of stack.split("\n")) {
    const found = /(?:^|\(|\bat (?:async )?)((?:file:\/\/)?\/[^()]*?):(\d+)(?::\d+)?\)?$/.exec(
      line.trim(),
    );
    const [, file, number] = found ?? [];
    if (file === undefined || number === undefined) continue;
    const path = relative(root, pathOf(file));
    const isOwn =
      path !== "" && !path.startsWith("..") && !path.split("/").includes("node_modules");
    if (isOwn) return `${path}:${number}`;
  }
  return undefined;
}

function pathOf(file: string): string {
  if (!file.startsWith("file:")) return file;
  try {
    // Loaded only where something failed.
    return process.getBuiltinModule("node:url").fileURLToPath(file);
  } catch {
    return file;
  }
}
