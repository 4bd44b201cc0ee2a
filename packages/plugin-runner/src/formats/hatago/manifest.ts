/** `hatago.plugin.json`: what of it decides whether this runner can run the plugin. */
import { readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import {
  CAPABILITIES,
  HATAGO_VERSION,
  isCapability,
  type PluginManifest,
  type PluginRuntime,
} from "@hatago/core/host";
import satisfies from "semver/functions/satisfies.js";
import validRange from "semver/ranges/valid.js";
import type { WireProblem } from "../../protocol.js";
import { messageOf, RunnerError } from "../../wire-error.js";

/** The date whose behaviour of Workers plugins get. The host's reader of the format names the same one. */
export const WORKERS_DATE = "2026-07-01";

const FILE = "hatago.plugin.json";

/** Reads the manifest, and refuses the plugin where it cannot run here. */
export function readPluginManifest(root: string): PluginManifest {
  let manifest: PluginManifest;
  try {
    manifest = JSON.parse(readFileSync(join(root, FILE), "utf8")) as PluginManifest;
  } catch (error) {
    throw refusal([{ at: FILE, message: `cannot be read: ${messageOf(error)}` }]);
  }
  if (typeof manifest !== "object" || (manifest as unknown) === null || Array.isArray(manifest)) {
    throw refusal([{ at: FILE, message: "must hold an object" }]);
  }
  return manifest;
}

/** Where the entry runs: it is the manifest's `workers` entry, or it is not. */
export function runtimeOf(manifest: PluginManifest, entry: string): PluginRuntime {
  if (typeof manifest.entry === "string") return "node";
  const { node, workers, default: fallback } = manifest.entry;
  const same = (path: string | undefined) =>
    path !== undefined && normalize(path) === normalize(entry);
  return same(workers) && !same(node ?? fallback) ? "workers" : "node";
}

/** Refuses what the plugin needs and this runtime does not have. */
export function checkCompatibility(manifest: PluginManifest, runtime: PluginRuntime): void {
  const problems: WireProblem[] = [];
  const { capabilities = [], engines = {} } = manifest;
  capabilities.forEach((name: unknown, index) => {
    if (isCapability(name)) return;
    problems.push({
      at: `capabilities[${index}]`,
      message: `there is no capability \`${String(name)}\``,
      hint: `the capabilities are ${CAPABILITIES.map((known) => `\`${known}\``).join(", ")}`,
    });
  });
  checkVersion(problems, "hatago", engines.hatago, HATAGO_VERSION);
  if (runtime === "node") checkVersion(problems, "node", engines.node, process.versions.node);
  else checkDate(problems, engines.workers);
  if (problems.length > 0) throw refusal(problems);
}

function checkVersion(
  problems: WireProblem[],
  engine: string,
  range: unknown,
  version: string,
): void {
  if (range === undefined) return;
  const at = `engines.${engine}`;
  if (typeof range !== "string" || validRange(range) === null) {
    problems.push({ at, message: `\`${textOf(range)}\` is not a range of versions` });
  } else if (!satisfies(version, range)) {
    problems.push({
      at,
      message: `the plugin needs ${engine} \`${range}\`, and this is ${version}`,
    });
  }
}

function checkDate(problems: WireProblem[], range: unknown): void {
  if (range === undefined) return;
  const at = "engines.workers";
  const match =
    typeof range === "string" ? /^\s*(>=|<=|>|<|=)?\s*(\d{4}-\d{2}-\d{2})\s*$/.exec(range) : null;
  const date = match?.[2];
  if (date === undefined) {
    problems.push({
      at,
      message: `\`${textOf(range)}\` is not a date`,
      hint: "write it as `>=2023-10-30`",
    });
    return;
  }
  const order = WORKERS_DATE < date ? -1 : WORKERS_DATE > date ? 1 : 0;
  const holds = {
    ">=": order >= 0,
    "<=": order <= 0,
    ">": order > 0,
    "<": order < 0,
    "=": order === 0,
  };
  if (!holds[(match?.[1] ?? ">=") as keyof typeof holds]) {
    problems.push({
      at,
      message: `the plugin needs Workers of \`${textOf(range)}\`, and this is ${WORKERS_DATE}`,
    });
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function refusal(problems: WireProblem[]): RunnerError {
  const lines = problems.map(({ at, message }) => `${at}: ${message}`);
  return new RunnerError(
    "ManifestError",
    `the plugin cannot run here: ${lines.join("; ")}`,
    "configuration",
    problems,
  );
}
