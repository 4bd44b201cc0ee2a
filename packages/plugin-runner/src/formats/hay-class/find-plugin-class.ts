import { type HayPluginClass, isHayPluginClass } from "@hay/plugin-sdk/host";
import { candidates } from "../../loader.js";
import { RunnerError } from "../../wire-error.js";

/** The class among the exports of an entry: the default one, else the only one; `null` where there is none. */
export function findPluginClass(namespace: unknown, entry: string): HayPluginClass | null {
  const defaults = candidates(namespace).filter(isHayPluginClass);
  if (defaults[0] !== undefined) return defaults[0];
  const named = new Set(
    candidates(namespace)
      .flatMap((value) =>
        typeof value === "object" && value !== null
          ? Object.values(value as Record<string, unknown>)
          : [],
      )
      .filter(isHayPluginClass)
      .filter((value) => !isBase(value)),
  );
  if (named.size > 1) {
    throw wrongEntry(
      `the entry \`${entry}\` exports ${named.size} classes that extend \`HayPlugin\`, and starts none`,
    );
  }
  return [...named][0] ?? null;
}

/** What an author is told whose entry has no class. */
export function noPluginClass(entry: string): RunnerError {
  return wrongEntry(
    `the entry \`${entry}\` neither exports nor starts a class that extends \`HayPlugin\``,
  );
}

function wrongEntry(message: string): RunnerError {
  return new RunnerError("EntryError", message, "configuration", [
    {
      at: "entry",
      message,
      hint: "export the class as the default, or call `startPluginWorker` with it",
    },
  ]);
}

/** `HayPlugin` itself, handed on by an entry that exports everything that it imports. */
function isBase(value: HayPluginClass): boolean {
  return Object.getPrototypeOf(value) === Function.prototype;
}
