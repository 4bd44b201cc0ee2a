import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { NODE_MODULES } from "./support/nodes.js";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const bundle = readFileSync(`${dist}runner.cjs`, "utf8");

describe("the bundle", () => {
  it("is one file that needs nothing beside it", () => {
    expect(readdirSync(dist)).toEqual(["runner.cjs"]);
    // Twice escaped where the packed part has it as a text.
    const required = [...bundle.matchAll(/\brequire\(\\?"([^"\\]+)\\?"\)/g)].map(
      ([, name]) => name ?? "",
    );
    expect(required.length).toBeGreaterThan(5);
    expect(required.filter((name) => !isBuiltin(name))).toEqual([]);
  });

  it("tells nothing of the machine that built it", () => {
    const workspace = NODE_MODULES.replace(/node_modules\/$/, "");
    for (const path of [workspace, `${homedir()}/`, "sourceMappingURL"]) {
      expect(bundle).not.toContain(path);
    }
  });

  it("does not hold the other formats in a form that the engine would read", () => {
    expect(bundle).not.toContain("extends `HayPlugin`");
  });

  it("stays within the size that its start time allows", () => {
    // One-byte text: a single character outside of ASCII would double it in memory.
    expect(/[^\0-\x7f]/.test(bundle)).toBe(false);
    expect(bundle.length).toBeLessThan(400 * 1024);
  });
});
