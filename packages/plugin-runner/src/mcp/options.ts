/** What plugins give to `startLocal`, `startLocalStdio` and `startExternal`, checked. */
import { realpathSync } from "node:fs";
import { isAbsolute, relative, resolve, sep } from "node:path";
import type { OpenMcpServer } from "../protocol.js";
import { resolveProgram } from "./package-program.js";

const DEFAULT_STDIO_TIMEOUT_MS = 30_000;

export function readServerId(value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw new TypeError("the `id` of an MCP server must be a text that is not empty");
  }
  return value;
}

export function readStdioServer(options: unknown, root: string): OpenMcpServer {
  const given = readOptions("startLocalStdio", options);
  const { command, args = [], cwd = ".", env = {}, timeout = DEFAULT_STDIO_TIMEOUT_MS } = given;
  if (typeof command !== "string" || command === "") {
    throw new TypeError("`startLocalStdio` needs `command`, the program to start");
  }
  if (!Array.isArray(args) || !args.every((item) => typeof item === "string")) {
    throw new TypeError("`args` of `startLocalStdio` must be a list of texts");
  }
  if (typeof timeout !== "number" || !Number.isFinite(timeout) || timeout <= 0) {
    throw new TypeError("`timeout` of `startLocalStdio` must be a positive number of milliseconds");
  }
  const id = readServerId(given.id);
  const folder = readFolder(cwd, root);
  return {
    id,
    kind: "stdio",
    ...resolveProgram({ command, args }, resolve(root, folder), root),
    cwd: folder,
    env: readTexts("env", env),
    timeoutMs: Math.ceil(timeout),
  };
}

export function readExternalServer(options: unknown): OpenMcpServer {
  const given = readOptions("startExternal", options);
  const { url, authHeaders = {} } = given;
  const address = typeof url === "string" || url instanceof URL ? String(url) : "";
  if (!URL.canParse(address)) {
    throw new TypeError("`startExternal` needs `url`, an absolute address");
  }
  return {
    id: readServerId(given.id),
    kind: "external",
    url: address,
    headers: readTexts("authHeaders", authHeaders),
  };
}

/** A folder of the plugin, relative to its root; refuses every way out of it. */
function readFolder(cwd: unknown, root: string): string {
  if (typeof cwd !== "string") throw new TypeError("`cwd` of `startLocalStdio` must be a text");
  const folder = resolve(root, cwd);
  const real = realPath(folder);
  if (!contains(root, folder) || (real !== null && !contains(realPath(root) ?? root, real))) {
    throw new Error(`\`cwd\` of \`startLocalStdio\` leaves the plugin's folder: \`${cwd}\``);
  }
  return relative(root, folder) || ".";
}

/** Where a path leads, links followed; null when nothing is there. */
function realPath(file: string): string | null {
  try {
    return realpathSync(file);
  } catch {
    return null;
  }
}

function contains(root: string, file: string): boolean {
  const inside = relative(root, file);
  return inside !== ".." && !inside.startsWith(`..${sep}`) && !isAbsolute(inside);
}

function readTexts(name: string, value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`\`${name}\` must be an object of texts`);
  }
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(value as Record<string, unknown>)) {
    // Environments and headers are often built from optional values.
    if (text === undefined) continue;
    if (typeof text !== "string") throw new TypeError(`\`${name}.${key}\` must be a text`);
    texts[key] = text;
  }
  return texts;
}

function readOptions(method: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`\`${method}\` takes an object`);
  }
  return value as Record<string, unknown>;
}
