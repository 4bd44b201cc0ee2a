/**
 * Where a syntax error is that Node does not say: of an ES module it shows the place only as it ends over it.
 *
 * Nothing here runs any code of the plugin. It is slow, and only used where something failed already.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { placeIn } from "./place.js";

/** So many modules are looked at. */
const MOST_MODULES = 40;

/** How long the whole search may take, in milliseconds: that something failed must still be told in time. */
const PATIENCE = 3000;

const IMPORTED = /\b(?:from|import|require)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g;

/** The file and line of the first syntax error among a module and those that it imports from the plugin's own folder. */
export function findSyntaxError(root: string, entry: string): string | undefined {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const found = [entry];
  const until = performance.now() + PATIENCE;
  for (const file of found) {
    const left = Math.ceil(until - performance.now());
    if (left <= 0) return undefined;
    const text = read(file);
    if (text === undefined) continue;
    const { status, stderr } = spawnSync(process.execPath, ["--check", file], {
      encoding: "utf8",
      timeout: left,
    });
    if (status !== 0) return placeIn(root, stderr);
    for (const [, name] of text.matchAll(IMPORTED)) {
      if (name === undefined) continue;
      const module = resolve(dirname(file), name);
      const spelled = [module, `${module}.js`, `${module}/index.js`].find(
        (path) => read(path) !== undefined,
      );
      if (spelled !== undefined && !found.includes(spelled) && found.length < MOST_MODULES) {
        found.push(spelled);
      }
    }
  }
  return undefined;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
