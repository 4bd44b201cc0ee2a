import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterEach, beforeEach, expect, test } from "vitest";
import { showAuthorsFiles } from "./bundle-map.js";

let folder: string;
const before = Error.prepareStackTrace;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bundle-map-"));
});

afterEach(() => {
  Error.prepareStackTrace = before;
  rmSync(folder, { recursive: true });
});

interface Throwing {
  fail(): never;
  node(): never;
}

/** Bundles a module that throws in the second line of a file of its own. */
function bundle(): { file: string; load: () => Throwing } {
  writeFileSync(
    join(folder, "fail.js"),
    "// one\nexport function fail() { throw new TypeError('on purpose'); }\n",
  );
  writeFileSync(
    join(folder, "index.js"),
    "export * from './fail.js';\nexport const node = () => Buffer.alloc('x');\n",
  );
  const file = join(folder, "entry.cjs");
  buildSync({
    entryPoints: [join(folder, "index.js")],
    bundle: true,
    format: "cjs",
    outfile: file,
    platform: "node",
    sourcemap: "external",
  });
  return { file, load: () => createRequire(file)(file) as Throwing };
}

function stackOf(throws: () => never): string {
  try {
    throws();
  } catch (error) {
    return String((error as Error).stack);
  }
}

test("a stack names the author's files", () => {
  const { file, load } = bundle();
  showAuthorsFiles(file);
  const { fail, node } = load();
  const stack = stackOf(fail);
  expect(stack.split("\n")[0]).toBe("TypeError: on purpose");
  expect(stack).toContain(`at fail (${join(folder, "fail.js")}:2:32)`);
  expect(stack).not.toContain("entry.cjs");
  // Node's own errors keep their code.
  expect(stackOf(node)).toMatch(/^TypeError \[ERR_INVALID_ARG_TYPE\]: The "size" argument/);
});

test("without a map a stack is what it is", () => {
  const { file, load } = bundle();
  rmSync(`${file}.map`);
  showAuthorsFiles(file);
  expect(stackOf(load().fail)).toContain("entry.cjs:");
});
