/**
 * Gives the host what Node compiled while the plugin was loaded, so that later workers need not.
 *
 * The file gets four bytes with the length of a head, the head with names and lengths, and the bytes
 * of all files in that order.
 */
import { fstatSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";

/** Absent on Node 20. */
interface CompileCache {
  flushCompileCache?: () => void;
  getCompileCacheDir?: () => string | undefined;
}

export function handOver(descriptor: number): void {
  const { flushCompileCache, getCompileCacheDir } = process.getBuiltinModule(
    "node:module",
  ) as CompileCache;
  const folder = getCompileCacheDir?.();
  if (folder === undefined || flushCompileCache === undefined) return;
  flushCompileCache();
  const files = readdirSync(folder).map(
    (name) => [name, readFileSync(join(folder, name))] as const,
  );
  const head = Buffer.from(
    JSON.stringify({
      folder: basename(folder),
      files: files.map(([name, { length }]) => [name, length]),
    }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const all = Buffer.concat([length, head, ...files.map(([, bytes]) => bytes)]);
  // The file has its size from the host, and is left empty rather than with a part of something.
  if (all.length > fstatSync(descriptor).size) throw new Error(`it is ${all.length} bytes`);
  writeAll(descriptor, all);
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
}
