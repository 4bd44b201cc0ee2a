/**
 * The program of a package, for servers that authors start with `npx`. A worker has Node and no npm, and nothing is
 * fetched while a plugin runs: what such a line means stands in the plugin's folder once it is installed. Nothing is run
 * here.
 */
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** A program and its arguments, as they are started. */
export interface Program {
  command: string;
  args: string[];
}

/** Words of `npx` that change nothing here: nothing is fetched, and nobody is asked. */
const QUIET = new Set([
  "-y",
  "--yes",
  "-q",
  "--quiet",
  "-s",
  "--silent",
  "--no",
  "--no-install",
  "--offline",
  "--prefer-offline",
  "--prefer-online",
  "--ignore-scripts",
]);

const FETCHING = new Set(["npm", "pnpm", "pnpx", "yarn", "bun", "bunx"]);

/** The first bytes of a program are enough to see who runs it. */
const FIRST_BYTES = 256;

/**
 * What a command that asks for a package's program starts; any other command as it is. `folder` is where it runs, `root`
 * the plugin's.
 */
export function resolveProgram(given: Program, folder: string, root: string): Program {
  if (FETCHING.has(given.command)) {
    throw new Error(
      `\`${given.command}\` starts no server: there is no package manager where plugins run. ` +
        "Name the program itself, such as `node` with its module, or `npx` with a package that the plugin depends on.",
    );
  }
  if (given.command !== "npx") return given;
  const { name, wanted, rest } = readWords(given.args);
  const bare = withoutVersion(name);
  for (const place of above(folder, root)) {
    const modules = join(place, "node_modules");
    const file =
      (wanted === null
        ? ofPackage(modules, bare, null)
        : ofPackage(modules, withoutVersion(wanted), bare)) ??
      existing(join(modules, ".bin", bare));
    if (file === null) continue;
    const path = relative(folder, file);
    return isNodes(file)
      ? { command: "node", args: [path, ...rest] }
      : { command: `./${path}`, args: rest };
  }
  throw new Error(
    `there is no program of a package \`${bare}\` in the plugin's folder, and nothing is fetched while it runs. ` +
      `Add \`${withoutVersion(wanted ?? name)}\` to the \`dependencies\` of \`package.json\`, so that it is installed with the plugin.`,
  );
}

function readWords(args: readonly string[]): {
  name: string;
  wanted: string | null;
  rest: string[];
} {
  let wanted: string | null = null;
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? "";
    if (QUIET.has(word) || word === "--") continue;
    if (word === "-p" || word === "--package") {
      at += 1;
      wanted = args[at] ?? null;
    } else if (word.startsWith("--package=")) {
      wanted = word.slice("--package=".length);
    } else if (word.startsWith("-")) {
      throw new Error(
        `\`npx ${word}\` is not looked up in the plugin's folder: write \`npx PROGRAM …\`, with what it needs in the \`dependencies\` of \`package.json\``,
      );
    } else {
      const rest = args.slice(at + 1);
      return { name: word, wanted, rest: rest[0] === "--" ? rest.slice(1) : rest };
    }
  }
  throw new Error("`npx` needs the name of a program");
}

/** The folder and those above it, up to the plugin's own. */
function* above(folder: string, root: string): Generator<string> {
  for (let place = resolve(folder); ; place = dirname(place)) {
    yield place;
    if (place === resolve(root) || place === dirname(place)) return;
  }
}

/** The program of a package: the one that is asked for, its only one, or the one that is called as the package is. */
function ofPackage(modules: string, name: string, program: string | null): string | null {
  const folder = join(modules, name);
  const bin = readBin(join(folder, "package.json"));
  const short = name.split("/").at(-1) ?? name;
  if (typeof bin === "string") {
    return program === null || program === short ? existing(join(folder, bin)) : null;
  }
  const programs = Object.entries(bin ?? {});
  const only = program === null && programs.length === 1 ? programs[0] : undefined;
  const found = only ?? programs.find(([known]) => known === (program ?? short));
  return typeof found?.[1] === "string" ? existing(join(folder, found[1])) : null;
}

function readBin(file: string): string | Record<string, unknown> | null {
  try {
    const { bin } = JSON.parse(readFileSync(file, "utf8")) as { bin?: unknown };
    return typeof bin === "string" || (typeof bin === "object" && bin !== null)
      ? (bin as string | Record<string, unknown>)
      : null;
  } catch {
    // A package that is not there, or that says nothing readable, has no program.
    return null;
  }
}

/** The file; null when there is none. */
function existing(file: string): string | null {
  try {
    return statSync(file).isFile() ? file : null;
  } catch {
    return null;
  }
}

/** Whether Node runs it: so say most, and those that say nothing are modules. */
function isNodes(file: string): boolean {
  const descriptor = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(FIRST_BYTES);
    const read = readSync(descriptor, bytes);
    const first = bytes.toString("utf8", 0, read).split("\n", 1)[0] ?? "";
    return !first.startsWith("#!") || first.includes("node");
  } finally {
    closeSync(descriptor);
  }
}

/** `@scope/name` of `@scope/name@1.2.3`. */
function withoutVersion(name: string): string {
  const at = name.lastIndexOf("@");
  return at > 0 ? name.slice(0, at) : name;
}
