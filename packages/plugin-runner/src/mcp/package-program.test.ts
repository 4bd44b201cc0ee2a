import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveProgram } from "./package-program.js";

let root: string;

beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "package-program-")));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const bin = (name: string, programs: unknown) => {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, bin: programs }));
  };
  bin("one", "./cli.js");
  write("node_modules/one/cli.js", "#!/usr/bin/env node\n");
  bin("@scope/many", { many: "a.js", more: "b.sh" });
  write("node_modules/@scope/many/a.js", "module");
  write("./node_modules/@scope/many/b.sh", "#!/bin/sh\n");
  mkdirSync(join(root, "node_modules/.bin"));
  symlinkSync("../@scope/many/b.sh", join(root, "node_modules/.bin/more"));
  bin("gone", "./not-there.js");
  mkdirSync(join(root, "mcp"));
});

afterAll(() => {
  rmSync(root, { recursive: true });
});

const line = (words: string, folder = ".") => {
  const [command = "", ...args] = words.split(" ");
  const found = resolveProgram({ command, args }, join(root, folder), root);
  return [found.command, ...found.args].join(" ");
};

describe("a command of a plugin", () => {
  it.each([
    ["node server.js", "node server.js"],
    ["npx one", "node node_modules/one/cli.js"],
    ["npx -y one@1.2.3 --port 1", "node node_modules/one/cli.js --port 1"],
    ["npx --yes -- one -x", "node node_modules/one/cli.js -x"],
    ["npx @scope/many@latest a", "node node_modules/@scope/many/a.js a"],
    ["npx -p @scope/many more a", "./node_modules/@scope/many/b.sh a"],
    ["npx --package=@scope/many many", "node node_modules/@scope/many/a.js"],
    ["npx more", "./node_modules/.bin/more"],
  ])("`%s` starts `%s`", (words, expected) => {
    expect(line(words)).toBe(expected);
  });

  it("is looked up from the folder that it runs in", () => {
    expect(line("npx one", "mcp")).toBe("node ../node_modules/one/cli.js");
  });

  it.each([
    [
      "npx none@1",
      "there is no program of a package `none` in the plugin's folder, and nothing is fetched while it runs. " +
        "Add `none` to the `dependencies` of `package.json`, so that it is installed with the plugin.",
    ],
    ["npx gone", "Add `gone` to the `dependencies`"],
    ["npx -p @scope/many other", "Add `@scope/many` to the `dependencies`"],
    ["npx --call x", "`npx --call` is not looked up in the plugin's folder"],
    ["npx", "`npx` needs the name of a program"],
    ["npm start", "`npm` starts no server: there is no package manager where plugins run"],
    ["bunx one", "`bunx` starts no server"],
  ])("`%s` is refused: %s", (words, message) => {
    expect(() => line(words)).toThrow(message);
  });
});
