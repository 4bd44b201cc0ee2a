import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { NODE_MODULES } from "./support/nodes.js";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const FILES = ["gate.cjs", "runner.cjs"];
const text = (file: string) => readFileSync(`${dist}${file}`, "utf8");

it("nothing else is built", () => {
  expect(readdirSync(dist).sort()).toEqual(FILES);
});

describe.each(FILES)("the bundle %s", (file) => {
  const bundle = text(file);

  it("is one file that needs nothing beside it", () => {
    // Twice escaped where the packed part has it as a text.
    const required = [...bundle.matchAll(/\brequire\(\\?"([^"\\]+)\\?"\)/g)].map(
      ([, name]) => name ?? "",
    );
    expect(required.length).toBeGreaterThan(2);
    expect(required.filter((name) => !isBuiltin(name))).toEqual([]);
  });

  it("tells nothing of the machine that built it", () => {
    const workspace = NODE_MODULES.replace(/node_modules\/$/, "");
    for (const path of [workspace, `${homedir()}/`, "sourceMappingURL"]) {
      expect(bundle).not.toContain(path);
    }
  });

  it("is one-byte text: a single other character would double it in memory", () => {
    expect(/[^\0-\x7f]/.test(bundle)).toBe(false);
  });
});

it("the runner stays within the size that its start time allows", () => {
  expect(text("runner.cjs").length).toBeLessThan(400 * 1024);
});

it("the runner does not hold the other formats in a form that the engine would read", () => {
  expect(text("runner.cjs")).not.toContain("extends `HayPlugin`");
});
