/**
 * `compile-components PATH…`, run in a plugin's folder: makes `dist/ui.js`, and `dist/style.css` if there are styles.
 *
 * Each problem is a line, `PATH:LINE:COLUMN: MESSAGE`. Nothing is written then, and the exit code is 1. An interface that
 * the plugin's own build made stays.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileInterface } from "./interface.js";
import { ComponentsError } from "./problem.js";

const FOLDER = "dist";

async function main(paths: readonly string[]): Promise<void> {
  const built = ["ui.js", "ui.mjs"]
    .map((name) => join(FOLDER, name))
    .find((path) => existsSync(path));
  if (built !== undefined) {
    console.log(`\`${built}\` is there already`);
    return;
  }
  const { module, style } = await compileInterface(process.cwd(), paths);
  mkdirSync(FOLDER, { recursive: true });
  if (style !== undefined) writeFileSync(join(FOLDER, "style.css"), style);
  writeFileSync(join(FOLDER, "ui.js"), module);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof ComponentsError ? error.message : error);
  process.exitCode = 1;
});
