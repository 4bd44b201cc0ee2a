/** The package as plugins get it: built, and installed beside them. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

/** The package's own folder. */
export const SOURCE = path.resolve(import.meta.dirname, "../..");

/** How long building it may take, in milliseconds. */
export const BUILD_WITHIN = 120_000;

/** A new folder in which it is installed; who asks removes it. */
export async function folderWithSdk(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "plugin-sdk-"));
  const installed = path.join(folder, "node_modules/@hay/plugin-sdk");
  await mkdir(installed, { recursive: true });
  await cp(path.join(SOURCE, "package.json"), path.join(installed, "package.json"));
  const build = path.join(SOURCE, "scripts/build.js");
  await promisify(execFile)(process.execPath, [build, path.join(installed, "dist")]);
  return folder;
}
