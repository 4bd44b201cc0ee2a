/** Plugins as folders on disk, removed after the test. */
import { mkdtempSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { NODE_MODULES } from "./nodes.js";

/** Writes the files of a plugin, which can import what the workspace has installed. */
export function pluginFolder(files: Record<string, string>): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "hayloft-plugin-")));
  onTestFinished(() => {
    rmSync(root, { recursive: true, force: true });
  });
  symlinkSync(NODE_MODULES, join(root, "node_modules"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

/** The entry of a plugin with the given body of a factory function, which sees `ctx`. */
export function factory(body: string): string {
  return `module.exports = (ctx) => { ${body} };`;
}
