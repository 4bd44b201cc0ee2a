// What `npm init hatago-plugin` makes, and that each of its commands does its work.
import { execFile, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";

const run = promisify(execFile);
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const COMMAND = at("../bin/create-hatago-plugin.js");
const MODULES = at("../../../node_modules/");

function emptyFolder(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), "create-hatago-plugin-")));
}

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

async function ended(file: string, words: string[], cwd: string): Promise<Ended> {
  try {
    const { stdout, stderr } = await run(file, words, { cwd });
    return { code: 0, stdout, stderr };
  } catch (error) {
    return error as Ended;
  }
}

const create = (cwd: string, ...words: string[]) =>
  ended(process.execPath, [COMMAND, ...words], cwd);
const node = (cwd: string, ...words: string[]) => ended(process.execPath, words, cwd);

describe("the new folder", () => {
  let folder: string;

  beforeAll(async () => {
    const parent = emptyFolder();
    const made = await create(parent, "my-plugin");
    expect(made).toMatchObject({ code: 0, stderr: "" });
    folder = join(parent, "my-plugin");
    // As `npm install` leaves it, without a network: the packages of this repository.
    mkdirSync(join(folder, "node_modules"));
    for (const name of [
      "@hatago",
      "@types",
      "esbuild",
      "eslint",
      "typescript",
      "typescript-eslint",
      "uvu",
    ]) {
      symlinkSync(join(MODULES, name), join(folder, "node_modules", name));
    }
    return () => {
      rmSync(parent, { recursive: true, force: true });
    };
  });

  it("is named, and ignores what is built", () => {
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    const manifest = JSON.parse(read("package.json")) as Record<string, any>;
    expect(manifest.name).toBe("my-plugin");
    expect(Object.keys(manifest.scripts as object)).toEqual(
      expect.arrayContaining(["dev", "build", "test", "lint"]),
    );
    expect(manifest.devDependencies["@hatago/core"]).toMatch(/^file:.*hatago-core$/);
    expect(JSON.parse(read("hatago.plugin.json"))).toMatchObject({
      name: "my-plugin",
      version: "0.1.0",
    });
    expect(read(".gitignore")).toContain("dist");
    expect(existsSync(join(folder, "_gitignore"))).toBe(false);
  });

  it("builds for both runtimes, and its tests pass on both", async () => {
    expect(await node(folder, "scripts/build.js")).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(join(folder, "dist/worker.js"))).toBe(true);
    const tested = await node(folder, "node_modules/uvu/bin.js", "test", "\\.test\\.js$");
    expect(tested.code, tested.stdout + tested.stderr).toBe(0);
    expect(tested.stdout).toContain("Total:     3");
  });

  it("has no faults in types or style", async () => {
    expect(await node(folder, "node_modules/typescript/bin/tsc", "--noEmit")).toMatchObject({
      code: 0,
      stdout: "",
    });
    expect(await node(folder, "node_modules/eslint/bin/eslint.js", ".")).toMatchObject({
      code: 0,
      stdout: "",
    });
  });

  it("is served while it is developed", async () => {
    await node(folder, "scripts/build.js");
    const port = await freePort();
    const server = spawn(process.execPath, ["scripts/dev.js"], {
      cwd: folder,
      env: { ...process.env, PORT: String(port), HATAGO_CONFIG: '{"greeting":"Hi"}' },
      // The builder complains when its sources are removed at the end of the test.
      stdio: ["ignore", "pipe", "ignore"],
    });
    onTestFinished(async () => {
      const gone = new Promise((resolve) => server.once("close", resolve));
      server.kill();
      await gone;
    });
    for await (const line of createInterface({ input: server.stdout })) {
      if (line.includes("/mcp")) break;
    }
    const params = { name: "greet", arguments: { name: "Ada" } };
    const response = await fetch(`http://127.0.0.1:${port}/mcp`, {
      method: "POST",
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
    });
    expect(await response.json()).toMatchObject({
      id: 1,
      result: { content: [{ text: "Hi, Ada!" }] },
    });
  });

  it("does not build where the two manifests differ", async () => {
    const copy = emptyFolder();
    onTestFinished(() => {
      rmSync(copy, { recursive: true, force: true });
    });
    cpSync(folder, copy, { recursive: true, verbatimSymlinks: true });
    const file = join(copy, "hatago.plugin.json");
    const text = readFileSync(file, "utf8").replace("0.1.0", "0.2.0").replace('"logger"', '"disk"');
    writeFileSync(file, text);
    const built = await node(copy, "scripts/build.js");
    expect(built.code).toBe(1);
    expect(built.stderr).toContain(
      "`version` is 0.2.0 in hatago.plugin.json and 0.1.0 in package.json",
    );
    expect(built.stderr).toContain("there is no capability `disk`");
  });
});

describe("the command", () => {
  it.each([
    [[], 2, "use: npm init hatago-plugin"],
    [["a", "b"], 2, "use: npm init hatago-plugin"],
    [["My Plugin"], 2, "`My Plugin` is not a name of a package"],
    [["full"], 1, "is there already and is not empty"],
  ])("refuses %j", async (words, code, message) => {
    const parent = emptyFolder();
    onTestFinished(() => {
      rmSync(parent, { recursive: true, force: true });
    });
    mkdirSync(join(parent, "full/x"), { recursive: true });
    const made = await create(parent, ...words);
    expect(made.code).toBe(code);
    expect(made.stderr).toContain(message);
  });

  it("takes another name than the folder's", async () => {
    const parent = emptyFolder();
    onTestFinished(() => {
      rmSync(parent, { recursive: true, force: true });
    });
    expect((await create(parent, "here", "--name", "@example/my-plugin")).code).toBe(0);
    expect(readFileSync(join(parent, "here/hatago.plugin.json"), "utf8")).toContain(
      '"@example/my-plugin"',
    );
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
